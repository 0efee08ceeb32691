//! What every text and every well-typed program must hold to, for the fuzz targets and for `tests/corpus.rs`.

use tap_core::dsl::random::programs;
use tap_core::dsl::vary::{all_inputs, vary};
use tap_core::dsl::walk::walk;
use tap_core::dsl::{
    Axes, Compiler, Limits, Program, Schema, Scratch, Table, Verdict, compile, print::print, run,
};

/// Any bytes end in a program or an error; a program survives being printed.
pub fn text(bytes: &[u8]) {
    let (schema, limits) = (Schema::new(), Limits::default());
    let (mut compiler, mut program) = (Compiler::default(), Program::default());
    match compiler.compile(bytes, &schema, &limits, &mut program) {
        Err(error) => {
            assert!(error.span.start <= error.span.end && error.span.end as usize <= bytes.len() + 1);
            assert!(error.report(bytes).contains(error.kind.code()));
            assert!(error.json(bytes).starts_with("{\"kind\""));
        }
        Ok(()) => {
            if let Some(text) = print(compiler.ast(), bytes, &schema, limits.source_bytes) {
                let again = compile(&text, &schema, &limits).expect("printed programs compile");
                assert_eq!(again.hash(), program.hash());
            }
        }
    }
}

/// A well-typed program and its offspring, their seed, size and table from the bytes: they compile, run within the
/// default limits, and give the same bits in blocks as value by value.
pub fn program(bytes: &[u8]) {
    let (schema, limits) = (Schema::new(), Limits::default());
    let inputs = all_inputs(&schema);
    let (seed, rest) = bytes.split_at(bytes.len().min(8));
    let seed = seed.iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte));
    let (ops, numbers) = rest.split_first().map_or((0, &[][..]), |(ops, rest)| (usize::from(*ops), rest));
    let table = table(&schema, numbers);
    for source in programs(seed, 1, ops % 40, &schema, &inputs) {
        one(&source, &schema, &table);
        for child in vary(seed, &[&source], 1, &schema, &limits, &inputs) {
            one(&child, &schema, &table);
        }
    }
}

fn one(source: &str, schema: &Schema, table: &Table) {
    let limits = Limits::default();
    let program = compile(source, schema, &limits).expect("well-typed programs compile");
    let mut scratch = Scratch::default();
    let verdict = run(&program, table, schema, &limits, &mut scratch).expect("runs are within the limits");
    let plain = walk(&program, table, None);
    match verdict {
        Verdict::Finite => {
            assert!(plain.iter().zip(scratch.scores()).all(|(a, b)| a.to_bits() == b.to_bits()), "{source}");
        }
        Verdict::NonFinite(place) => {
            assert!(place.unit < table.units() && !place.error(&program, schema, &[]).message.is_empty());
            assert!(plain.iter().any(|score| !score.is_finite()), "{source}");
        }
    }
    text(source.as_bytes());
}

/// Two units in two formats, partly sampled, all inputs filled with the numbers in turn.
fn table(schema: &Schema, bytes: &[u8]) -> Table {
    let numbers: Vec<f64> = bytes.as_chunks::<8>().0.iter().map(|eight| f64::from_le_bytes(*eight)).collect();
    let mut table = Table::new(2, &[[2, 3, 1], [4, 1, 4]], &[[2, 2, 1], [2, 1, 2]]).expect("sizes fit");
    let mut turn = 0..;
    let mut next = || {
        let place: usize = turn.next().unwrap_or(0);
        numbers.get(place.checked_rem(numbers.len()).unwrap_or(0)).copied().unwrap_or(1.0)
    };
    for id in all_inputs(schema) {
        let axes: Axes = schema.axes(id);
        let values: Vec<f64> = (0..table.elements(axes)).map(|_| next()).collect();
        if axes.is_column() {
            table.set_column(id, axes, values).expect("values fit");
        } else {
            let values = values.into_iter().map(|value| value as f32).collect();
            table.set_sample(id, axes, values).expect("values fit");
        }
    }
    table
}
