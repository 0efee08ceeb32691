//! The usual program straight into a pool: one pass, no tree, no spans, and at anything unusual nothing at all.
//!
//! Reads the part of the language that is columns, numbers, operators and calls without axis words. Whatever it reads
//! has the value, hash and count of operators that `compile` gives; for the rest, errors and slips included, it returns
//! None and `compile` has the word. Precedence is handled as in `expression`; operators in words are in `count`.

use crate::dsl::axes::Axes;
use crate::dsl::count::Count;
use crate::dsl::limits::Limits;
use crate::dsl::names::{self, Key, Word};
use crate::dsl::ops::{Class, Form, Op};
use crate::dsl::parse::is_name_byte;
use crate::dsl::pool::Pool;
use crate::dsl::schema::Schema;
use crate::dsl::text::{self, AFTER, BEFORE, Kind, Text};

pub use crate::dsl::count::Read;

/// Reads program after program with the same memory.
#[derive(Debug)]
pub struct Reader {
    text: Box<Text>,
    stacks: Box<Stacks>,
    /// Bound names and their values.
    bindings: Vec<(Key, u32)>,
    count: Count,
}

/// What programs are read with.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// Names of inputs.
    pub schema: &'a Schema,
    /// Bounds of the language.
    pub limits: &'a Limits,
    /// By input id, whether it is a column that all tables hold.
    pub held: &'a [bool],
}

/// Entries of a stack; programs that need more are not read here.
const STACK: usize = 256;

/// Finished values, and the operators, parentheses and calls that wait for more.
#[derive(Debug)]
struct Stacks {
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
struct Pass<'a> {
    text: &'a Text,
    stacks: &'a mut Stacks,
    bindings: &'a [(Key, u32)],
    count: &'a mut Count,
    pool: &'a mut Pool,
    setting: Setting<'a>,
    at: usize,
    values: usize,
    waiting: usize,
    /// Open parentheses and calls.
    open: usize,
    /// Waiting entries that count as nesting.
    depth: usize,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader {
            text: Box::default(),
            stacks: Box::new(Stacks { values: [0; STACK], waiting: [BOTTOM; STACK] }),
            bindings: Vec::new(),
            count: Count::default(),
        }
    }
}

impl Reader {
    /// Reads one program; None leaves values in the pool that nothing uses.
    pub fn read(&mut self, source: &[u8], setting: Setting, pool: &mut Pool) -> Option<Read> {
        // A token has at least one byte, so that fewer bytes than tokens are allowed cannot pass that limit.
        let most = setting.limits.source_bytes.min(setting.limits.tokens);
        if source.len() > most || !self.text.fill(source) {
            return None;
        }
        self.bindings.clear();
        self.count.begin();
        pool.detour = false;
        let (mut at, mut bare, mut statements) = (0, None, 0);
        while self.text.next_statement(&mut at)? {
            let name = self.binding(&mut at)?;
            let (value, end) = self.expression(at, setting, pool)?;
            at = end;
            statements += 1;
            bare = name.is_none().then_some(value);
            self.bindings.extend(name.map(|name| (name, value)));
        }
        const SCORE: Key = names::key(b"score");
        let root = bound(&self.bindings, SCORE).or(bare)?;
        let read =
            if statements > 1 || pool.detour { self.count.again(root, pool) } else { self.count.found(root) };
        (read.ops as usize <= setting.limits.operators).then_some(read)
    }

    /// The name that the statement at `at` binds, with `at` moved behind `=`; none for a bare expression.
    #[inline(always)]
    fn binding(&self, at: &mut usize) -> Option<Option<Key>> {
        if BEFORE[self.text.byte(*at) as usize] != Kind::Letter {
            return Some(None);
        }
        let (key, length) = self.text.name(*at)?;
        let mut end = *at + length;
        while AFTER[self.text.byte(end) as usize].kind == Kind::Blank {
            end += 1;
        }
        if self.text.byte(end) != b'=' || self.text.byte(end + 1) == b'=' {
            return Some(None);
        }
        let is_name = self.text.part(*at, length)?.iter().all(|byte| is_name_byte(*byte));
        if !is_name || matches!(names::lookup(key), Some(Word::Axis(_) | Word::Keyword)) {
            return None;
        }
        *at = end + 1;
        Some(Some(key))
    }

    /// The value of the expression at `at`, and where it ends.
    fn expression(&mut self, at: usize, setting: Setting, pool: &mut Pool) -> Option<(u32, usize)> {
        let Reader { text, stacks, bindings, count } = self;
        let (values, waiting, open, depth) = (0, 0, 0, 0);
        let mut pass =
            Pass { text, stacks, bindings, count, pool, setting, at, values, waiting, open, depth };
        pass.run().map(|value| (value, pass.at))
    }
}

fn bound(bindings: &[(Key, u32)], key: Key) -> Option<u32> {
    bindings.iter().rev().find(|binding| binding.0 == key).map(|binding| binding.1)
}

impl Pass<'_> {
    #[inline(always)]
    fn run(&mut self) -> Option<u32> {
        loop {
            if !self.operand()? {
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
                        self.close()?;
                        continue;
                    }
                    Kind::Comma => {
                        self.comma()?;
                        break;
                    }
                    Kind::Blank => continue,
                    Kind::Line if byte == b'\n' && self.open > 0 => continue,
                    Kind::Line | Kind::End if self.open == 0 => return self.finish(byte),
                    Kind::Compare => op = self.comparison(byte)?,
                    _ => return None,
                }
                if precedence != text::POWER {
                    self.reduce(precedence.max(text::SUM))?;
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
    fn operand(&mut self) -> Option<bool> {
        match BEFORE[self.text.byte(self.at) as usize] {
            Kind::Letter => self.word(),
            Kind::Digit => {
                let number = self.text.number(&mut self.at)?;
                let value = self.pool.constant(number);
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
    fn word(&mut self) -> Option<bool> {
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
            && let Some(value) = self.pool.known_input(id)
        {
            self.push(value);
            return Some(true);
        }
        let value = self.rare_word(key, word, start, length)?;
        self.push(value);
        Some(true)
    }

    /// A bound name, a constant, an input of the user, or one that is met for the first time.
    #[inline(never)]
    fn rare_word(&mut self, key: Key, word: Option<Word>, start: usize, length: usize) -> Option<u32> {
        if let Some(value) = bound(self.bindings, key) {
            return Some(value);
        }
        let id = match word {
            Some(Word::Constant(value)) => return Some(self.pool.constant(value)),
            Some(Word::Input(id)) => id,
            Some(_) => return None,
            None => self.setting.schema.find(self.text.part(start, length)?)?,
        };
        let held = self.setting.held.get(id as usize) == Some(&true);
        held.then(|| self.pool.input(id, self.setting.schema))
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
    fn reduce(&mut self, precedence: u8) -> Option<()> {
        loop {
            let waiting = self.top();
            if waiting.precedence < precedence {
                return Some(());
            }
            self.waiting -= 1;
            self.depth -= usize::from(waiting.precedence >= text::SIGN);
            let right = self.pop()?;
            let value = if waiting.op == Op::Neg {
                self.pool.apply_one(Op::Neg, right)?
            } else {
                let left = self.pop()?;
                self.pool.apply_two(waiting.op, left, right)?
            };
            self.count.see(value, self.pool);
            self.push(value);
        }
    }

    /// `,` after a value.
    #[inline(always)]
    fn comma(&mut self) -> Option<()> {
        self.reduce(text::COMPARE)?;
        let top = self.top();
        (top.is_call && self.values - usize::from(top.base) < 17).then_some(())
    }

    /// `)` after a value.
    #[inline(always)]
    fn close(&mut self) -> Option<()> {
        self.reduce(text::COMPARE)?;
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
            let value = self.pool.apply_one(waiting.op, operand)?;
            self.count.see(value, self.pool);
            self.push(value);
            return Some(());
        }
        self.close_longer(waiting.op, base)
    }

    /// A call with several values.
    #[inline(never)]
    fn close_longer(&mut self, op: Op, base: usize) -> Option<()> {
        let count = self.values.checked_sub(base)?;
        let (least, most) = match op.spec().form {
            Form::Call(least, most) => (least as usize, most as usize),
            _ => (2, 2),
        };
        if op.class() != Class::Elementwise || count < least || count > most {
            return None;
        }
        let mut args = [0; 3];
        args.iter_mut().zip(self.stacks.values.get(base..)?).take(count).for_each(|(to, from)| *to = *from);
        let mut value = self.pool.apply(op, Axes::NONE, args, 0.0)?;
        self.count.see(value, self.pool);
        // min and max of more than two, from left to right.
        for at in base + op.operands()..self.values {
            let next = self.stacks.values[at % STACK];
            value = self.pool.apply(op, Axes::NONE, [value, next, 0], 0.0)?;
            self.count.see(value, self.pool);
        }
        self.values = base;
        self.push(value);
        Some(())
    }

    /// The value of the statement that the byte before this ends.
    fn finish(&mut self, byte: u8) -> Option<u32> {
        self.at -= 1;
        self.reduce(text::COMPARE)?;
        let at_end = byte != 0 || self.at >= self.text.end();
        (at_end && self.waiting == 0 && self.values == 1).then(|| self.stacks.values[0])
    }
}
