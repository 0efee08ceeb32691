//! Rewrites that change no bit of any finite result: constants folded, powers unrolled, one name for each thing.

use crate::dsl::axes::Axes;
use crate::dsl::kernels;
use crate::dsl::ops::{Class, LARGEST_UNROLLED_POWER, Op};
use crate::dsl::pool::Pool;
use crate::dsl::program::Instruction;

impl Pool {
    /// The value of an instruction after rewriting.
    #[inline(always)]
    pub(super) fn simplify(&mut self, instruction: Instruction) -> u32 {
        let Instruction { op, args: [a, ..], .. } = instruction;
        let rewritten = match op {
            Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Pow => self.arithmetic(instruction),
            Op::Neg => match self.at(a) {
                Some(inner) if inner.op == Op::Neg => {
                    self.detour = true;
                    Some(inner.args[0])
                }
                Some(inner) if inner.op == Op::Const => Some(self.constant(-inner.number)),
                _ => None,
            },
            _ if self.is_constant(a) && op.class() == Class::Elementwise => self.fold(&instruction),
            _ => None,
        };
        match rewritten {
            Some(value) => value,
            None => self.emit(instruction),
        }
    }

    #[inline(always)]
    fn arithmetic(&mut self, instruction: Instruction) -> Option<u32> {
        let Instruction { op, args: [a, b, _], axes, .. } = instruction;
        let (left, right) = (self.at(a)?, self.at(b)?);
        if left.op == Op::Const || right.op == Op::Const {
            return self.with_constant(instruction, left, right);
        }
        match op {
            Op::Mul if a == b => Some(self.unary(Op::Square, a, axes)),
            Op::Add if right.op == Op::Neg => Some(self.instead(Op::Sub, a, right.args[0], axes)),
            Op::Add if left.op == Op::Neg => Some(self.instead(Op::Sub, b, left.args[0], axes)),
            Op::Sub if right.op == Op::Neg => Some(self.instead(Op::Add, a, right.args[0], axes)),
            _ => None,
        }
    }

    /// Arithmetic with a number on one side or both.
    fn with_constant(
        &mut self,
        instruction: Instruction,
        left: Instruction,
        right: Instruction,
    ) -> Option<u32> {
        let Instruction { op, args: [a, b, _], axes, .. } = instruction;
        if left.op == Op::Const && right.op == Op::Const {
            return self.fold(&instruction);
        }
        match op {
            Op::Mul if left.op == Op::Const && left.number == 1.0 => Some(b),
            Op::Mul | Op::Div if right.op == Op::Const && right.number == 1.0 => Some(a),
            Op::Div if left.op == Op::Const && left.number == 1.0 => Some(self.unary(Op::Recip, b, axes)),
            Op::Pow if right.op == Op::Const => self.power(a, right.number, axes),
            _ => None,
        }
    }

    /// A power with a number as exponent, where multiplications or a root give it.
    fn power(&mut self, base: u32, exponent: f64, axes: Axes) -> Option<u32> {
        if exponent == 1.0 {
            return Some(base);
        }
        if exponent == 0.5 {
            return Some(self.unary(Op::Sqrt, base, axes));
        }
        if exponent == -1.0 {
            return Some(self.unary(Op::Recip, base, axes));
        }
        let whole = exponent as i32;
        if f64::from(whole) != exponent || !(2..=LARGEST_UNROLLED_POWER).contains(&whole) {
            return None;
        }
        self.detour |= whole > 2;
        let (mut left, mut square, mut product) = (whole, base, None);
        loop {
            if left & 1 == 1 {
                product = Some(match product {
                    Some(product) => self.binary(Op::Mul, product, square, axes),
                    None => square,
                });
            }
            left >>= 1;
            if left == 0 {
                return product;
            }
            square = self.unary(Op::Square, square, axes);
        }
    }

    /// The number that an operator on numbers gives; None when it is not finite, or an operand is no number.
    fn fold(&mut self, instruction: &Instruction) -> Option<u32> {
        let mut numbers = [0.0; 3];
        for (number, id) in numbers.iter_mut().zip(instruction.operands()) {
            let operand = self.at(*id)?;
            if operand.op != Op::Const {
                return None;
            }
            *number = operand.number;
        }
        let folded = kernels::scalar(instruction.op, numbers);
        folded.is_finite().then(|| self.constant(folded))
    }

    #[inline(always)]
    fn at(&self, id: u32) -> Option<Instruction> {
        self.get(id).copied()
    }

    #[inline(always)]
    fn is_constant(&self, id: u32) -> bool {
        self.get(id).is_some_and(|instruction| instruction.op == Op::Const)
    }

    #[inline(always)]
    fn unary(&mut self, op: Op, a: u32, axes: Axes) -> u32 {
        self.emit(Instruction { op, axes, reduce: Axes::NONE, args: [a, 0, 0], number: 0.0 })
    }

    #[inline(always)]
    fn binary(&mut self, op: Op, a: u32, b: u32, axes: Axes) -> u32 {
        self.emit(Instruction { op, axes, reduce: Axes::NONE, args: [a, b, 0], number: 0.0 })
    }

    /// An operator on what stands inside a minus, which may have no other use.
    #[inline(always)]
    fn instead(&mut self, op: Op, a: u32, b: u32, axes: Axes) -> u32 {
        self.detour = true;
        self.binary(op, a, b, axes)
    }
}
