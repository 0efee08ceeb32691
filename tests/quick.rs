//! What the quick reader accepts has the value, hash and counts that the careful compiler gives.

use tap_core::dsl::pool::Pool;
use tap_core::dsl::quick::{Reader, Setting};
use tap_core::dsl::random::{self, Rng};
use tap_core::dsl::run::beside;
use tap_core::dsl::{Axes, Limits, Schema, Table, compile, vary};

const UNITS: usize = 3;
const FORMATS: usize = 2;

fn world() -> (Schema, Table, Vec<bool>) {
    let mut schema = Schema::new();
    assert!(schema.add("mine", Axes::FORMAT) && schema.add("a_name_of_more_than_16", Axes::NONE));
    let sizes = [[2, 2, 1]; UNITS];
    let table = Table::new(FORMATS, &sizes, &sizes).unwrap();
    let held = (0..schema.len() as u16).map(|id| schema.axes(id).is_column() && id != 3).collect();
    (schema, table, held)
}

/// Whether it was read; panics where the compiler says otherwise.
fn check(reader: &mut Reader, pool: &mut Pool, source: &[u8], limits: &Limits) -> bool {
    let (schema, table, held) = world();
    let setting = Setting { schema: &schema, limits, held: &held };
    let Some(read) = reader.read(source, setting, pool) else { return false };
    let shown = String::from_utf8_lossy(source).into_owned();
    let program = compile(source, &schema, limits).unwrap_or_else(|error| panic!("{shown}: {error:?}"));
    assert!(program.notes.is_empty(), "{shown}: {:?}", program.notes);
    assert_eq!(pool.hash(read.root), program.hash(), "{shown}");
    assert_eq!(read.ops, program.ops, "{shown}");
    let elements = [UNITS as u64, (UNITS * FORMATS) as u64];
    let total = |counts: [u32; 2]| u64::from(counts[0]) * elements[0] + u64::from(counts[1]) * elements[1];
    assert_eq!(total(read.cost), program.work(&table), "{shown}");
    let values = program.instructions.len() as u64;
    let held = total(read.values) * 8 + beside(values, &table) + UNITS as u64 * 24;
    assert_eq!(held, program.live_bytes(&table), "{shown}");
    assert!(values <= 3 * u64::from(read.ops) + 1, "{shown}");
    let root = pool.get(read.root).unwrap();
    assert_eq!(
        (root.op, root.axes),
        program.instructions.last().map(|score| (score.op, score.axes)).unwrap()
    );
    true
}

const WRITTEN: &str = r"score = dw2
dw2
x = trace + 1\nscore = x * dw2  # twice
x = trace\ny = x ** 3\nx = bits\nscore = x - -depth
score = -(-(trace)) + -bits - -depth
score = trace ** -2 ** 2 / -trace ** 7
score = 1 * trace + 2 * 3 ** 2 - 0.5e-3 * 1e8
score = min(trace, bits, 2, depth) + max(1, 2) + clip(trace, -1, bits) + where(trace < 2, pi, e)
score = (trace\n + mine) * a_name_of_more_than_16
score = (1 < 2) + (trace == bits) * (trace != 3) >= eps
pow = 2\nscore = pow(pow, pow) + pow(trace, 0.5) + square(pow)
score = rank(bits) + zscore(3) + softmax(trace / 0)
score = dw2\nscore = score + 1\nz = 3
score = .5 + 1. + 007.0 + 1e+5 + 12345678901234567890 + 1e400
score = min(trace) + sum(dw2, format)
score = np.log(trace) + trace^2 + maximum(trace, 1) + trace.sum()
def f(x):\n    return trace
score = 1 < trace < 2
score = (trace
score = trace + in_
out = 3
lambda = 3
score = trace +
score = macs * w + kernel
score = min() + f(1)
score = trace;
```\nscore = trace\n```
score = clip(trace, 1) + 01
score = trace # é
score = tré
x = 1

score = 1.5.2 + 3trace + 1e
score == 3
score = quantile(dw2, 0.5, format) + median(trace)
score = abs(trace,) + (trace, bits)";

fn written() -> Vec<String> {
    WRITTEN.lines().map(|line| line.replace("\\n", "\n")).collect()
}

#[test]
fn written_programs_agree() {
    let (mut reader, mut pool) = (Reader::default(), Pool::default());
    let read = written()
        .iter()
        .filter(|source| check(&mut reader, &mut pool, source.as_bytes(), &Limits::default()))
        .count();
    assert!(read >= 12, "{read}");
}

#[test]
fn random_programs_and_their_damage_agree() {
    let (schema, _, held) = world();
    let inputs: Vec<u16> = (0..schema.len() as u16).filter(|id| held[*id as usize]).collect();
    let (mut reader, mut pool, mut rng) = (Reader::default(), Pool::default(), Rng::new(5));
    let mut programs = random::programs(1, 1500, 12, &schema, &inputs);
    let parents: Vec<&str> = programs.iter().take(50).map(String::as_str).collect();
    let children = vary::vary(2, &parents, 1000, &schema, &Limits::default(), &inputs);
    programs.extend(children);
    programs.extend(written());
    let mut read = 0;
    for (at, source) in programs.iter().enumerate() {
        if at % 300 == 0 {
            pool.clear();
        }
        read += usize::from(check(&mut reader, &mut pool, source.as_bytes(), &Limits::default()));
        let mut bytes = format!("{source} ").into_bytes();
        for _ in 0..3 {
            let place = rng.below(bytes.len());
            let with = b"()+-*/<>=!,. \n#0123eabx_\0\xff"[rng.below(26)];
            match rng.below(3) {
                0 => bytes[place] = with,
                1 => bytes.insert(place, with),
                _ => drop(bytes.remove(place)),
            }
            check(&mut reader, &mut pool, &bytes, &Limits::default());
        }
    }
    assert!(read > 2000, "{read} of {}", programs.len());
}

#[test]
fn limits_are_those_of_the_compiler() {
    let (mut reader, mut pool) = (Reader::default(), Pool::default());
    let programs = random::programs(9, 200, 15, &Schema::new(), &[15, 16, 23, 26]);
    let mut refused = 0;
    for (at, source) in programs.iter().enumerate() {
        let tight = 10 + at % 50;
        for limits in [
            Limits { tokens: tight, ..Limits::default() },
            Limits { nesting: tight / 8, ..Limits::default() },
            Limits { operators: tight / 3, ..Limits::default() },
            Limits { source_bytes: 3 * tight, ..Limits::default() },
        ] {
            refused += usize::from(!check(&mut reader, &mut pool, source.as_bytes(), &limits));
            let accepted = compile(source, &world().0, &limits).is_ok();
            assert!(accepted || !check(&mut reader, &mut pool, source.as_bytes(), &limits), "{source}");
        }
    }
    assert!(refused > 100, "{refused}");
}
