//! Many numbers to one: sums in a fixed order, moments in two passes, order statistics by selection.
//!
//! A sum goes over blocks of `BLOCK` elements; within a block eight lanes add every eighth element, then the lanes
//! are added in pairs, and the sums of blocks are added in order. The same bits whatever computes it.

use pulp::{Simd, WithSimd};

use crate::dsl::kernels::elementwise::{larger, smaller};
use crate::dsl::ops::Op;
use crate::math;

/// Elements that are summed before the sum is added to the total.
pub const BLOCK: usize = 512;

/// `op` over all of `x`, where `scale` is whole elements for each sampled one; `sorted` is memory to use again.
///
/// Formulas: sum = s Σv, mean = Σv/n, var = Σ(v - mean)²/n, norm1 = s Σ|v|, norm2 = √(s Σv²), count = n s,
/// entropy = -Σ p ln p + ln s with p = |v|/Σ|v|, kurtosis = m4/m2² - 3.
pub fn reduce(op: Op, x: &[f64], scale: f64, quantile: f64, sorted: &mut Vec<f64>) -> f64 {
    let n = x.len() as f64;
    match op {
        Op::Sum => scale * total(x, |v| v),
        Op::Mean => total(x, |v| v) / n,
        Op::Var => variance(x),
        Op::Std => variance(x).sqrt(),
        Op::MinOf | Op::MaxOf => x.chunks(BLOCK).fold(start(op), |total, block| extreme(op, total, block)),
        Op::Norm1 => scale * total(x, f64::abs),
        Op::Norm2 => (scale * total(x, |v| v * v)).sqrt(),
        Op::Count => n * scale,
        Op::Median => order_statistic(x, 0.5, sorted),
        Op::Quantile => order_statistic(x, quantile, sorted),
        Op::Entropy => entropy(x, scale),
        Op::Kurtosis => kurtosis(x),
        _ => f64::NAN,
    }
}

/// Whether a reduction can be taken block by block: `start`, `accumulate` for each block of `BLOCK`, `finish`.
pub const fn streams(op: Op) -> bool {
    matches!(op, Op::Sum | Op::Mean | Op::Norm1 | Op::Norm2 | Op::Count | Op::MinOf | Op::MaxOf)
}

/// The total of no element.
pub const fn start(op: Op) -> f64 {
    match op {
        Op::MinOf => f64::INFINITY,
        Op::MaxOf => f64::NEG_INFINITY,
        _ => 0.0,
    }
}

/// The total with one more block, on vectors chosen before.
#[inline(always)]
pub fn accumulate<S: Simd>(simd: S, op: Op, total: f64, block: &[f64]) -> f64 {
    simd.vectorize(Block { op, total, block })
}

struct Block<'a> {
    op: Op,
    total: f64,
    block: &'a [f64],
}

impl WithSimd for Block<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let Block { op, total, block } = self;
        match op {
            Op::Sum | Op::Mean => total + block_sum(block, |v| v),
            Op::Norm1 => total + block_sum(block, |v| v.abs()),
            Op::Norm2 => total + block_sum(block, |v| v * v),
            Op::MinOf | Op::MaxOf => extreme(op, total, block),
            _ => total,
        }
    }
}

/// The smallest or largest of `total` and a block, eight lanes at once.
#[inline(always)]
fn extreme(op: Op, total: f64, block: &[f64]) -> f64 {
    if op == Op::MinOf { in_lanes(block, total, smaller) } else { in_lanes(block, total, larger) }
}

/// The reduction of `n` elements from their total; the same bits as `reduce` of all at once.
pub fn finish(op: Op, total: f64, n: f64, scale: f64) -> f64 {
    match op {
        Op::Sum | Op::Norm1 => scale * total,
        Op::Mean => total / n,
        Op::Norm2 => (scale * total).sqrt(),
        Op::Count => n * scale,
        _ => total,
    }
}

/// Sum of `f` over all elements in the fixed order.
#[inline(always)]
pub(super) fn total(x: &[f64], f: impl Fn(f64) -> f64 + Copy) -> f64 {
    x.chunks(BLOCK).fold(0.0, |sum, block| sum + block_sum(block, f))
}

#[inline(always)]
fn block_sum(block: &[f64], f: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0; 8];
    let (eights, rest) = block.as_chunks::<8>();
    for eight in eights {
        for (lane, v) in lanes.iter_mut().zip(eight) {
            *lane += f(*v);
        }
    }
    let mut lanes = whole(lanes);
    for (lane, v) in lanes.iter_mut().zip(rest) {
        *lane += f(*v);
    }
    in_pairs(lanes)
}

/// The lanes, as they are: the compiler may not choose the vectors of a loop by what is done with single lanes after it,
/// which made it cut them in pieces.
#[inline(always)]
pub(super) fn whole(lanes: [f64; 8]) -> [f64; 8] {
    std::hint::black_box(lanes)
}

/// The sum of the lanes.
#[inline(always)]
pub(super) fn in_pairs([a, b, c, d, e, f, g, h]: [f64; 8]) -> f64 {
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// A fold whose order is of no matter, eight at once.
#[inline(always)]
pub(super) fn in_lanes(x: &[f64], start: f64, f: impl Fn(f64, f64) -> f64) -> f64 {
    let mut lanes = [start; 8];
    let (eights, rest) = x.as_chunks::<8>();
    for eight in eights {
        lanes.iter_mut().zip(eight).for_each(|(lane, v)| *lane = f(*lane, *v));
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, v)| *lane = f(*lane, *v));
    lanes.into_iter().fold(start, f)
}

fn variance(x: &[f64]) -> f64 {
    let n = x.len() as f64;
    let mean = total(x, |v| v) / n;
    total(x, |v| (v - mean) * (v - mean)) / n
}

fn kurtosis(x: &[f64]) -> f64 {
    let n = x.len() as f64;
    let mean = total(x, |v| v) / n;
    let second = total(x, |v| (v - mean) * (v - mean)) / n;
    let fourth = total(x, |v| ((v - mean) * (v - mean)) * ((v - mean) * (v - mean))) / n;
    fourth / (second * second) - 3.0
}

fn entropy(x: &[f64], scale: f64) -> f64 {
    let sum = total(x, f64::abs);
    let share = |v: f64| {
        let p = v.abs() / sum;
        if p == 0.0 { 0.0 } else { p * math::log(p) }
    };
    -total(x, share) + math::log(scale)
}

/// The quantile by linear interpolation between the two elements around place q (n - 1).
fn order_statistic(x: &[f64], q: f64, sorted: &mut Vec<f64>) -> f64 {
    if x.is_empty() || x.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    sorted.clear();
    sorted.extend_from_slice(x);
    let place = q * (x.len() - 1) as f64;
    let below = (place.floor() as usize).min(x.len() - 1);
    let part = place - below as f64;
    let (_, low, above) = sorted.select_nth_unstable_by(below, f64::total_cmp);
    let low = *low;
    if part == 0.0 || above.is_empty() {
        return low;
    }
    let high = above.iter().copied().fold(f64::INFINITY, smaller);
    // Equal neighbours may both be infinite, and their difference would be NaN.
    if low == high { low } else { (1.0 - part) * low + part * high }
}
