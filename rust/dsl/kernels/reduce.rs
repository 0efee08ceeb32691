//! Many numbers to one: sums in a fixed order, moments in two passes, order statistics by selection.
//!
//! A sum goes over blocks of `BLOCK` elements; within a block eight lanes add every eighth element, then the lanes
//! are added in pairs, and the sums of blocks are added in order. The same bits whatever computes it.

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
        Op::MinOf => x.iter().copied().fold(f64::INFINITY, smaller),
        Op::MaxOf => x.iter().copied().fold(f64::NEG_INFINITY, larger),
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

/// Whether a reduction can be taken block by block: `start`, `accumulate_here` for each block of `BLOCK`, `finish`.
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

/// The total with one more block, on the vectors that the calling code was compiled for.
#[inline(always)]
pub fn accumulate_here(op: Op, total: f64, block: &[f64]) -> f64 {
    match op {
        Op::Sum | Op::Mean => total + block_sum(block, |v| v),
        Op::Norm1 => total + block_sum(block, |v| v.abs()),
        Op::Norm2 => total + block_sum(block, |v| v * v),
        Op::MinOf => block.iter().copied().fold(total, smaller),
        Op::MaxOf => block.iter().copied().fold(total, larger),
        _ => total,
    }
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
    for (lane, v) in lanes.iter_mut().zip(rest) {
        *lane += f(*v);
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
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
