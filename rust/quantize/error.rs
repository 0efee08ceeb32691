//! The error of rows on their grids of integers: `clamp(round(w / s)) s - w`, in one pass.
//!
//! Every step rounds as the same operations on whole tensors do, so that the bits are theirs.

use pulp::{Arch, Simd, WithSimd};

use super::products::INTEGERS;

/// Write the errors of rows, each with the scale that stands beside it; codes run from `-half` to `half - 1`.
///
/// What one of the three has no room for is left out.
pub fn errors(rows: &[f32], scales: &[f32], half: u8, out: &mut [f32]) {
    Arch::new().dispatch(Errors { rows, scales, half: f32::from(half), out });
}

struct Errors<'a> {
    rows: &'a [f32],
    scales: &'a [f32],
    half: f32,
    out: &'a mut [f32],
}

impl WithSimd for Errors<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let columns = (self.rows.len() / self.scales.len().max(1)).max(1);
        let (low, high) =
            (simd.splat_f32s(INTEGERS - self.half), simd.splat_f32s(INTEGERS + self.half - 1.0));
        let rows = self.rows.chunks_exact(columns).zip(self.out.chunks_exact_mut(columns));
        for ((row, out), &scale) in rows.zip(self.scales) {
            let scale = simd.splat_f32s(scale);
            let (whole, rest) = S::as_simd_f32s(row);
            let (out, out_rest) = S::as_mut_simd_f32s(out);
            for (out, &x) in out.iter_mut().zip(whole) {
                *out = error(simd, x, scale, low, high);
            }
            simd.partial_store_f32s(out_rest, error(simd, simd.partial_load_f32s(rest), scale, low, high));
        }
    }
}

/// The errors of one vector; the ends of the codes have `INTEGERS` added.
#[inline(always)]
fn error<S: Simd>(simd: S, x: S::f32s, scale: S::f32s, low: S::f32s, high: S::f32s) -> S::f32s {
    let integers = simd.splat_f32s(INTEGERS);
    let code = simd.add_f32s(simd.div_f32s(x, scale), integers);
    let code = simd.sub_f32s(simd.min_f32s(simd.max_f32s(code, low), high), integers);
    simd.sub_f32s(simd.mul_f32s(code, scale), x)
}
