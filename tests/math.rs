//! Elementary functions against the platform's, at their edges, and bit for bit against recorded digests.

use proptest::prelude::*;
use tap_core::math::{self, slice};

type Single = fn(f64) -> f64;
type Slice = fn(&[f64], &mut [f64]);

/// Name, the function, its slice version, the platform's, and the digest of its results on `grid`.
const SINGLES: [(&str, Single, Slice, Single, u64); 8] = [
    ("exp", math::exp, slice::exp, f64::exp, 0x670b_b9a9_f2d7_b110),
    ("expm1", math::expm1, slice::expm1, f64::exp_m1, 0x99da_646b_1cc8_0b40),
    ("log", math::log, slice::log, f64::ln, 0x2199_c1a1_e2bd_c573),
    ("log1p", math::log1p, slice::log1p, f64::ln_1p, 0x0a17_26a2_f8e5_27d8),
    ("log2", math::log2, slice::log2, f64::log2, 0x83e3_2d56_daf0_1662),
    ("log10", math::log10, slice::log10, f64::log10, 0x2381_857d_4319_bb3e),
    ("tanh", math::tanh, slice::tanh, f64::tanh, 0xd209_4e0c_6e83_4ba4),
    ("sigmoid", math::sigmoid, slice::sigmoid, slow_sigmoid, 0x786f_8dc0_f7ae_b170),
];

fn slow_sigmoid(x: f64) -> f64 {
    if x < -36.0 { x.exp() } else { 1.0 / (1.0 + (-x).exp()) }
}

const POW_DIGEST: u64 = 0x88bc_ab73_d6bd_d473;

/// Numbers of every size and sign, the special ones first.
fn grid() -> Vec<f64> {
    let mut values = vec![0.0, 1.0, 2.0, f64::INFINITY, f64::NAN, f64::MIN_POSITIVE, 5e-324, f64::MAX];
    let mut state = 88_172_645_463_325_252_u64;
    for step in 0..5_000_u32 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let unit = (state >> 11) as f64 / (1_u64 << 53) as f64;
        let scale = [1e-12, 1e-3, 0.5, 1.0, 3.0, 30.0, 800.0].get(step as usize % 7).copied().unwrap_or(1.0);
        values.push(unit * scale);
        values.push(1.0 + (unit - 0.5) * scale.min(1.0));
        values.push(f64::from_bits(state >> 1));
    }
    let negated: Vec<f64> = values.iter().map(|value| -value).collect();
    values.extend(negated);
    values
}

/// Distance in units of the last place of the expected value.
fn ulps(got: f64, expected: f64) -> f64 {
    if got.is_nan() && expected.is_nan() || got == expected {
        return 0.0;
    }
    if !got.is_finite() || !expected.is_finite() {
        // The last number before infinity is as good as infinity.
        let close = got.abs().min(expected.abs()) > 1.797_693_134_862_31e308 && got * expected > 0.0;
        return if close { 1.0 } else { f64::INFINITY };
    }
    let size = expected.abs().max(f64::MIN_POSITIVE);
    (got - expected).abs() / (size * f64::EPSILON).max(5e-324)
}

fn digest(values: impl Iterator<Item = f64>) -> u64 {
    values.fold(0xcbf2_9ce4_8422_2325, |hash, value| {
        // The sign and payload of a NaN are no promise.
        let bits = if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
        (hash ^ bits).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29)
    })
}

#[test]
fn singles_are_close_to_the_platforms() {
    for (name, function, _, reference, _) in SINGLES {
        for x in grid() {
            let (got, expected) = (function(x), reference(x));
            assert!(ulps(got, expected) <= 4.0, "{name}({x:e}) = {got:e}, not {expected:e}");
        }
    }
}

#[test]
fn results_have_the_recorded_bits() {
    let grid = grid();
    let found: Vec<(&str, u64, u64)> = SINGLES
        .iter()
        .map(|&(name, function, _, _, recorded)| (name, digest(grid.iter().map(|&x| function(x))), recorded))
        .chain(std::iter::once({
            let powers = grid.iter().zip(grid.iter().skip(1)).map(|(&x, &y)| math::pow(x, y));
            ("pow", digest(powers), POW_DIGEST)
        }))
        .collect();
    let wrong: Vec<_> = found.iter().filter(|(_, got, recorded)| got != recorded).collect();
    assert!(wrong.is_empty(), "{wrong:#x?}");
}

#[test]
fn slices_of_every_length_have_the_bits_of_singles() {
    let grid = grid();
    for length in (0..70).chain([1000]) {
        let x: Vec<f64> = grid.iter().copied().take(length).collect();
        let y: Vec<f64> = grid.iter().rev().copied().take(length).collect();
        let mut out = vec![0.0; length];
        for (name, function, over_slice, _, _) in SINGLES {
            over_slice(&x, &mut out);
            let same = out.iter().zip(&x).all(|(got, &x)| same_bits(*got, function(x)));
            assert!(same, "{name} of {length}");
        }
        slice::pow(&x, &y, &mut out);
        assert!(out.iter().zip(x.iter().zip(&y)).all(|(got, (&x, &y))| same_bits(*got, math::pow(x, y))));
    }
}

fn same_bits(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

#[test]
fn zero_keeps_its_sign() {
    for function in [math::expm1, math::log1p, math::tanh] {
        assert_eq!(function(-0.0).to_bits(), (-0.0_f64).to_bits());
        assert_eq!(function(0.0).to_bits(), 0);
    }
    assert_eq!(
        (-3..4).map(|k| math::log2(2_f64.powi(k))).collect::<Vec<_>>(),
        [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0]
    );
}

#[test]
fn powers_of_special_numbers_are_those_of_ieee() {
    let special =
        [0.0, 0.5, 1.0, 2.0, 3.0, 4.5, 9_007_199_254_740_991.0, 1e17, 1e300, f64::INFINITY, f64::NAN, 5e-324];
    for x in special.iter().flat_map(|&x| [x, -x]) {
        for y in special.iter().flat_map(|&y| [y, -y]) {
            let (got, expected) = (math::pow(x, y), x.powf(y));
            assert!(ulps(got, expected) <= 8.0, "{x:e} ** {y:e} = {got:e}, not {expected:e}");
            assert!(got.is_nan() || got.is_sign_negative() == expected.is_sign_negative(), "{x:e} ** {y:e}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn powers_are_close_to_the_platforms(x in 1e-300_f64..1e300, wanted in -740_f64..709.0, near in any::<bool>()) {
        let x = if near { 1.0 + (x.log10() / 300.0) * 1e-4 } else { x };
        let y = wanted / x.ln();
        prop_assume!(y.is_finite());
        let (got, expected) = (math::pow(x, y), x.powf(y));
        prop_assert!(ulps(got, expected) <= 16.0, "{x:e} ** {y:e} = {got:e}, not {expected:e}");
    }
}
