//! The fused run gives the same bits as the walk over whole values.

use tap_core::dsl::random::{Rng, programs};
use tap_core::dsl::vary::all_inputs;
use tap_core::dsl::walk::walk;
use tap_core::dsl::{Limits, Schema, Scratch, Table, Verdict, compile, run};

/// Units below, at and above the size of a block, and of the run of blocks that one format reads at once; partly sampled, in three formats.
fn table(schema: &Schema) -> Table {
    let whole = [[16, 32, 1], [40, 30, 9], [1, 1, 1], [64, 1, 9]];
    let sampled = [[16, 32, 1], [40, 14, 9], [1, 1, 1], [33, 1, 9]];
    let mut table = Table::new(3, &whole, &sampled).unwrap();
    let mut rng = Rng::new(5);
    for id in all_inputs(schema) {
        let axes = schema.axes(id);
        let count = table.elements(axes) as usize;
        let values: Vec<f64> = (0..count).map(|_| rng.below(1 << 20) as f64 / 3e5 - 1.0).collect();
        if axes.is_column() {
            table.set_column(id, axes, values).unwrap();
        } else {
            table.set_sample(id, axes, values.iter().map(|value| *value as f32).collect()).unwrap();
        }
    }
    table
}

#[test]
fn fused_runs_have_the_bits_of_the_walk() {
    let schema = Schema::new();
    let (table, limits, mut scratch) = (table(&schema), Limits::default(), Scratch::default());
    let mut sources = programs(11, 1500, 9, &schema, &all_inputs(&schema));
    sources.push(
        "score = sum(square(dw)) * mean(x_sq) + sum(x_sq * square(dw) / (norm2(w) + max(abs(w), out)))"
            .into(),
    );
    sources.push(
        "a = w / norm2(w)\nscore = mean(abs(a)) + mean(abs(a - mean(a)) * dw) + norm1(dw) / count(dw)".into(),
    );
    // Operators that are done within the loop of a sum, on either side, with and without formats.
    sources.push(
        "score = sum(g * dw + 0.5 * h * square(dw)) - mean(w - abs(dw)) + norm1(dw - g) * norm1(square(w))"
            .into(),
    );
    sources.push(
        "score = norm2(square(dw)) + norm2(abs(g - dw)) + mean(trace * dw) + mean(dw2 - dw) + sum(dw + w)"
            .into(),
    );
    sources.push(
        "score = min(dw * g) + max(abs(dw)) + sum(abs(h) * g + w) * mean(dw * square(dw) + trace)".into(),
    );
    // Two products of one number: added, subtracted either way, with each touch, of an input and of what is computed.
    for touched in ["dw", "abs(dw)", "square(dw)", "square(dw / w)"] {
        let other = if touched.contains('/') { "dw / w" } else { "dw" };
        for pair in [
            format!("g * {other} + h * {touched}"),
            format!("g * {other} - 0.5 * h * {touched}"),
            format!("h * {touched} - g * {other}"),
            format!("h * w * {touched} + {other} * {other}"),
        ] {
            sources.push(format!("score = sum({pair}) - norm1({pair}) + mean(abs({pair})) * norm2({pair})"));
            sources.push(format!("score = max({pair}) + sum({pair}, out, in_, pos)"));
        }
    }
    let mut compared = 0;
    for source in &sources {
        let program = compile(source, &schema, &limits).unwrap();
        let verdict = run(&program, &table, &schema, &limits, &mut scratch).unwrap();
        let expected = walk(&program, &table, None);
        if verdict == Verdict::Finite {
            let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&scratch.scores()[..expected.len()]), bits(&expected), "{source}");
            compared += 1;
        } else {
            assert!(expected.iter().any(|value| !value.is_finite()), "{source}");
        }
    }
    assert!(compared > 500, "{compared} programs with finite scores");
}
