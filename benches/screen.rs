//! Screening from source text to marks, without Python, on one core and two.

#[allow(dead_code)]
mod population;

use std::sync::atomic::AtomicBool;

use divan::counter::ItemsCount;
use population::{Random, offspring, random_programs, table};
use tap_core::dsl::{Compiler, Limits, Program, Schema, Table};
use tap_core::screen::{Pair, Screen, Truth};

fn main() {
    let (programs, children) = (random_programs(PROGRAMS, 3), offspring(PROGRAMS, 4));
    let mean = |programs: &[String]| programs.iter().map(String::len).sum::<usize>() / programs.len();
    println!("{} characters a random program, {} an offspring", mean(&programs), mean(&children));
    divan::main();
}

const PROGRAMS: usize = 20_000;

fn sensitivity(units: usize, formats: usize) -> Truth {
    let mut random = Random::new(2);
    let values: Vec<f64> = (0..units * formats).map(|_| random.unit()).collect();
    let places: Vec<u32> = (0..(units * formats) as u32).collect();
    Truth::sensitivity(&values, &places).expect("a truth")
}

fn configurations(units: usize, formats: usize) -> Truth {
    let mut random = Random::new(3);
    let count = 200;
    let mut places = Vec::new();
    for _ in 0..count {
        places.extend((0..units).map(|unit| (random.below(formats) * units + unit) as u32));
    }
    let loss: Vec<f64> = (0..count).map(|_| random.unit()).collect();
    let stratum: Vec<i64> = (0..count as i64).map(|at| at % 4).collect();
    Truth::configurations(units, &places, &loss, &stratum).expect("a truth")
}

fn run(
    bencher: divan::Bencher,
    programs: &[String],
    at: &(Table, Schema),
    truth: &Truth,
    tile: usize,
    threads: usize,
) {
    let pairs = vec![Pair { table: &at.0, schema: &at.1, truth }];
    let screen = Screen { pairs, limits: Limits::default(), tile };
    let stop = AtomicBool::new(false);
    bencher.counter(ItemsCount::new(programs.len())).bench_local(|| screen.run(programs, threads, &stop));
}

/// Random programs: one after the other (tile 1) and in tiles.
#[divan::bench(args = [1, 512])]
fn random_by_tile(bencher: divan::Bencher, tile: usize) {
    run(bencher, &random_programs(PROGRAMS, 3), &table(54, 1, 1), &sensitivity(54, 1), tile, 1);
}

#[divan::bench(args = [1, 2])]
fn random_by_threads(bencher: divan::Bencher, threads: usize) {
    run(bencher, &random_programs(4 * PROGRAMS, 3), &table(54, 1, 1), &sensitivity(54, 1), 512, threads);
}

#[divan::bench]
fn offspring_of_200(bencher: divan::Bencher) {
    run(bencher, &offspring(PROGRAMS, 4), &table(54, 1, 1), &sensitivity(54, 1), 512, 1);
}

#[divan::bench]
fn random_by_configurations(bencher: divan::Bencher) {
    run(bencher, &random_programs(PROGRAMS, 3), &table(54, 3, 1), &configurations(54, 3), 512, 1);
}

/// One program for each score table: its regret over 8 budgets is nearly all of the time.
#[divan::bench]
fn regret_of_8_budgets(bencher: divan::Bencher) {
    let mut random = Random::new(5);
    let costs: Vec<i64> =
        (0..3).flat_map(|f| (0..54).map(move |unit| (unit + 7) * 100 * [2, 3, 4][f])).collect();
    let total = |f: i64| (0..54).map(|unit| (unit + 7) * 100 * f).sum::<i64>();
    let budgets: Vec<i64> = (1..9).map(|rung| total(2) + (total(4) - total(2)) * rung / 9).collect();
    // Losses that fall as formats grow, and programs that weigh units at random.
    let values: Vec<f64> = (0..162).map(|at| random.unit() / f64::from(1 << (2 * (at / 54)))).collect();
    let places: Vec<u32> = (0..162).collect();
    let truth =
        Truth::sensitivity(&values, &places).and_then(|truth| truth.with_budgets(3, &costs, &budgets));
    run(bencher, &random_programs(2_000, 6), &table(54, 3, 1), &truth.expect("a truth"), 512, 1);
}

/// Parsing and compiling alone: the part of screening that is the language's.
#[divan::bench]
fn compile_random(bencher: divan::Bencher) {
    let (programs, (_, schema), limits) = (random_programs(PROGRAMS, 3), table(54, 1, 1), Limits::default());
    let (mut compiler, mut program) = (Compiler::default(), Program::default());
    bencher.counter(ItemsCount::new(PROGRAMS)).bench_local(|| {
        for source in &programs {
            let _ = divan::black_box(compiler.compile(source.as_bytes(), &schema, &limits, &mut program));
        }
    });
}
