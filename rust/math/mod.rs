//! Elementary functions with the same bits on every machine: numbers to numbers, one at a time or a slice at once.
//!
//! Only +, -, *, /, comparisons and integer operations on the bits are used, in one fixed order and never fused, so
//! that scalar code and vectors of any width agree. Slices run on the widest vectors that the machine has.

mod exp;
mod log;
mod pow;

use pulp::{Arch, Simd, WithSimd};

pub use exp::{exp, expm1, sigmoid, tanh};
pub use log::{log, log1p, log2, log10};
pub use pow::pow;

/// Slice versions: `out[i] = f(x[i])`, as many as both hold.
pub mod slice {
    use super::{apply, apply_pair};

    macro_rules! slices {
        ($($(#[$doc:meta])* $name:ident)*) => {$(
            $(#[$doc])*
            pub fn $name(x: &[f64], out: &mut [f64]) {
                struct Function;
                impl super::Function for Function {
                    #[inline(always)]
                    fn at(x: f64) -> f64 {
                        super::$name(x)
                    }
                }
                apply::<Function>(x, out);
            }
        )*};
    }

    slices! {
        /// e to the power x.
        exp
        /// exp(x) - 1, accurate near 0.
        expm1
        /// Natural logarithm.
        log
        /// log(1 + x), accurate near 0.
        log1p
        /// Logarithm to base 2.
        log2
        /// Logarithm to base 10.
        log10
        /// Hyperbolic tangent.
        tanh
        /// 1 / (1 + exp(-x)).
        sigmoid
    }

    /// `out[i] = x[i]` to the power `y[i]`.
    pub fn pow(x: &[f64], y: &[f64], out: &mut [f64]) {
        apply_pair(x, y, out);
    }
}

/// Numbers in the widest vector of any machine.
const LANES: usize = 8;

trait Function {
    fn at(x: f64) -> f64;
}

struct Each<'a, F> {
    x: &'a [f64],
    out: &'a mut [f64],
    function: std::marker::PhantomData<F>,
}

fn apply<F: Function>(x: &[f64], out: &mut [f64]) {
    Arch::new().dispatch(Each::<F> { x, out, function: std::marker::PhantomData });
}

impl<F: Function> WithSimd for Each<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (mut pad, mut results) = ([0.0; LANES], [0.0; LANES]);
        let (whole, rest) = self.x.as_chunks::<LANES>();
        pad.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        let (out, out_rest) = self.out.split_at_mut(whole.as_flattened().len().min(self.out.len()));
        // What is left over takes the same loop in a padded block, since scalar steps cost as much as whole vectors.
        let filled = if rest.is_empty() { 0 } else { LANES };
        let padded = (pad.get(..filled).unwrap_or_default(), results.get_mut(..filled).unwrap_or_default());
        for (x, out) in [(whole.as_flattened(), out), padded] {
            for (out, &x) in out.iter_mut().zip(x) {
                *out = F::at(x);
            }
        }
        out_rest.iter_mut().zip(&results).for_each(|(to, from)| *to = *from);
    }
}

struct Pairs<'a> {
    x: &'a [f64],
    y: &'a [f64],
    out: &'a mut [f64],
}

fn apply_pair(x: &[f64], y: &[f64], out: &mut [f64]) {
    Arch::new().dispatch(Pairs { x, y, out });
}

impl WithSimd for Pairs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for ((out, &x), &y) in self.out.iter_mut().zip(self.x).zip(self.y) {
            *out = pow(x, y);
        }
    }
}
