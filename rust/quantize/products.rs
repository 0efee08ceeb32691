//! Inner products of points with their own codes: `along = sum x q`, `norm = sum q q`, `q = clamp(round(x / s))`.
//!
//! The codes of some scales are made side by side, so that a point is read once for all of them. Rounding is half to
//! even: a number added to 1.5 * 2^23 has no room for a fraction. Sums are float32 over a few vectors, float64 beyond.

use pulp::Simd;

/// 1.5 * 2^23, where neighbours are one apart.
pub const INTEGERS: f32 = 12_582_912.0;
/// Vectors whose sums stay in float32: with codes and points that are small integers the sums are exact.
const BLOCK: usize = 64;

/// `<x, q>` and `<q, q>` of codes from `-half` to `half - 1`, for each of the inverses of scales.
#[inline(always)]
pub fn products<S: Simd, const K: usize>(
    simd: S,
    points: &[f32],
    inverses: &[f32; K],
    half: f32,
) -> [(f64, f64); K] {
    let (whole, rest) = S::as_simd_f32s(points);
    let mut sums = [(0.0, 0.0); K];
    for block in whole.chunks(BLOCK) {
        add(simd, block, inverses, half, &mut sums);
    }
    if !rest.is_empty() {
        add(simd, &[simd.partial_load_f32s(rest)], inverses, half, &mut sums);
    }
    sums
}

#[inline(always)]
fn add<S: Simd, const K: usize>(
    simd: S,
    points: &[S::f32s],
    inverses: &[f32; K],
    half: f32,
    sums: &mut [(f64, f64); K],
) {
    let integers = simd.splat_f32s(INTEGERS);
    let (low, high) = (simd.splat_f32s(INTEGERS - half), simd.splat_f32s(INTEGERS + half - 1.0));
    let mut scaled = [integers; K];
    for (scaled, &inverse) in scaled.iter_mut().zip(inverses) {
        *scaled = simd.splat_f32s(inverse);
    }
    let (mut along, mut norm) = ([simd.splat_f32s(0.0); K], [simd.splat_f32s(0.0); K]);
    for &x in points {
        for k in 0..K {
            let code = simd.add_f32s(simd.mul_f32s(x, scaled[k]), integers);
            let code = simd.sub_f32s(simd.min_f32s(simd.max_f32s(code, low), high), integers);
            along[k] = simd.mul_add_e_f32s(x, code, along[k]);
            norm[k] = simd.mul_add_e_f32s(code, code, norm[k]);
        }
    }
    for k in 0..K {
        sums[k].0 += f64::from(simd.reduce_sum_f32s(along[k]));
        sums[k].1 += f64::from(simd.reduce_sum_f32s(norm[k]));
    }
}

/// The largest magnitude of a row; 0 of an empty one.
#[inline(always)]
pub fn largest<S: Simd>(simd: S, row: &[f32]) -> f32 {
    let (whole, rest) = S::as_simd_f32s(row);
    let mut most = simd.abs_f32s(simd.partial_load_f32s(rest));
    for &x in whole {
        most = simd.max_f32s(most, simd.abs_f32s(x));
    }
    simd.reduce_max_f32s(most)
}

/// Write `round(x / top * half_bins)` of each `x` of `row`: the place of its bin, counted from the middle one.
#[inline(always)]
pub fn places<S: Simd>(simd: S, row: &[f32], top: f32, half_bins: f32, places: &mut [f32]) {
    let (integers, top) = (simd.splat_f32s(INTEGERS), simd.splat_f32s(top));
    let half_bins = simd.splat_f32s(half_bins);
    let (whole, rest) = S::as_simd_f32s(row);
    let (out, out_rest) = S::as_mut_simd_f32s(places);
    for (out, &x) in out.iter_mut().zip(whole) {
        let place = simd.mul_f32s(simd.div_f32s(x, top), half_bins);
        *out = simd.sub_f32s(simd.add_f32s(place, integers), integers);
    }
    let place = simd.mul_f32s(simd.div_f32s(simd.partial_load_f32s(rest), top), half_bins);
    simd.partial_store_f32s(out_rest, simd.sub_f32s(simd.add_f32s(place, integers), integers));
}
