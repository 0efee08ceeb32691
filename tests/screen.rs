//! Screening: the same bits whatever the number of threads, the size of a tile, and the company of a program.

use std::sync::atomic::AtomicBool;

use tap_core::dsl::random::{Rng, programs};
use tap_core::dsl::vary::{all_inputs, vary};
use tap_core::dsl::{Limits, Schema, Table};
use tap_core::screen::{Mark, Pair, Screen, Screening, Truth};

const UNITS: usize = 11;
const FORMATS: usize = 3;

fn table(schema: &Schema, seed: u64) -> Table {
    let sampled: Vec<[u64; 3]> = (0..UNITS as u64).map(|unit| [1 + unit, 40, 1 + unit % 3]).collect();
    let whole: Vec<[u64; 3]> = sampled.iter().map(|[out, inp, pos]| [out * 2, inp * 3, *pos]).collect();
    let mut table = Table::new(FORMATS, &whole, &sampled).unwrap();
    let mut rng = Rng::new(seed);
    for id in all_inputs(schema) {
        let axes = schema.axes(id);
        let count = table.elements(axes) as usize;
        let mut number = || rng.below(1 << 20) as f64 / 3e5 - 1.0;
        if axes.is_column() {
            table.set_column(id, axes, (0..count).map(|_| number()).collect()).unwrap();
        } else {
            table.set_sample(id, axes, (0..count).map(|_| number() as f32).collect()).unwrap();
        }
    }
    table
}

fn truths() -> [Truth; 2] {
    let mut rng = Rng::new(5);
    let size = UNITS * FORMATS;
    let values: Vec<f64> = (0..size).map(|_| rng.below(1000) as f64).collect();
    let places: Vec<u32> = (0..size as u32).collect();
    let costs: Vec<i64> = (0..size as i64).map(|place| 1 + place % 7 + 10 * (place / UNITS as i64)).collect();
    let one = Truth::sensitivity(&values, &places)
        .unwrap()
        .with_budgets(FORMATS, &costs, &[140, 200, 260])
        .unwrap();
    let chosen: Vec<u32> =
        (0..40 * UNITS).map(|at| (rng.below(FORMATS) * UNITS + at % UNITS) as u32).collect();
    let loss: Vec<f64> = (0..40).map(|_| rng.below(30) as f64 / 10.0).collect();
    let stratum: Vec<i64> = (0..40).map(|at| at % 3).collect();
    [one, Truth::configurations(UNITS, &chosen, &loss, &stratum).unwrap()]
}

/// Programs of columns and of samples, offspring that share their parts, texts that come twice or do not compile.
fn sources(schema: &Schema) -> Vec<String> {
    let inputs = all_inputs(schema);
    let columns: Vec<u16> = inputs.iter().copied().filter(|id| schema.axes(*id).is_column()).collect();
    let mut sources = programs(1, 250, 12, schema, &columns);
    sources.extend(programs(2, 120, 9, schema, &inputs));
    let parents: Vec<&str> = sources.iter().take(20).map(String::as_str).collect();
    let offspring = vary(3, &parents, 150, schema, &Limits::default(), &columns);
    sources.extend(offspring);
    sources.extend(["score = (", "score = w", "score = log(0 * bits)", ""].map(String::from));
    let again: Vec<String> = sources.iter().step_by(5).cloned().collect();
    sources.extend(again);
    sources
}

/// Everything that a screening says, to the last bit.
fn bits(screening: &Screening) -> Vec<(String, Vec<[u64; 4]>)> {
    let mark = |mark: &Mark| {
        [mark.spearman.to_bits(), mark.kendall.to_bits(), mark.regret.to_bits(), mark.signature]
    };
    let row = |(place, row): (usize, _)| {
        let marks = screening.marks.iter().map(|marks| mark(&marks[place])).collect();
        (format!("{row:?}"), marks)
    };
    screening.rows.iter().enumerate().map(row).collect()
}

#[test]
fn threads_and_tiles_change_no_bit() {
    let schema = Schema::new();
    let tables = [table(&schema, 1), table(&schema, 2)];
    let truths = truths();
    let sources = sources(&schema);
    let run = |sources: &[String], tile: usize, threads: usize| {
        let pairs = tables.iter().zip(&truths);
        let pairs = pairs.map(|(table, truth)| Pair { table, schema: &schema, truth }).collect();
        let screen = Screen { pairs, limits: Limits::default(), tile };
        bits(&screen.run(sources, threads, &AtomicBool::new(false)))
    };
    let alone: Vec<_> = sources.iter().flat_map(|source| run(std::slice::from_ref(source), 1, 1)).collect();
    let scored = alone.iter().filter(|(row, _)| row.contains("error: None")).count();
    assert!(scored > 150 && scored < alone.len(), "{scored} of {} have scores", alone.len());
    for (tile, threads) in
        [(1, 1), (7, 1), (64, 1), (512, 1), (100_000, 1), (1, 3), (13, 2), (64, 4), (512, 2)]
    {
        let found = run(&sources, tile, threads);
        for ((found, expected), source) in found.iter().zip(&alone).zip(&sources) {
            assert_eq!(found, expected, "tile {tile}, {threads} threads: {source}");
        }
    }
}

#[test]
fn a_stopped_screening_says_so() {
    let schema = Schema::new();
    let (table, truths, sources) = (table(&schema, 1), truths(), sources(&schema));
    let pairs = vec![Pair { table: &table, schema: &schema, truth: &truths[0] }];
    let screen = Screen { pairs, limits: Limits::default(), tile: 8 };
    let found = screen.run(&sources, 2, &AtomicBool::new(true));
    assert!(!found.complete);
    assert_eq!((found.rows.len(), found.marks[0].len()), (sources.len(), sources.len()));
    assert!(found.marks[0].iter().all(|mark| mark.spearman.is_nan() && mark.signature == 0));
}
