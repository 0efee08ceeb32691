//! x to the power y as exp(y log x), with the logarithm and the product in two words each.
//!
//! y log x may reach 745, so log x needs ten bits more than a double has. Products are made exact by splitting
//! factors into halves of 26 bits (T. J. Dekker, "A floating-point technique for extending the available precision", 1971).

use super::exp::exp_sum;
use super::log::{split, tail};

const LN2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// a * b as a double and its rounding error.
#[inline(always)]
fn product(a: f64, b: f64) -> (f64, f64) {
    const SPLIT: f64 = 134_217_729.0;
    let (wide_a, wide_b) = (a * SPLIT, b * SPLIT);
    let (high_a, high_b) = (wide_a - (wide_a - a), wide_b - (wide_b - b));
    let (low_a, low_b) = (a - high_a, b - high_b);
    let value = a * b;
    let error = ((high_a * high_b - value) + high_a * low_b + low_a * high_b) + low_a * low_b;
    (value, error)
}

/// a + b as a double and its rounding error.
#[inline(always)]
fn sum(a: f64, b: f64) -> (f64, f64) {
    let value = a + b;
    let part = value - a;
    (value, (a - (value - part)) + (b - part))
}

/// log x in two words for a positive finite x.
#[inline(always)]
fn log_two(x: f64) -> (f64, f64) {
    let (k, m) = split(x);
    let f = m - 1.0;
    // s = f / (2 + f) with its remainder; 2 + f itself is rounded.
    let (below, below_low) = sum(2.0, f);
    let s = f / below;
    let (back, back_low) = product(s, below);
    let s_low = (((f - back) - back_low) - s * below_low) / below;
    // 2 s + s z R(z): the second term is at most a hundredth of the first.
    let (value, low) = sum(2.0 * s, s * tail(s * s));
    let low = low + 2.0 * s_low;
    let (value, carried) = sum(k * LN2_HIGH, value);
    sum(value, carried + (low + k * LN2_LOW))
}

/// x to the power y, with the exceptional cases of IEEE 754.
#[inline(always)]
#[must_use]
pub fn pow(x: f64, y: f64) -> f64 {
    let size = x.abs();
    // Beyond 2^66 every power of a number other than 1 is 0 or inf.
    let bounded = if y > 7.4e19 { 7.4e19 } else { y };
    let bounded = if bounded < -7.4e19 { -7.4e19 } else { bounded };
    let (high, low) = log_two(size);
    let (value, error) = product(bounded, high);
    let power = exp_sum(value, error + bounded * low);

    let grows = y > 0.0;
    let at_zero = if grows { 0.0 } else { f64::INFINITY };
    let at_infinity = if grows { f64::INFINITY } else { 0.0 };
    let power = if size == 0.0 { at_zero } else { power };
    let power = if size == f64::INFINITY { at_infinity } else { power };

    // A number from 2^52 on is whole, and its last bit tells whether it is odd up to 2^53.
    const WHOLE: f64 = 4_503_599_627_370_496.0;
    let y_size = y.abs();
    let shifted = y_size + WHOLE;
    let is_whole = y_size >= WHOLE || shifted - WHOLE == y_size;
    let last_bit = if y_size >= WHOLE { y_size } else { shifted }.to_bits() & 1;
    let is_odd = is_whole && last_bit == 1 && y_size < 2.0 * WHOLE;
    let negative = x.is_sign_negative();
    let power = if negative && is_odd { -power } else { power };
    let power = if x < 0.0 && !is_whole && size < f64::INFINITY { f64::NAN } else { power };
    let power = if x.is_nan() || y.is_nan() { f64::NAN } else { power };
    if x == 1.0 || y == 0.0 { 1.0 } else { power }
}
