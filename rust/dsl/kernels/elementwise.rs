//! Element by element: IEEE arithmetic without protected operators, the loop inside each operator.

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
pub fn scalar(op: Op, [a, b, c]: [f64; 3]) -> f64 {
    let mut out = [0.0];
    match op.operands() {
        1 => unary(op, &[a], &mut out),
        2 => binary(op, Operand::Splat(a), Operand::Splat(b), &mut out),
        _ => ternary(op, Operand::Splat(a), Operand::Splat(b), Operand::Splat(c), &mut out),
    }
    out[0]
}

/// `out[i] = op(x[i])`; operators of another kind give NaN.
pub fn unary(op: Op, x: &[f64], out: &mut [f64]) {
    match op {
        Op::Neg => map(x, out, |v| -v),
        Op::Abs => map(x, out, f64::abs),
        Op::Sign => map(x, out, sign),
        Op::Sqrt => map(x, out, f64::sqrt),
        Op::Square => map(x, out, |v| v * v),
        Op::Relu => map(x, out, |v| if v < 0.0 { 0.0 } else { v }),
        Op::Recip => map(x, out, |v| 1.0 / v),
        Op::Exp => math::slice::exp(x, out),
        Op::Expm1 => math::slice::expm1(x, out),
        Op::Log => math::slice::log(x, out),
        Op::Log1p => math::slice::log1p(x, out),
        Op::Log2 => math::slice::log2(x, out),
        Op::Log10 => math::slice::log10(x, out),
        Op::Tanh => math::slice::tanh(x, out),
        Op::Sigmoid => math::slice::sigmoid(x, out),
        _ => out.fill(f64::NAN),
    }
}

/// `out[i] = op(a[i], b[i])`; operators of another kind give NaN.
pub fn binary(op: Op, a: Operand, b: Operand, out: &mut [f64]) {
    match op {
        Op::Add => zip(a, b, out, |a, b| a + b),
        Op::Sub => zip(a, b, out, |a, b| a - b),
        Op::Mul => zip(a, b, out, |a, b| a * b),
        Op::Div => zip(a, b, out, |a, b| a / b),
        Op::Pow => match (a, b) {
            (Operand::Slice(a), Operand::Slice(b)) => math::slice::pow(a, b, out),
            _ => zip(a, b, out, math::pow),
        },
        Op::Lt => zip(a, b, out, |a, b| f64::from(a < b)),
        Op::Le => zip(a, b, out, |a, b| f64::from(a <= b)),
        Op::Gt => zip(a, b, out, |a, b| f64::from(a > b)),
        Op::Ge => zip(a, b, out, |a, b| f64::from(a >= b)),
        Op::Eq => zip(a, b, out, |a, b| f64::from(a == b)),
        Op::Ne => zip(a, b, out, |a, b| f64::from(a != b)),
        Op::Min => zip(a, b, out, smaller),
        Op::Max => zip(a, b, out, larger),
        _ => out.fill(f64::NAN),
    }
}

/// `out[i] = op(a[i], b[i], c[i])`; operators of another kind give NaN.
pub fn ternary(op: Op, a: Operand, b: Operand, c: Operand, out: &mut [f64]) {
    match op {
        Op::Where => zip3(a, b, c, out, |condition, a, b| if condition != 0.0 { a } else { b }),
        Op::Clip => zip3(a, b, c, out, |v, low, high| smaller(larger(v, low), high)),
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

#[inline(always)]
fn map(x: &[f64], out: &mut [f64], f: impl Fn(f64) -> f64) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = f(*x);
    }
}

#[inline(always)]
fn zip(a: Operand, b: Operand, out: &mut [f64], f: impl Fn(f64, f64) -> f64) {
    match (a, b) {
        (Operand::Slice(a), Operand::Slice(b)) => {
            for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                *out = f(*a, *b);
            }
        }
        (Operand::Slice(a), Operand::Splat(b)) => map(a, out, |a| f(a, b)),
        (Operand::Splat(a), Operand::Slice(b)) => map(b, out, |b| f(a, b)),
        (Operand::Splat(a), Operand::Splat(b)) => out.fill(f(a, b)),
    }
}

#[inline(always)]
fn zip3(a: Operand, b: Operand, c: Operand, out: &mut [f64], f: impl Fn(f64, f64, f64) -> f64) {
    if let (Operand::Slice(a), Operand::Slice(b), Operand::Slice(c)) = (a, b, c) {
        for (((out, a), b), c) in out.iter_mut().zip(a).zip(b).zip(c) {
            *out = f(*a, *b, *c);
        }
        return;
    }
    for (place, out) in out.iter_mut().enumerate() {
        *out = f(a.at(place), b.at(place), c.at(place));
    }
}

impl Operand<'_> {
    #[inline(always)]
    fn at(self, place: usize) -> f64 {
        match self {
            Operand::Splat(number) => number,
            Operand::Slice(values) => values.get(place).copied().unwrap_or(f64::NAN),
        }
    }
}
