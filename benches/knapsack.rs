//! Times the allocator on the generated families: the median and the slowest of 20 seeds, one line a size.
//! `cargo bench --bench knapsack -- whole` times only the lines whose name holds that word.

use std::time::{Duration, Instant};

use tap_core::knapsack::instances::{Family, Instance};
use tap_core::knapsack::{Goal, Input, Limits, Status, frontier, solve};

const SEEDS: u64 = 20;

fn main() {
    // `cargo test --benches` passes --test and wants no timing.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    println!("family units budgets | median ms, slowest ms | seeds not proven within 0.3 s");
    for family in [Family::Cnn, Family::Llm] {
        for (units, budgets) in
            [(54, 1), (224, 1), (1000, 1), (100_000, 1), (54, 2), (224, 2), (1000, 2), (54, 3), (224, 3)]
        {
            line(family, units, budgets);
        }
        frontier_line(family, 54);
    }
}

fn line(family: Family, units: usize, budgets: usize) {
    let name = format!("{family:?} {units} {budgets}");
    if !is_wanted(&name) {
        return;
    }
    let limits = Limits { time: Some(Duration::from_millis(300)), ..Limits::default() };
    let mut open = 0;
    let times = times(family, units, budgets, |input| match solve(input, Goal::Sum, &limits) {
        Ok(outcome) if outcome.status == Status::Optimal => {}
        _ => open += 1,
    });
    report(&name, times, open);
}

fn frontier_line(family: Family, units: usize) {
    let name = format!("{family:?} {units} whole frontier");
    if !is_wanted(&name) {
        return;
    }
    let mut open = 0;
    let times = times(family, units, 1, |input| {
        open += usize::from(!frontier(input, &Limits::default()).is_ok_and(|points| points.complete));
    });
    report(&name, times, open);
}

/// Whether the command line asks for a line, by a part of its name or by naming none.
fn is_wanted(name: &str) -> bool {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    words.peek().is_none() || words.any(|word| name.contains(&word))
}

fn times(family: Family, units: usize, budgets: usize, mut run: impl FnMut(&Input)) -> Vec<f64> {
    let time = |seed| {
        let instance = Instance::draw(family, units, seed);
        let constraints = instance.constraints(budgets, 0.4);
        let loss = &instance.loss;
        let input = Input { units, formats: 7, loss, constraints: &constraints, allowed: None, groups: None };
        let started = Instant::now();
        run(&input);
        started.elapsed().as_secs_f64() * 1e3
    };
    (0..SEEDS).map(time).collect()
}

fn report(name: &str, mut times: Vec<f64>, open: usize) {
    times.sort_unstable_by(f64::total_cmp);
    let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{name} | {median:.3}, {slowest:.3} | {open}");
}
