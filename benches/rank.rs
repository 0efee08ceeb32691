//! Rank kernels: rows of 54 scores against one target.

#[allow(dead_code)]
mod population;

use divan::counter::ItemsCount;
use population::Random;
use tap_core::rank::{self, Agreement, Ranker, Target};

fn main() {
    divan::main();
}

const ROWS: usize = 10_000;
const LEN: usize = 54;

fn data() -> (Vec<f64>, Target) {
    let mut random = Random::new(1);
    let rows = (0..ROWS * LEN).map(|_| random.unit()).collect();
    let target: Vec<f64> = (0..LEN).map(|_| random.unit()).collect();
    (rows, Target::new(&target))
}

#[divan::bench]
fn spearman(bencher: divan::Bencher) {
    let (rows, target) = data();
    let mut out = vec![0.0; ROWS];
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| rank::spearman(&rows, &target, &mut out));
}

#[divan::bench]
fn kendall(bencher: divan::Bencher) {
    let (rows, target) = data();
    let mut out = vec![0.0; ROWS];
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| rank::kendall(&rows, &target, &mut out));
}

/// Spearman, Kendall and signature, as screening asks for them.
#[divan::bench]
fn all_of_screening(bencher: divan::Bencher) {
    let (rows, target) = data();
    let mut out = vec![Agreement::NONE; ROWS];
    let mut ranker = Ranker::default();
    bencher.counter(ItemsCount::new(ROWS)).bench_local(|| ranker.agree(&rows, &target, &mut out));
}
