//! exp and what is made of it.
//!
//! x = k ln 2 + r with |r| <= ln 2 / 2; exp(r) = 1 + r + r^2 P(r), where P is the Chebyshev interpolant of degree 10
//! (error below 2^-59); the result is scaled by 2^k in two steps, so that results below 2^-1022 round once.

/// Adding and subtracting it rounds a number below 2^51 to a whole one; the low bits of the sum then hold it.
const ROUND: f64 = 6_755_399_441_055_744.0;
const LOG2_E: f64 = std::f64::consts::LOG2_E;
/// ln 2 in two parts; the first ends in 32 zero bits, so that k times it is exact.
const LN2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// The k and r of x, and the bits of k shifted by 2048 to be positive; |x| is below 2^20.
#[inline(always)]
fn reduce(x: f64) -> (f64, u64) {
    let shifted = x * LOG2_E + ROUND;
    let k = shifted - ROUND;
    let biased = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(2048);
    ((x - k * LN2_HIGH) - k * LN2_LOW, biased)
}

/// exp(r) - 1 for |r| <= 0.35.
#[inline(always)]
fn small_expm1(r: f64) -> f64 {
    let p = 2.091_468_078_054_026_3e-9;
    let p = p * r + 2.510_520_833_998_769_8e-8;
    let p = p * r + 2.755_727_366_797_595_3e-7;
    let p = p * r + 2.755_725_542_102_350_6e-6;
    let p = p * r + 2.480_158_732_553_602_3e-5;
    let p = p * r + 1.984_126_987_480_421_4e-4;
    let p = p * r + 1.388_888_888_888_375_2e-3;
    let p = p * r + 8.333_333_333_326_14e-3;
    let p = p * r + 4.166_666_666_666_667e-2;
    let p = p * r + 0.166_666_666_666_666_7;
    let p = p * r + 0.5;
    r + r * r * p
}

/// 2^k for -1022 <= k <= 1023, from k + `bias`.
#[inline(always)]
fn power_of_two(biased: u64, bias: u64) -> f64 {
    f64::from_bits(biased.wrapping_sub(bias).wrapping_add(1023) << 52)
}

/// e to the power x.
#[inline(always)]
#[must_use]
pub fn exp(x: f64) -> f64 {
    let x = if x > 710.0 { 710.0 } else { x };
    let x = if x < -746.0 { -746.0 } else { x };
    let (r, biased) = reduce(x);
    let half = biased >> 1;
    (1.0 + small_expm1(r)) * power_of_two(half, 1024) * power_of_two(biased - half, 1024)
}

/// exp(high + low), where low is small beside high.
#[inline(always)]
pub(super) fn exp_sum(high: f64, low: f64) -> f64 {
    let x = if high > 710.0 { 710.0 } else { high };
    let x = if x < -746.0 { -746.0 } else { x };
    let (r, biased) = reduce(x);
    let half = biased >> 1;
    // A sum that was cut to the range has no use for its low word, which may be large.
    let low = if x == high { low } else { 0.0 };
    let grown = small_expm1(r);
    let value = 1.0 + (grown + (low + low * grown));
    value * power_of_two(half, 1024) * power_of_two(biased - half, 1024)
}

/// exp(x) - 1, accurate near 0.
#[inline(always)]
#[must_use]
pub fn expm1(x: f64) -> f64 {
    let bounded = if x > 710.0 { 710.0 } else { x };
    let bounded = if bounded < -40.0 { -40.0 } else { bounded };
    let (r, biased) = reduce(bounded);
    // 2^(k-1), since 2^1024 is not a number; doubled at the end.
    let half = power_of_two(biased, 2049);
    let value = 2.0 * (half * small_expm1(r) + (half - 0.5));
    if x.abs() < 1e-17 { x } else { value }
}

/// Hyperbolic tangent, t / (t + 2) with t = expm1(2 |x|).
#[inline(always)]
#[must_use]
pub fn tanh(x: f64) -> f64 {
    let size = x.abs();
    let size = if size > 20.0 { 20.0 } else { size };
    let t = expm1(2.0 * size);
    (t / (t + 2.0)).copysign(x)
}

/// 1 / (1 + exp(-x)); below 0 it is exp(x) / (1 + exp(x)), which keeps its accuracy.
#[inline(always)]
#[must_use]
pub fn sigmoid(x: f64) -> f64 {
    let small = exp(-x.abs());
    let top = if x < 0.0 { small } else { 1.0 };
    top / (1.0 + small)
}
