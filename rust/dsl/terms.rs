//! The parts of an expression: numbers, names, calls and what closes them.

use crate::dsl::ast::Term;
use crate::dsl::axes::Axes;
use crate::dsl::error::{Error, Kind, Span};
use crate::dsl::expression::{Frame, Operand, Waits};
use crate::dsl::limits::Limits;
use crate::dsl::names::{self, Word};
use crate::dsl::ops::{Class, Form, Op};
use crate::dsl::parse::{Ident, Parser, is_name_start};
use crate::dsl::schema::Schema;

impl Parser {
    /// Read a decimal number as Python writes it.
    pub(super) fn number(&mut self) -> Result<(), Error> {
        let start = self.at;
        let (mut digits, mut mantissa, mut scale) = (0u32, 0u64, 0i32);
        let mut point = false;
        loop {
            let byte = self.byte(0);
            if byte.is_ascii_digit() {
                mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
                digits += u32::from(mantissa != 0);
                scale -= i32::from(point);
            } else if byte == b'.' && !point {
                point = true;
            } else {
                break;
            }
            self.at += 1;
        }
        let whole = !point && self.byte(0) | 32 != b'e';
        let signed = matches!(self.byte(1), b'+' | b'-');
        if self.byte(0) | 32 == b'e' && self.byte(1 + usize::from(signed)).is_ascii_digit() {
            let negative = self.byte(1) == b'-';
            self.at += 1 + usize::from(signed);
            let mut exponent = 0i32;
            while self.byte(0).is_ascii_digit() {
                exponent = exponent.saturating_mul(10).saturating_add(i32::from(self.byte(0) - b'0'));
                self.at += 1;
            }
            scale = scale.saturating_add(if negative { -exponent } else { exponent });
        }
        let span = self.span_from(start);
        if is_name_start(self.byte(0)) || self.byte(0) == b'.' {
            return Err(self.malformed_number(start));
        }
        if whole && digits < span.end - span.start && span.end - span.start > 1 && mantissa != 0 {
            return Err(Error::new(Kind::Number, span, "a whole number may not start with 0")
                .hint("drop the leading zeros"));
        }
        let value = match short_decimal(mantissa, digits, scale) {
            Some(value) => value,
            None => {
                let text = String::from_utf8_lossy(self.text(span)).into_owned();
                text.parse::<f64>().unwrap_or(f64::NAN)
            }
        };
        if !value.is_finite() {
            return Err(Error::new(Kind::Number, span, "the number is too large for a float")
                .hint("numbers go up to about 1.8e308"));
        }
        self.push(Term::Number(value), span);
        Ok(())
    }

    /// Read a name: an operand, or a call that is opened (false).
    #[inline(always)]
    pub(super) fn name(&mut self, schema: &Schema, limits: &Limits) -> Result<bool, Error> {
        let ident = self.ident();
        self.skip_blanks();
        if self.byte(0) == b'(' {
            return self.call(ident, limits).map(|()| false);
        }
        if let Some(statement) = self.bound(ident) {
            self.push(Term::Bound(statement), ident.span);
            return Ok(true);
        }
        let term = match names::lookup(ident.key) {
            Some(Word::Input(id)) => Term::Input(id),
            Some(Word::Constant(value)) => Term::Number(value),
            Some(Word::Axis(axes)) => {
                if self.text(ident.span) == b"in" {
                    self.note(ident.span, "`in` read as the axis `in_`");
                }
                Term::Axis(axes)
            }
            Some(Word::Module) if self.byte(0) == b'.' => {
                self.drop_module(ident);
                return Ok(false);
            }
            word => match schema.find(self.text(ident.span)) {
                Some(id) => Term::Input(id),
                None => return self.unknown_name(ident, word, schema).map(|()| true),
            },
        };
        self.push(term, ident.span);
        Ok(true)
    }

    /// Open the call of the operator with this name; the parenthesis is next.
    #[inline(always)]
    fn call(&mut self, ident: Ident, limits: &Limits) -> Result<(), Error> {
        let op = self.callee(ident)?;
        self.at += 1;
        self.count_token(limits)?;
        self.open(Waits::Call, op, ident.span.start as usize, limits)
    }

    /// The operator with this name.
    #[inline(always)]
    pub(super) fn callee(&mut self, ident: Ident) -> Result<Op, Error> {
        match names::lookup(ident.key) {
            Some(Word::Operator(op)) => Ok(op),
            Some(Word::Alias(op)) => {
                let text = String::from_utf8_lossy(self.text(ident.span)).into_owned();
                self.note(ident.span, format!("`{text}` read as `{}`", call_name(op)));
                Ok(op)
            }
            word => Err(self.unknown_operator(ident, word)),
        }
    }

    /// `)` after a value: the parenthesis or call is complete.
    #[inline(always)]
    pub(super) fn close(&mut self, start: usize) -> Result<(), Error> {
        let Some(frame) = self.pop_open() else {
            let span = Span::new(start as u32, start as u32 + 1);
            return Err(Error::new(Kind::Syntax, span, "this `)` closes nothing").hint("remove it"));
        };
        let span = Span::new(frame.start, self.at as u32);
        if frame.waits == Waits::Call {
            return self.finish_call(frame, span);
        }
        if let Some(value) = self.operands.last_mut() {
            value.span = span;
        }
        Ok(())
    }

    /// `,` after a value: another argument follows.
    #[inline(always)]
    pub(super) fn comma(&mut self, start: usize) -> Result<(), Error> {
        self.reduce(1);
        match self.frames.last() {
            Some(frame) if frame.waits == Waits::Call => Ok(()),
            _ => Err(self.tuple(start)),
        }
    }

    /// Turn the arguments of a call into one node.
    #[inline(always)]
    pub(super) fn finish_call(&mut self, frame: Frame, span: Span) -> Result<(), Error> {
        let base = frame.base as usize;
        if self.operands.len() == base + 1 && frame.op.operands() == 1 && frame.op != Op::Quantile {
            // One value and no axis, by far the commonest call.
            if let Some(value) = self.operands.pop() {
                self.push_apply(frame.op, Axes::NONE, [value.node, 0, 0], span);
                return Ok(());
            }
        }
        self.finish_longer_call(frame.op, base, span)
    }

    fn finish_longer_call(&mut self, op: Op, base: usize, span: Span) -> Result<(), Error> {
        let (values, reduce) = self.split_axes(op, base, span)?;
        let op = match (op, values) {
            (Op::Min, 1) => Op::MinOf,
            (Op::Max, 1) => Op::MaxOf,
            (Op::MinOf, 2..) => Op::Min,
            (Op::MaxOf, 2..) => Op::Max,
            _ => op,
        };
        let (least, most) = match op.spec().form {
            Form::Call(least, most) => (least as usize, most as usize),
            _ => (2, 2),
        };
        if values < least || values > most {
            return Err(self.arity(op, values, least, most, span));
        }
        if !reduce.is_empty() && op.class() != Class::Reduction {
            return Err(self.axes_of_no_reduction(op, span));
        }
        let taken: Vec<Operand> = self.operands.drain(base..).take(values).collect();
        let mut args = [0; 3];
        for (slot, operand) in args.iter_mut().zip(&taken) {
            *slot = operand.node;
        }
        if op == Op::Quantile {
            self.check_quantile(taken.get(1).copied())?;
        }
        self.push_apply(op, reduce, args, span);
        if matches!(op, Op::Min | Op::Max) {
            for operand in taken.iter().skip(2) {
                if let Some(left) = self.operands.pop() {
                    self.push_apply(op, Axes::NONE, [left.node, operand.node, 0], span);
                }
            }
        }
        Ok(())
    }

    /// How many of the arguments from `base` are values, and the axes that the others name.
    fn split_axes(&self, op: Op, base: usize, span: Span) -> Result<(usize, Axes), Error> {
        let arguments = self.operands.get(base..).unwrap_or_default();
        let mut values = 0;
        let mut reduce = Axes::NONE;
        for (place, argument) in arguments.iter().enumerate() {
            match self.ast.node(argument.node).term {
                Term::Axis(axis) if reduce.contains(axis) => {
                    return Err(Error::new(
                        Kind::Argument,
                        argument.span,
                        format!("axis `{axis}` is named twice"),
                    )
                    .hint("name each axis once"));
                }
                Term::Axis(axis) => reduce = reduce.union(axis),
                _ if values < place
                    || (place > 0 && op.class() == Class::Reduction && values >= op_values(op)) =>
                {
                    return Err(self.value_for_axis(op, *argument, span));
                }
                _ => values += 1,
            }
        }
        Ok((values, reduce))
    }

    fn check_quantile(&self, operand: Option<Operand>) -> Result<(), Error> {
        let Some(operand) = operand else { return Ok(()) };
        match self.ast.node(operand.node).term {
            Term::Number(q) if (0.0..=1.0).contains(&q) => Ok(()),
            _ => Err(Error::new(
                Kind::Argument,
                operand.span,
                "the second argument of quantile is a number in [0, 1]",
            )
            .hint("write quantile(v, 0.9)")),
        }
    }
}

/// Values that a reduction takes before its axis words.
fn op_values(op: Op) -> usize {
    match op.spec().form {
        // min and max may still turn out elementwise.
        _ if matches!(op, Op::MinOf | Op::MaxOf) => usize::MAX,
        Form::Call(_, most) => most as usize,
        _ => usize::MAX,
    }
}

/// The name to call an operator by.
pub(super) fn call_name(op: Op) -> &'static str {
    if op == Op::Pow { "pow" } else { op.name() }
}

/// A decimal that one exact multiplication or division gives: up to 15 digits, power of ten within 22.
#[inline(always)]
pub(super) fn short_decimal(mantissa: u64, digits: u32, scale: i32) -> Option<f64> {
    const TENS: [f64; 23] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
        1e18, 1e19, 1e20, 1e21, 1e22,
    ];
    if digits > 15 {
        return None;
    }
    let power = *TENS.get(scale.unsigned_abs() as usize)?;
    Some(if scale < 0 { mantissa as f64 / power } else { mantissa as f64 * power })
}
