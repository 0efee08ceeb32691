//! Logarithms.
//!
//! x = 2^k m with sqrt(1/2) <= m < sqrt(2), f = m - 1, s = f / (2 + f); then log m = 2 atanh(s) = f - f^2/2 + s (f^2/2 + z R(z))
//! with z = s^2 and R the Chebyshev interpolant of degree 6 (error below 2^-57), summed from the small terms up.

const LN2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
/// Bits of sqrt(1/2), rounded up to the high half of the word.
const HALF_ROOT: u64 = 0x3fe6_a09e_0000_0000;
const ONE: u64 = 0x3ff0_0000_0000_0000;
const MANTISSA: u64 = 0x000f_ffff_ffff_ffff;

/// k and m of a positive finite x; anything else gives some numbers.
#[inline(always)]
pub(super) fn split(x: f64) -> (f64, f64) {
    let tiny = x < f64::MIN_POSITIVE;
    let scaled = if tiny { x * 18_014_398_509_481_984.0 } else { x };
    let bits = scaled.to_bits().wrapping_add(ONE - HALF_ROOT);
    let m = f64::from_bits((bits & MANTISSA).wrapping_add(HALF_ROOT));
    // The exponent as a number: its bits under those of 2^52.
    let exponent = f64::from_bits((bits >> 52) | 0x4330_0000_0000_0000) - 4_503_599_627_370_496.0;
    (exponent - if tiny { 1077.0 } else { 1023.0 }, m)
}

/// z R(z) with R(z) = (2 atanh(s) - 2 s) / s^3.
#[inline(always)]
pub(super) fn tail(z: f64) -> f64 {
    let p = 0.146_164_841_983_666_03;
    let p = p * z + 0.153_317_188_082_800_7;
    let p = p * z + 0.181_828_892_092_665_93;
    let p = p * z + 0.222_222_111_336_420_84;
    let p = p * z + 0.285_714_286_259_825_5;
    let p = p * z + 0.399_999_999_998_994_9;
    let p = p * z + 0.666_666_666_666_667;
    p * z
}

/// log m as f plus a remainder that is smaller.
#[inline(always)]
fn log_parts(m: f64) -> (f64, f64) {
    let f = m - 1.0;
    let s = f / (2.0 + f);
    let half = 0.5 * f * f;
    (f, s * (half + tail(s * s)) - half)
}

/// The value of a logarithm outside 0 < x < inf.
#[inline(always)]
fn or_special(x: f64, value: f64) -> f64 {
    let value = if x == 0.0 { f64::NEG_INFINITY } else { value };
    let value = if x == f64::INFINITY { x } else { value };
    // Also true for a NaN.
    if x >= 0.0 { value } else { f64::NAN }
}

/// Natural logarithm; -inf at 0, NaN below.
#[inline(always)]
#[must_use]
pub fn log(x: f64) -> f64 {
    let (k, m) = split(x);
    let (f, rest) = log_parts(m);
    or_special(x, k * LN2_HIGH + (f + (rest + k * LN2_LOW)))
}

/// log(1 + x), accurate near 0: log of the rounded sum plus what the rounding lost over the sum.
#[inline(always)]
#[must_use]
pub fn log1p(x: f64) -> f64 {
    let sum = 1.0 + x;
    let lost = if x < 1.0 { x - (sum - 1.0) } else { 1.0 - (sum - x) };
    let (k, m) = split(sum);
    let (f, rest) = log_parts(m);
    let value = k * LN2_HIGH + (f + (rest + (k * LN2_LOW + lost / sum)));
    let value = or_special(sum, value);
    if x.abs() < 1e-17 { x } else { value }
}

/// Logarithm to base 2, exact at powers of 2.
#[inline(always)]
#[must_use]
pub fn log2(x: f64) -> f64 {
    let (k, m) = split(x);
    let (f, rest) = log_parts(m);
    // log2(e) = 1 + 0.44..., so that f itself is not rounded.
    let sum = f + rest;
    or_special(x, k + (sum + sum * 0.442_695_040_888_963_4))
}

/// Logarithm to base 10.
#[inline(always)]
#[must_use]
pub fn log10(x: f64) -> f64 {
    // log10(2) in two parts as ln 2 above.
    const HIGH: f64 = 0.301_029_995_663_611_77;
    const LOW: f64 = 3.694_239_077_158_931e-13;
    let (k, m) = split(x);
    let (f, rest) = log_parts(m);
    or_special(x, k * HIGH + (k * LOW + (f + rest) * std::f64::consts::LOG10_E))
}
