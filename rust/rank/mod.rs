//! Rows of scores and one target to rank agreement: Spearman, Kendall, weighted tau, top-k overlap.
//!
//! Every function takes `rows` as whole rows of the target's length, one after the other, and writes one number a row.
//! A NaN in a row or in the target gives NaN for that row, and so does a constant row or target.

mod batch;
mod correlate;
mod lanes;
mod order;
mod tables;
mod target;
mod topk;
mod weighted;

pub use batch::{Agreement, Ranker};
pub use order::Order;
pub use target::Target;

/// Spearman's rho of each row, average ranks for ties.
pub fn spearman(rows: &[f64], target: &Target, out: &mut [f64]) {
    let mut ranker = Ranker::default();
    side_by_side(
        rows,
        target,
        out,
        |rows, found| ranker.spearman(rows, target, found),
        |found| found.spearman,
    );
}

/// Kendall's tau-b of each row, in n log n.
pub fn kendall(rows: &[f64], target: &Target, out: &mut [f64]) {
    if target.len() <= SHORT {
        let mut ranker = Ranker::default();
        return side_by_side(
            rows,
            target,
            out,
            |rows, found| ranker.agree(rows, target, found),
            |found| found.kendall,
        );
    }
    let mut buffers = correlate::Inversions::default();
    each_row(rows, target, out, |_, order| correlate::kendall(order, target, &mut buffers));
}

/// Up to here everything about a row is found faster than one thing by itself in longer rows.
const SHORT: usize = 64;

/// One number of each agreement, many rows at a time.
fn side_by_side(
    rows: &[f64],
    target: &Target,
    out: &mut [f64],
    mut agree: impl FnMut(&[f64], &mut [Agreement]),
    read: impl Fn(&Agreement) -> f64,
) {
    const ROWS: usize = 256;
    let mut found = [Agreement::NONE; ROWS];
    for (rows, out) in rows.chunks(ROWS * target.len().max(1)).zip(out.chunks_mut(ROWS)) {
        let found = found.get_mut(..out.len()).unwrap_or_default();
        agree(rows, found);
        out.iter_mut().zip(found).for_each(|(out, agreement)| *out = read(agreement));
    }
}

/// Weighted tau of each row: additive hyperbolic weights, averaged over the ranks of either side.
pub fn weighted_tau(rows: &[f64], target: &Target, out: &mut [f64]) {
    let mut buffers = weighted::Weighted::default();
    each_row(rows, target, out, |row, _| buffers.tau(row, &target.values));
}

/// Overlap of the k largest values of each row with the k largest of the target, from 0 to 1; `k` is cut to the length.
pub fn top_k(rows: &[f64], target: &Target, k: usize, out: &mut [f64]) {
    let k = k.clamp(1, target.len().max(1));
    let (mut wanted, mut share) = (Vec::new(), Vec::new());
    topk::membership(&target.order, k, &mut wanted);
    each_row(rows, target, out, |_, order| {
        if order.ends.len() < 2 {
            return f64::NAN;
        }
        topk::membership(order, k, &mut share);
        topk::overlap(&share, &wanted, k)
    });
}

/// Average ranks of one row, from 1; all NaN when the row holds a NaN.
pub fn average_ranks(row: &[f64], out: &mut [f64]) {
    let mut order = Order::default();
    out.fill(f64::NAN);
    if !order.sort(row) {
        return;
    }
    for (start, members) in order.groups() {
        let rank = start as f64 + (members.len() + 1) as f64 / 2.0;
        for &member in members {
            if let Some(slot) = out.get_mut(member as usize) {
                *slot = rank;
            }
        }
    }
}

/// Sorts each row and writes what `measure` makes of it, or NaN where nothing is defined.
fn each_row(rows: &[f64], target: &Target, out: &mut [f64], mut measure: impl FnMut(&[f64], &Order) -> f64) {
    let mut order = Order::default();
    if target.is_empty() || !target.usable {
        out.fill(f64::NAN);
        return;
    }
    for (row, slot) in rows.chunks_exact(target.len()).zip(out) {
        *slot = if order.sort(row) { measure(row, &order) } else { f64::NAN };
    }
}
