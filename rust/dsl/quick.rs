//! The usual program straight into a pool: one pass, no tree, no spans, and at anything unusual nothing at all.
//!
//! Reads the part of the language that is columns, numbers, operators and calls without axis words. Whatever it reads
//! has the value, hash and count of operators that `compile` gives; for the rest, errors and slips included, it returns
//! None and `compile` has the word. The pass over one expression is in `pass`.

use crate::dsl::count::Count;
use crate::dsl::limits::Limits;
use crate::dsl::names::{self, Key, Word};
use crate::dsl::parse::is_name_byte;
use crate::dsl::pass::{Pass, Stacks, bound};
use crate::dsl::pool::Pool;
use crate::dsl::schema::Schema;
use crate::dsl::text::{AFTER, BEFORE, Kind, Text};

pub use crate::dsl::count::Read;

/// Reads program after program with the same memory.
#[derive(Debug, Default)]
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
        let mut pass = Pass::new(text, stacks, bindings, at, setting);
        let value = pass.run(count, pool)?;
        Some((value, pass.at()))
    }
}
