//! An expression: operator precedence by two stacks, so that no input can overflow the call stack.
//!
//! `operands` holds finished values, `frames` the operators, parentheses and calls that wait for more.

use crate::dsl::ast::{Node, Term};
use crate::dsl::axes::Axes;
use crate::dsl::error::{Error, Kind, Span};
use crate::dsl::limits::Limits;
use crate::dsl::ops::Op;
use crate::dsl::parse::Parser;
use crate::dsl::schema::Schema;

#[derive(Clone, Copy, Debug)]
pub(super) struct Operand {
    pub(super) node: u32,
    pub(super) span: Span,
}

/// What a frame waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Waits {
    Right,
    Paren,
    Call,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) waits: Waits,
    pub(super) op: Op,
    precedence: u8,
    pub(super) start: u32,
    pub(super) base: u32,
}

/// What comes after a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Next {
    /// Another operand.
    Operand,
    /// Again a complete value.
    Value,
    /// The end of the statement.
    End,
}

/// Binding strengths; comparisons bind least.
const COMPARE: u8 = 1;
const SUM: u8 = 2;
const PRODUCT: u8 = 3;
const SIGN: u8 = 4;
const POWER: u8 = 5;

impl Parser {
    /// An expression up to the end of its line; the node of its value.
    pub(super) fn expression(&mut self, schema: &Schema, limits: &Limits) -> Result<u32, Error> {
        loop {
            if !self.operand(schema, limits)? {
                continue;
            }
            loop {
                match self.operator(schema, limits)? {
                    Next::Operand => break,
                    Next::Value => {}
                    Next::End => return self.finish(),
                }
            }
        }
    }

    /// Read one operand or what opens one; true when a value is complete.
    #[inline(always)]
    fn operand(&mut self, schema: &Schema, limits: &Limits) -> Result<bool, Error> {
        self.skip_blanks();
        self.count_token(limits)?;
        let start = self.at;
        match self.byte(0) {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.name(schema, limits),
            b'0'..=b'9' => self.number().map(|()| true),
            b'.' if self.byte(1).is_ascii_digit() => self.number().map(|()| true),
            b'(' => {
                self.at += 1;
                self.open(Waits::Paren, Op::Const, start, limits).map(|()| false)
            }
            b'-' => {
                self.at += 1;
                self.wait(Op::Neg, SIGN, start, limits).map(|()| false)
            }
            b'+' => {
                self.at += 1;
                Ok(false)
            }
            _ => self.missing_operand(limits),
        }
    }

    /// Read what follows a value.
    #[inline(always)]
    fn operator(&mut self, schema: &Schema, limits: &Limits) -> Result<Next, Error> {
        self.skip_blanks();
        let start = self.at;
        let (op, precedence, length) = match (self.byte(0), self.byte(1)) {
            (b'+', _) => (Op::Add, SUM, 1),
            (b'-', _) => (Op::Sub, SUM, 1),
            (b'*', b'*') => (Op::Pow, POWER, 2),
            (b'*', _) => (Op::Mul, PRODUCT, 1),
            (b'/', next) if next != b'/' => (Op::Div, PRODUCT, 1),
            (b')', _) => {
                self.at += 1;
                return self.close(start).map(|()| Next::Value);
            }
            (b',', _) => {
                self.at += 1;
                return self.comma(start).map(|()| Next::Operand);
            }
            (b'<', b'=') => (Op::Le, COMPARE, 2),
            (b'<', _) => (Op::Lt, COMPARE, 1),
            (b'>', b'=') => (Op::Ge, COMPARE, 2),
            (b'>', _) => (Op::Gt, COMPARE, 1),
            (b'=', b'=') => (Op::Eq, COMPARE, 2),
            (b'!', b'=') => (Op::Ne, COMPARE, 2),
            (b'^', _) => {
                self.note(Span::new(start as u32, start as u32 + 1), "`^` read as the power `**`");
                (Op::Pow, POWER, 1)
            }
            _ => return self.after_value(schema, limits),
        };
        self.at += length;
        self.count_token(limits)?;
        if precedence != POWER {
            self.reduce(precedence.max(SUM));
        }
        if precedence == COMPARE && self.frames.last().is_some_and(|frame| frame.precedence == COMPARE) {
            return Err(self.chained(start));
        }
        self.wait(op, precedence, start, limits).map(|()| Next::Operand)
    }

    /// Put an operator on the stack until its right operand is there.
    #[inline(always)]
    fn wait(&mut self, op: Op, precedence: u8, start: usize, limits: &Limits) -> Result<(), Error> {
        if precedence >= SIGN {
            self.deepen(start, limits)?;
        }
        self.frames.push(Frame { waits: Waits::Right, op, precedence, start: start as u32, base: 0 });
        Ok(())
    }

    /// Open a parenthesis or a call.
    #[inline(always)]
    pub(super) fn open(&mut self, waits: Waits, op: Op, start: usize, limits: &Limits) -> Result<(), Error> {
        self.deepen(start, limits)?;
        self.open += 1;
        let base = self.operands.len() as u32;
        self.frames.push(Frame { waits, op, precedence: 0, start: start as u32, base });
        Ok(())
    }

    #[inline(always)]
    fn deepen(&mut self, start: usize, limits: &Limits) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > limits.nesting {
            let span = Span::new(start as u32, start as u32 + 1);
            let message = format!("nesting deeper than {}", limits.nesting);
            return Err(Error::new(Kind::LimitNesting, span, message)
                .hint("bind inner parts to names on lines of their own"));
        }
        Ok(())
    }

    #[inline(always)]
    pub(super) fn count_token(&mut self, limits: &Limits) -> Result<(), Error> {
        self.tokens += 1;
        if self.tokens > limits.tokens {
            let span = Span::new(self.at as u32, self.at as u32 + 1);
            let message = format!("more than {} tokens", limits.tokens);
            return Err(Error::new(Kind::LimitTokens, span, message).hint("write a shorter program"));
        }
        Ok(())
    }

    /// Apply the operators on top of the stack that bind at least as strongly as `precedence`.
    #[inline(always)]
    pub(super) fn reduce(&mut self, precedence: u8) {
        while let Some(frame) = self.frames.last().copied() {
            if frame.precedence < precedence {
                return;
            }
            self.frames.pop();
            self.apply_frame(frame);
        }
    }

    #[inline(always)]
    fn apply_frame(&mut self, frame: Frame) {
        self.depth -= usize::from(frame.precedence >= SIGN);
        let Some(right) = self.operands.pop() else { return };
        if frame.op == Op::Neg {
            let span = Span::new(frame.start, right.span.end);
            self.push_apply(frame.op, Axes::NONE, [right.node, 0, 0], span);
        } else if let Some(left) = self.operands.pop() {
            let span = Span::new(left.span.start, right.span.end);
            self.push_apply(frame.op, Axes::NONE, [left.node, right.node, 0], span);
        }
    }

    /// Add a node for an operator and make it an operand.
    #[inline(always)]
    pub(super) fn push_apply(&mut self, op: Op, reduce: Axes, args: [u32; 3], span: Span) {
        self.push(Term::Apply { op, reduce, args }, span);
    }

    /// Add a node and make it an operand.
    #[inline(always)]
    pub(super) fn push(&mut self, term: Term, span: Span) {
        let node = self.ast.nodes.len() as u32;
        self.ast.nodes.push(Node { term, span });
        self.operands.push(Operand { node, span });
    }

    /// Take the innermost open parenthesis or call off the stack, its inside reduced to values.
    #[inline(always)]
    pub(super) fn pop_open(&mut self) -> Option<Frame> {
        self.reduce(COMPARE);
        let frame = self.frames.pop()?;
        self.open -= 1;
        self.depth -= 1;
        Some(frame)
    }

    /// The value of the statement that ends here.
    fn finish(&mut self) -> Result<u32, Error> {
        self.reduce(COMPARE);
        if let Some(frame) = self.frames.last() {
            let span = Span::new(frame.start, frame.start + 1);
            return Err(Error::new(Kind::Syntax, span, "this parenthesis is never closed").hint("add a `)`"));
        }
        match self.operands.pop() {
            Some(value) => Ok(value.node),
            None => Err(Error::new(Kind::Syntax, self.span_from(self.at), "expected an expression")),
        }
    }
}
