//! Element by element: IEEE arithmetic without protected operators, the loop inside each operator.

use pulp::{Arch, Simd, WithSimd};

use crate::dsl::ops::Op;
use crate::math;

/// One side of an operator: a number for all elements, or one for each.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    /// The same number everywhere.
    Splat(f64),
    /// One number an element; as long as the output.
    Slice(&'a [f64]),
}

/// One element of any elementwise operator; unused operands are ignored.
pub fn scalar(op: Op, numbers: [f64; 3]) -> f64 {
    let mut out = [0.0];
    elementwise_by(pulp::Scalar, op, numbers.map(Operand::Splat), &mut out);
    out[0]
}

/// `out[i] = op(a[i], b[i], c[i])` on the widest vectors of the machine; unused operands are ignored, and operators of
/// another kind give NaN.
pub fn elementwise(op: Op, operands: [Operand; 3], out: &mut [f64]) {
    Arch::new().dispatch(Dispatched { op, operands, out });
}

struct Dispatched<'a> {
    op: Op,
    operands: [Operand<'a>; 3],
    out: &'a mut [f64],
}

impl WithSimd for Dispatched<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        elementwise_by(simd, self.op, self.operands, self.out);
    }
}

/// The same on vectors chosen before; each loop is compiled by itself, so that none hides from the compiler in another.
#[inline(always)]
pub fn elementwise_by<S: Simd>(simd: S, op: Op, [a, b, c]: [Operand; 3], out: &mut [f64]) {
    match op {
        Op::Neg => map(simd, a, out, |v| -v),
        Op::Abs => map(simd, a, out, |v| v.abs()),
        Op::Sign => map(simd, a, out, sign),
        Op::Sqrt => map(simd, a, out, |v| v.sqrt()),
        Op::Square => map(simd, a, out, |v| v * v),
        Op::Relu => map(simd, a, out, |v| if v < 0.0 { 0.0 } else { v }),
        Op::Recip => map(simd, a, out, |v| 1.0 / v),
        Op::Exp => map(simd, a, out, math::exp),
        Op::Expm1 => map(simd, a, out, math::expm1),
        Op::Log => map(simd, a, out, math::log),
        Op::Log1p => map(simd, a, out, math::log1p),
        Op::Log2 => map(simd, a, out, math::log2),
        Op::Log10 => map(simd, a, out, math::log10),
        Op::Tanh => map(simd, a, out, math::tanh),
        Op::Sigmoid => map(simd, a, out, math::sigmoid),
        Op::Add => zip(simd, a, b, out, |a, b| a + b),
        Op::Sub => zip(simd, a, b, out, |a, b| a - b),
        Op::Mul => zip(simd, a, b, out, |a, b| a * b),
        Op::Div => zip(simd, a, b, out, |a, b| a / b),
        Op::Pow => zip3(simd, a, b, c, out, |a, b, _| math::pow(a, b)),
        Op::Lt => zip(simd, a, b, out, |a, b| if a < b { 1.0 } else { 0.0 }),
        Op::Le => zip(simd, a, b, out, |a, b| if a <= b { 1.0 } else { 0.0 }),
        Op::Gt => zip(simd, a, b, out, |a, b| if a > b { 1.0 } else { 0.0 }),
        Op::Ge => zip(simd, a, b, out, |a, b| if a >= b { 1.0 } else { 0.0 }),
        Op::Eq => zip(simd, a, b, out, |a, b| if a == b { 1.0 } else { 0.0 }),
        Op::Ne => zip(simd, a, b, out, |a, b| if a != b { 1.0 } else { 0.0 }),
        Op::Min => zip(simd, a, b, out, smaller),
        Op::Max => zip(simd, a, b, out, larger),
        Op::Where => zip3(simd, a, b, c, out, |condition, a, b| if condition != 0.0 { a } else { b }),
        Op::Clip => zip3(simd, a, b, c, out, |v, low, high| smaller(larger(v, low), high)),
        _ => out.fill(f64::NAN),
    }
}

#[inline(always)]
fn sign(v: f64) -> f64 {
    if v > 0.0 {
        1.0
    } else if v < 0.0 {
        -1.0
    } else if v == 0.0 {
        0.0
    } else {
        v
    }
}

/// The smaller of two; NaN when either is.
#[inline(always)]
pub(super) fn smaller(a: f64, b: f64) -> f64 {
    if a < b || a.is_nan() { a } else { b }
}

/// The larger of two; NaN when either is.
#[inline(always)]
pub(super) fn larger(a: f64, b: f64) -> f64 {
    if a > b || a.is_nan() { a } else { b }
}

/// Numbers that every loop takes at once; what is left over is padded, since single steps cost as much as whole vectors.
const LANES: usize = 8;

#[inline(always)]
fn map<S: Simd>(simd: S, a: Operand, out: &mut [f64], f: impl Fn(f64) -> f64) {
    match a {
        Operand::Slice(a) => simd.vectorize(Eights { x: [a], out, f: |[a]: [f64; 1]| f(a) }),
        Operand::Splat(a) => out.fill(f(a)),
    }
}

#[inline(always)]
fn zip<S: Simd>(simd: S, a: Operand, b: Operand, out: &mut [f64], f: impl Fn(f64, f64) -> f64) {
    match (a, b) {
        (Operand::Slice(a), Operand::Slice(b)) => {
            simd.vectorize(Eights { x: [a, b], out, f: |[a, b]: [f64; 2]| f(a, b) });
        }
        (Operand::Slice(a), Operand::Splat(b)) => {
            simd.vectorize(Eights { x: [a], out, f: |[a]: [f64; 1]| f(a, b) });
        }
        (Operand::Splat(a), Operand::Slice(b)) => {
            simd.vectorize(Eights { x: [b], out, f: |[b]: [f64; 1]| f(a, b) });
        }
        (Operand::Splat(a), Operand::Splat(b)) => out.fill(f(a, b)),
    }
}

/// For the operators that are rare or long enough to have one loop for all kinds of operands.
#[inline(always)]
fn zip3<S: Simd>(
    simd: S,
    a: Operand,
    b: Operand,
    c: Operand,
    out: &mut [f64],
    f: impl Fn(f64, f64, f64) -> f64,
) {
    simd.vectorize(Threes { x: [a, b, c], out, f });
}

struct Eights<'a, const N: usize, F> {
    x: [&'a [f64]; N],
    out: &'a mut [f64],
    f: F,
}

impl<const N: usize, F: Fn([f64; N]) -> f64> WithSimd for Eights<'_, N, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        eights(self.x, self.out, self.f);
    }
}

struct Threes<'a, F> {
    x: [Operand<'a>; 3],
    out: &'a mut [f64],
    f: F,
}

impl<F: Fn(f64, f64, f64) -> f64> WithSimd for Threes<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (at, out) in self.out.chunks_mut(LANES).enumerate() {
            let [a, b, c] = self.x.map(|x| x.eight(at));
            let mut results = [0.0; LANES];
            for (lane, result) in results.iter_mut().enumerate() {
                *result = (self.f)(a[lane], b[lane], c[lane]);
            }
            out.iter_mut().zip(&results).for_each(|(to, from)| *to = *from);
        }
    }
}

/// `out[i] = f(x[i])` for one or several x.
///
/// Each block is asked for by itself: where the compiler can see through the loop over blocks it gathers every eighth
/// number instead of taking the eight that stand together.
#[inline(always)]
pub(super) fn eights<const N: usize>(x: [&[f64]; N], out: &mut [f64], f: impl Fn([f64; N]) -> f64) {
    let (wholes, rest) = out.as_chunks_mut::<LANES>();
    let mut blocks = x.map(|x| x.as_chunks::<LANES>().0.iter());
    for out in wholes {
        let eight = blocks.each_mut().map(|blocks| blocks.next().copied().unwrap_or([f64::NAN; LANES]));
        for lane in 0..LANES {
            out[lane] = f(std::array::from_fn(|side| eight[side][lane]));
        }
    }
    if !rest.is_empty() {
        let mut padded = [[0.0; LANES]; N];
        for (pad, x) in padded.iter_mut().zip(x) {
            pad.iter_mut().zip(x.as_chunks::<LANES>().1).for_each(|(to, from)| *to = *from);
        }
        let mut results = [0.0; LANES];
        for (lane, result) in results.iter_mut().enumerate() {
            *result = f(std::array::from_fn(|side| padded[side][lane]));
        }
        rest.iter_mut().zip(&results).for_each(|(to, from)| *to = *from);
    }
}

impl Operand<'_> {
    /// The eight numbers of block `at`; those beyond the end are 0.
    #[inline(always)]
    fn eight(self, at: usize) -> [f64; LANES] {
        match self {
            Operand::Splat(number) => [number; LANES],
            Operand::Slice(values) => {
                let mut eight = [0.0; LANES];
                let here = values.get(at * LANES..).unwrap_or_default();
                match here.first_chunk() {
                    Some(whole) => eight = *whole,
                    None => eight.iter_mut().zip(here).for_each(|(to, from)| *to = *from),
                }
                eight
            }
        }
    }
}
