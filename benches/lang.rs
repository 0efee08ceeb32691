//! One compiled program over one table against the same formula written in Rust.
//!
//! The formula reads columns; the six others read samples: 54 units of 4,096 elements in 7 formats. The Rust beside them
//! is one loop without intermediate arrays, on the widest vectors of the machine, eight sums to a reduction.

use divan::counter::ItemsCount;
use pulp::{Arch, Simd, WithSimd};
use tap_core::dsl::random::Rng;
use tap_core::dsl::{Axes, Limits, Program, Schema, Scratch, Table, Verdict, compile, run};
use tap_core::math;

fn main() {
    samples_agree();
    divan::main();
}

const UNITS: usize = 54;
const ELEMENTS: usize = 4096;
const FORMATS: usize = 7;

fn unit(rng: &mut Rng) -> f64 {
    (rng.bits() >> 11) as f64 / (1_u64 << 53) as f64
}

/// `log(abs(h) + 1e-8) * w ** 2 / sqrt(n) + 0.3 * abs(a - b) - tanh(g)` over columns of the user.
const FORMULA: &str = "log(abs(ch) + 1e-8) * cw ** 2 / sqrt(cn) + 0.3 * abs(ca - cb) - tanh(cg)";
const COLUMNS: [&str; 6] = ["ch", "cw", "cn", "ca", "cb", "cg"];

fn columns() -> (Table, Schema, Vec<Vec<f64>>) {
    let (mut schema, mut rng) = (Schema::new(), Rng::new(1));
    let sizes = vec![[1; 3]; UNITS];
    let mut table = Table::new(1, &sizes, &sizes).expect("a table");
    let mut columns = Vec::new();
    for name in COLUMNS {
        assert!(schema.add(name, Axes::NONE));
        let column: Vec<f64> = (0..UNITS).map(|_| 0.1 + 2.0 * unit(&mut rng)).collect();
        table.set_column(schema.id(name).expect("an id"), Axes::NONE, column.clone()).expect("a column");
        columns.push(column);
    }
    (table, schema, columns)
}

/// Running the compiled formula: limits and finiteness checked, scores kept.
#[divan::bench]
fn formula_interpreted(bencher: divan::Bencher) {
    let (table, schema, _) = columns();
    let (limits, mut scratch) = (Limits::default(), Scratch::default());
    let program = compile(FORMULA, &schema, &limits).expect("a program");
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        let verdict = run(&program, &table, &schema, &limits, &mut scratch);
        assert_eq!(verdict.ok(), Some(Verdict::Finite));
        divan::black_box(scratch.scores().first().copied())
    });
}

/// From text: parsed, checked, compiled and run.
#[divan::bench]
fn formula_from_text(bencher: divan::Bencher) {
    let (table, schema, _) = columns();
    let (limits, mut scratch) = (Limits::default(), Scratch::default());
    let (mut compiler, mut program) = (tap_core::dsl::Compiler::default(), Program::default());
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        let source = divan::black_box(FORMULA).as_bytes();
        compiler.compile(source, &schema, &limits, &mut program).expect("a program");
        run(&program, &table, &schema, &limits, &mut scratch).expect("a verdict")
    });
}

/// The formula as one Rust loop with the functions of the standard library.
#[divan::bench]
fn formula_hard_coded(bencher: divan::Bencher) {
    hard_coded(bencher, f64::ln, f64::tanh);
}

/// The formula as one Rust loop with the language's own functions.
#[divan::bench]
fn formula_hard_coded_own_math(bencher: divan::Bencher) {
    hard_coded(bencher, math::log, math::tanh);
}

fn hard_coded(bencher: divan::Bencher, log: impl Fn(f64) -> f64, tanh: impl Fn(f64) -> f64) {
    let (_, _, columns) = columns();
    let [h, w, n, a, b, g] = columns.as_slice() else { return };
    let mut out = vec![0.0; UNITS];
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        for (at, out) in out.iter_mut().enumerate() {
            let first = log(h[at].abs() + 1e-8) * (w[at] * w[at]) / n[at].sqrt();
            *out = first + 0.3 * (a[at] - b[at]).abs() - tanh(g[at]);
        }
        divan::black_box(out.iter().all(|score| score.is_finite()))
    });
}

/// A program over samples and its loop: what is summed of one element, and what becomes of the sums.
#[derive(Clone, Copy, Debug)]
struct Case {
    program: &'static str,
    /// `sums[format][unit]` of the samples.
    loops: fn(&Samples) -> Vec<f64>,
}

const CASES: [Case; 6] = [
    Case {
        program: "mean(g2 * square(dw))",
        loops: |s| s.sums(&[&s.g2], |x, dw| x[0] * (dw * dw), |sum, _| sum / ELEMENTS as f64),
    },
    Case { program: "sum(abs(g * dw))", loops: |s| s.sums(&[&s.g], |x, dw| (x[0] * dw).abs(), |sum, _| sum) },
    Case {
        program: "norm2(dw) / norm2(w)",
        loops: |s| {
            let of_w = s.plain_sums(&s.w, |w| w * w);
            s.sums::<0, f32>(&[], |_, dw| dw * dw, |sum, unit| sum.sqrt() / of_w[unit].sqrt())
        },
    },
    Case {
        program: "sum(g * dw + 0.5 * h * square(dw))",
        loops: |s| s.sums(&[&s.g, &s.h], |x, dw| x[0] * dw + 0.5 * x[1] * (dw * dw), |sum, _| sum),
    },
    Case {
        program: "mean(abs(dw)) * mean(abs(w))",
        loops: |s| {
            let of_w = s.plain_sums(&s.w, f64::abs);
            let mean = |sum: f64| sum / ELEMENTS as f64;
            s.sums::<0, f32>(&[], |_, dw| dw.abs(), |sum, unit| mean(sum) * mean(of_w[unit]))
        },
    },
    Case {
        program: "mean(square(dw) * exp(-abs(w)))",
        loops: |s| {
            let sizes: Vec<f64> = s.w.iter().map(|w| -f64::from(w.abs())).collect();
            let mut decay = vec![0.0; sizes.len()];
            math::slice::exp(&sizes, &mut decay);
            s.sums(&[&decay], |x, dw| dw * dw * x[0], |sum, _| sum / ELEMENTS as f64)
        },
    },
];

/// Samples as a hand-written program would hold them: [L][N], and dw as [L][F][N].
struct Samples {
    w: Vec<f32>,
    g: Vec<f32>,
    g2: Vec<f32>,
    h: Vec<f32>,
    dw: Vec<f32>,
}

impl Samples {
    fn new() -> Samples {
        let mut rng = Rng::new(2);
        let mut draw = |count: usize, scale: f64| -> Vec<f32> {
            (0..count).map(|_| (scale * (unit(&mut rng) - 0.3)) as f32).collect()
        };
        let one = UNITS * ELEMENTS;
        Samples {
            w: draw(one, 1.0),
            g: draw(one, 0.1),
            g2: draw(one, 0.01),
            h: draw(one, 0.5),
            dw: draw(one * FORMATS, 0.05),
        }
    }

    fn table(&self) -> (Table, Schema) {
        let schema = Schema::new();
        let sizes = vec![[64, 64, 1]; UNITS];
        let mut table = Table::new(FORMATS, &sizes, &sizes).expect("a table");
        for (name, values) in
            [("w", &self.w), ("g", &self.g), ("g2", &self.g2), ("h", &self.h), ("dw", &self.dw)]
        {
            let id = schema.id(name).expect("an id");
            table.set_sample(id, schema.axes(id), values.clone()).expect("a sample");
        }
        (table, schema)
    }

    /// Sums of `f(others, dw)` for each unit and format, finished, format-major.
    #[inline(always)]
    fn sums<const N: usize, T: Copy + Into<f64>>(
        &self,
        others: &[&Vec<T>; N],
        f: impl Fn([f64; N], f64) -> f64,
        finish: impl Fn(f64, usize) -> f64,
    ) -> Vec<f64> {
        let mut out = vec![0.0; UNITS * FORMATS];
        for unit in 0..UNITS {
            let others = others.map(|all| &all[unit * ELEMENTS..(unit + 1) * ELEMENTS]);
            for format in 0..FORMATS {
                let start = (unit * FORMATS + format) * ELEMENTS;
                let dw = &self.dw[start..start + ELEMENTS];
                let sum = Arch::new().dispatch(Fused { others, dw, f: &f });
                out[format * UNITS + unit] = finish(sum, unit);
            }
        }
        out
    }

    /// Sums over one array without formats, for each unit.
    fn plain_sums(&self, values: &[f32], f: impl Fn(f64) -> f64) -> Vec<f64> {
        let unit =
            |values| Arch::new().dispatch(Fused::<0, f32, _> { others: [], dw: values, f: &|_, v| f(v) });
        values.chunks_exact(ELEMENTS).map(unit).collect()
    }
}

struct Fused<'a, const N: usize, T, F> {
    others: [&'a [T]; N],
    dw: &'a [f32],
    f: &'a F,
}

impl<const N: usize, T: Copy + Into<f64>, F: Fn([f64; N], f64) -> f64> WithSimd for Fused<'_, N, T, F> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let mut lanes = [0.0; 8];
        let others = self.others.map(|values| values.as_chunks::<8>().0);
        for (at, dw) in self.dw.as_chunks::<8>().0.iter().enumerate() {
            let others = others.map(|values| values[at]);
            for lane in 0..8 {
                lanes[lane] += (self.f)(others.map(|values| values[lane].into()), f64::from(dw[lane]));
            }
        }
        lanes.iter().sum()
    }
}

/// The loops compute what the programs say.
fn samples_agree() {
    let samples = Samples::new();
    let (table, schema) = samples.table();
    for case in CASES {
        let (limits, mut scratch) = (Limits::default(), Scratch::default());
        let program = compile(case.program, &schema, &limits).expect("a program");
        run(&program, &table, &schema, &limits, &mut scratch).expect("a verdict");
        for (score, by_hand) in scratch.scores().iter().zip((case.loops)(&samples)) {
            assert!((score - by_hand).abs() <= 1e-9 * by_hand.abs(), "{}: {score} {by_hand}", case.program);
        }
    }
}

#[divan::bench(args = [0, 1, 2, 3, 4, 5])]
fn samples_interpreted(bencher: divan::Bencher, case: usize) {
    let (table, schema) = Samples::new().table();
    let (limits, mut scratch) = (Limits::default(), Scratch::default());
    let program = compile(CASES[case].program, &schema, &limits).expect("a program");
    bencher.bench_local(|| run(&program, &table, &schema, &limits, &mut scratch));
}

#[divan::bench(args = [0, 1, 2, 3, 4, 5])]
fn samples_by_hand(bencher: divan::Bencher, case: usize) {
    let samples = Samples::new();
    bencher.bench_local(|| divan::black_box((CASES[case].loops)(&samples)));
}
