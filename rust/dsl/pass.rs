//! One expression straight into a pool: two stacks, one for values and one for what waits for more.
//!
//! Precedence is handled as in `expression`. Whatever is not of the plain kind ends the pass with None.

use crate::dsl::axes::Axes;
use crate::dsl::count::Count;
use crate::dsl::names::{self, Key, Word};
use crate::dsl::ops::{Class, Form, Op};
use crate::dsl::pool::Pool;
use crate::dsl::quick::Setting;
use crate::dsl::text::{self, AFTER, BEFORE, Kind, Text};

/// Entries of a stack; programs that need more are not read here.
const STACK: usize = 256;

/// Finished values, and the operators, parentheses and calls that wait for more.
#[derive(Debug)]
pub struct Stacks {
    values: [u32; STACK],
    waiting: [Waiting; STACK],
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    op: Op,
    /// 0 for a parenthesis or a call.
    precedence: u8,
    is_call: bool,
    /// For a call, how many values there were before it.
    base: u8,
}

const BOTTOM: Waiting = Waiting { op: Op::Const, precedence: 0, is_call: false, base: 0 };

/// Where one pass stands; lives in registers.
pub struct Pass<'a> {
    text: &'a Text,
    stacks: &'a mut Stacks,
    bindings: &'a [(Key, u32)],
    setting: Setting<'a>,
    at: usize,
    values: usize,
    waiting: usize,
    /// Open parentheses and calls.
    open: usize,
    /// Waiting entries that count as nesting.
    depth: usize,
}

impl Default for Stacks {
    fn default() -> Stacks {
        Stacks { values: [0; STACK], waiting: [BOTTOM; STACK] }
    }
}

/// The value bound last to a name.
pub fn bound(bindings: &[(Key, u32)], key: Key) -> Option<u32> {
    bindings.iter().rev().find(|binding| binding.0 == key).map(|binding| binding.1)
}

impl<'a> Pass<'a> {
    /// A pass from `at` on.
    #[inline(always)]
    pub fn new(
        text: &'a Text,
        stacks: &'a mut Stacks,
        bindings: &'a [(Key, u32)],
        at: usize,
        setting: Setting<'a>,
    ) -> Pass<'a> {
        Pass { text, stacks, bindings, setting, at, values: 0, waiting: 0, open: 0, depth: 0 }
    }

    /// Where the pass stands.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The value of the expression.
    #[inline(always)]
    pub fn run(&mut self, count: &mut Count, pool: &mut Pool) -> Option<u32> {
        loop {
            if !self.operand(pool)? {
                continue;
            }
            // Operators after a value, until one wants another operand.
            loop {
                let byte = self.text.byte(self.at);
                let after = AFTER[byte as usize];
                let (mut op, mut precedence) = (after.op, after.precedence);
                self.at += 1;
                match after.kind {
                    Kind::Operator => {}
                    Kind::Star if self.text.byte(self.at) == b'*' => {
                        (op, precedence) = (Op::Pow, text::POWER);
                        self.at += 1;
                    }
                    Kind::Star => {}
                    Kind::Slash if self.text.byte(self.at) != b'/' => {}
                    Kind::Close => {
                        self.close(count, pool)?;
                        continue;
                    }
                    Kind::Comma => {
                        self.comma(count, pool)?;
                        break;
                    }
                    Kind::Blank => continue,
                    Kind::Line if byte == b'\n' && self.open > 0 => continue,
                    Kind::Line | Kind::End if self.open == 0 => return self.finish(byte, count, pool),
                    Kind::Compare => op = self.comparison(byte)?,
                    _ => return None,
                }
                if precedence != text::POWER {
                    self.reduce(precedence.max(text::SUM), count, pool)?;
                }
                if precedence == text::COMPARE && self.top().precedence == text::COMPARE {
                    return None;
                }
                self.wait(op, precedence)?;
                break;
            }
        }
    }

    /// Reads one operand or what opens one; true when a value is complete.
    #[inline(always)]
    fn operand(&mut self, pool: &mut Pool) -> Option<bool> {
        match BEFORE[self.text.byte(self.at) as usize] {
            Kind::Letter => self.word(pool),
            Kind::Digit => {
                let number = self.text.number(&mut self.at)?;
                let value = pool.constant(number);
                self.push(value);
                Some(true)
            }
            Kind::Open => self.open(Op::Const, false).map(|()| false),
            Kind::Minus => {
                self.at += 1;
                self.wait(Op::Neg, text::SIGN).map(|()| false)
            }
            Kind::Blank => {
                self.at += 1;
                Some(false)
            }
            Kind::Line if self.open > 0 => {
                self.at += 1;
                Some(false)
            }
            _ => None,
        }
    }

    /// A name, or the start of a call (false).
    #[inline(always)]
    fn word(&mut self, pool: &mut Pool) -> Option<bool> {
        let (key, length) = self.text.name(self.at)?;
        let start = self.at;
        self.at += length;
        while AFTER[self.text.byte(self.at) as usize].kind == Kind::Blank
            || self.text.byte(self.at) == b'\n' && self.open > 0
        {
            self.at += 1;
        }
        let word = names::lookup(key);
        if self.text.byte(self.at) == b'(' {
            let Some(Word::Operator(op)) = word else { return None };
            return self.open(op, true).map(|()| false);
        }
        if self.bindings.is_empty()
            && let Some(Word::Input(id)) = word
            && let Some(value) = pool.known_input(id)
        {
            self.push(value);
            return Some(true);
        }
        let value = self.rare_word(key, word, start, length, pool)?;
        self.push(value);
        Some(true)
    }

    /// A bound name, a constant, an input of the user, or one that is met for the first time.
    #[inline(never)]
    fn rare_word(
        &self,
        key: Key,
        word: Option<Word>,
        start: usize,
        length: usize,
        pool: &mut Pool,
    ) -> Option<u32> {
        if let Some(value) = bound(self.bindings, key) {
            return Some(value);
        }
        let id = match word {
            Some(Word::Constant(value)) => return Some(pool.constant(value)),
            Some(Word::Input(id)) => id,
            Some(_) => return None,
            None => self.setting.schema.find(self.text.part(start, length)?)?,
        };
        let held = self.setting.held.get(id as usize) == Some(&true);
        held.then(|| pool.input(id, self.setting.schema))
    }

    /// `<` and its like, the first byte read; moves behind the second.
    fn comparison(&mut self, byte: u8) -> Option<Op> {
        let equal = self.text.byte(self.at) == b'=';
        self.at += usize::from(equal);
        match (byte, equal) {
            (b'<', true) => Some(Op::Le),
            (b'<', false) => Some(Op::Lt),
            (b'>', true) => Some(Op::Ge),
            (b'>', false) => Some(Op::Gt),
            (b'=', true) => Some(Op::Eq),
            (b'!', true) => Some(Op::Ne),
            _ => None,
        }
    }

    #[inline(always)]
    fn push(&mut self, value: u32) {
        self.stacks.values[self.values % STACK] = value;
        self.values += 1;
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<u32> {
        self.values = self.values.checked_sub(1)?;
        Some(self.stacks.values[self.values % STACK])
    }

    /// What waits innermost; something of no precedence when nothing does.
    #[inline(always)]
    fn top(&self) -> Waiting {
        if self.waiting == 0 { BOTTOM } else { self.stacks.waiting[(self.waiting - 1) % STACK] }
    }

    #[inline(always)]
    fn wait(&mut self, op: Op, precedence: u8) -> Option<()> {
        self.depth += usize::from(precedence >= text::SIGN);
        self.push_waiting(Waiting { op, precedence, is_call: false, base: 0 })
    }

    #[inline(always)]
    fn open(&mut self, op: Op, is_call: bool) -> Option<()> {
        self.at += 1;
        self.depth += 1;
        self.open += 1;
        self.push_waiting(Waiting { op, precedence: 0, is_call, base: self.values as u8 })
    }

    #[inline(always)]
    fn push_waiting(&mut self, waiting: Waiting) -> Option<()> {
        self.stacks.waiting[self.waiting % STACK] = waiting;
        self.waiting += 1;
        // Between two calls of this at most 17 values are pushed.
        let room = self.waiting < STACK && self.values < STACK - 20;
        (room && self.depth <= self.setting.limits.nesting).then_some(())
    }

    /// Applies the operators that wait and bind at least as strongly as `precedence`.
    #[inline(always)]
    fn reduce(&mut self, precedence: u8, count: &mut Count, pool: &mut Pool) -> Option<()> {
        loop {
            let waiting = self.top();
            if waiting.precedence < precedence {
                return Some(());
            }
            self.waiting -= 1;
            self.depth -= usize::from(waiting.precedence >= text::SIGN);
            let right = self.pop()?;
            let value = if waiting.op == Op::Neg {
                pool.apply_one(Op::Neg, right)?
            } else {
                let left = self.pop()?;
                pool.apply_two(waiting.op, left, right)?
            };
            count.see(value, pool);
            self.push(value);
        }
    }

    /// `,` after a value.
    #[inline(always)]
    fn comma(&mut self, count: &mut Count, pool: &mut Pool) -> Option<()> {
        self.reduce(text::COMPARE, count, pool)?;
        let top = self.top();
        (top.is_call && self.values - usize::from(top.base) < 17).then_some(())
    }

    /// `)` after a value.
    #[inline(always)]
    fn close(&mut self, count: &mut Count, pool: &mut Pool) -> Option<()> {
        self.reduce(text::COMPARE, count, pool)?;
        let waiting = self.top();
        self.waiting = self.waiting.checked_sub(1)?;
        self.open -= 1;
        self.depth -= 1;
        if !waiting.is_call {
            return Some(());
        }
        let base = usize::from(waiting.base);
        if self.values == base + 1 && waiting.op.operands() == 1 && waiting.op != Op::Quantile {
            let operand = self.pop()?;
            let value = pool.apply_one(waiting.op, operand)?;
            count.see(value, pool);
            self.push(value);
            return Some(());
        }
        self.close_longer(waiting.op, base, count, pool)
    }

    /// A call with several values.
    #[inline(never)]
    fn close_longer(&mut self, op: Op, base: usize, count: &mut Count, pool: &mut Pool) -> Option<()> {
        let given = self.values.checked_sub(base)?;
        let (least, most) = match op.spec().form {
            Form::Call(least, most) => (least as usize, most as usize),
            _ => (2, 2),
        };
        if op.class() != Class::Elementwise || given < least || given > most {
            return None;
        }
        let mut args = [0; 3];
        args.iter_mut().zip(self.stacks.values.get(base..)?).take(given).for_each(|(to, from)| *to = *from);
        let mut value = pool.apply(op, Axes::NONE, args, 0.0)?;
        count.see(value, pool);
        // min and max of more than two, from left to right.
        for at in base + op.operands()..self.values {
            let next = self.stacks.values[at % STACK];
            value = pool.apply(op, Axes::NONE, [value, next, 0], 0.0)?;
            count.see(value, pool);
        }
        self.values = base;
        self.push(value);
        Some(())
    }

    /// The value of the statement that the byte before this ends.
    fn finish(&mut self, byte: u8, count: &mut Count, pool: &mut Pool) -> Option<u32> {
        self.at -= 1;
        self.reduce(text::COMPARE, count, pool)?;
        let at_end = byte != 0 || self.at >= self.text.end();
        (at_end && self.waiting == 0 && self.values == 1).then(|| self.stacks.values[0])
    }
}
