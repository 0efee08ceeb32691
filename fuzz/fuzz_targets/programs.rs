//! Well-typed programs, their size and seed from the bytes: they compile, run within their bounds, and vary.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tap_core::dsl::random::programs;
use tap_core::dsl::vary::{all_inputs, vary};
use tap_core::dsl::{Axes, Limits, Schema, Scratch, Table, compile, run};

fuzz_target!(|input: (u64, u8, Vec<f64>)| {
    let (seed, ops, numbers) = input;
    let (schema, limits) = (Schema::new(), Limits::default());
    let inputs = all_inputs(&schema);
    let mut table = Table::new(2, &[[2, 3, 1], [4, 1, 4]], &[[2, 2, 1], [2, 1, 2]]).expect("sizes fit");
    for id in &inputs {
        let axes: Axes = schema.axes(*id);
        let count = table.elements(axes) as usize;
        let values = (0..count).map(|place| numbers.get(place % numbers.len().max(1)).copied().unwrap_or(1.0));
        if axes.is_column() {
            table.set_column(*id, axes, values.collect()).expect("values fit");
        } else {
            table.set_sample(*id, axes, values.map(|value| value as f32).collect()).expect("values fit");
        }
    }
    for source in programs(seed, 1, usize::from(ops) % 40, &schema, &inputs) {
        let program = compile(&source, &schema, &limits).expect("random programs compile");
        run(&program, &table, &schema, &limits, &mut Scratch::default()).expect("runs are within the limits");
        for child in vary(seed, &[&source], 1, &schema, &limits, &inputs) {
            compile(&child, &schema, &limits).expect("offspring compile");
        }
    }
});
