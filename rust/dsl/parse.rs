//! Source text to a tree in an arena: one pass over the bytes, with a stack of its own instead of recursion.
//!
//! The source is copied with a pad of zeros behind it, which no loop over it can pass.

use crate::dsl::ast::{Ast, Name, Statement};
use crate::dsl::error::{Error, Kind, Note, Span};
use crate::dsl::expression::{Frame, Operand};
use crate::dsl::limits::Limits;
use crate::dsl::names::{self, Key, Word};
use crate::dsl::schema::Schema;

/// Zeros after the source, so that a name can be read sixteen bytes at once.
const PAD: usize = 32;

/// Parses program after program with the same memory.
#[derive(Debug, Default)]
pub struct Parser {
    pub(super) source: Vec<u8>,
    pub(super) at: usize,
    pub(super) ast: Ast,
    pub(super) operands: Vec<Operand>,
    pub(super) frames: Vec<Frame>,
    bindings: Vec<Binding>,
    pub(super) tokens: usize,
    /// Open parentheses and calls: inside them a line end is a blank.
    pub(super) open: usize,
    /// Frames that count as nesting.
    pub(super) depth: usize,
}

#[derive(Clone, Copy, Debug)]
struct Binding {
    key: Key,
    span: Span,
    statement: u32,
}

/// A name as it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ident {
    pub(super) key: Key,
    pub(super) span: Span,
}

/// Parse one program.
pub fn parse(source: &[u8], schema: &Schema, limits: &Limits) -> Result<Ast, Error> {
    let mut parser = Parser::default();
    parser.parse(source, schema, limits)?;
    Ok(parser.ast)
}

impl Parser {
    /// Parse one program into `self.ast()`.
    pub fn parse(&mut self, source: &[u8], schema: &Schema, limits: &Limits) -> Result<(), Error> {
        self.reset();
        if source.len() > limits.source_bytes.min(1 << 24) {
            let bound = limits.source_bytes.min(1 << 24);
            let message = format!("the program has {} bytes; at most {bound} are allowed", source.len());
            return Err(
                Error::new(Kind::LimitSource, Span::default(), message).hint("write a shorter program")
            );
        }
        self.source.extend_from_slice(source);
        self.source.resize(source.len() + PAD, 0);
        while self.next_statement()? {
            self.statement(schema, limits)?;
        }
        self.choose_score()
    }

    /// The tree of the last program.
    pub fn ast(&self) -> &Ast {
        &self.ast
    }

    fn reset(&mut self) {
        self.ast.clear();
        self.source.clear();
        self.operands.clear();
        self.frames.clear();
        self.bindings.clear();
        (self.at, self.tokens, self.open, self.depth) = (0, 0, 0, 0);
    }

    /// The text of a span.
    pub(super) fn text(&self, span: Span) -> &[u8] {
        self.source.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// Length of the source without its pad.
    pub(super) fn end(&self) -> usize {
        self.source.len().saturating_sub(PAD)
    }

    #[inline(always)]
    pub(super) fn byte(&self, ahead: usize) -> u8 {
        self.source.get(self.at + ahead).copied().unwrap_or(0)
    }

    #[inline(always)]
    pub(super) fn span_from(&self, start: usize) -> Span {
        Span::new(start as u32, self.at as u32)
    }

    /// Skip blanks, and inside parentheses line ends and comments too.
    #[inline(always)]
    pub(super) fn skip_blanks(&mut self) {
        loop {
            match self.byte(0) {
                b' ' | b'\t' | b'\r' | 12 => self.at += 1,
                b'\n' if self.open > 0 => self.at += 1,
                b'#' if self.open > 0 => self.skip_line(),
                _ => return,
            }
        }
    }

    /// Go to the end of the line.
    pub(super) fn skip_line(&mut self) {
        while self.at < self.end() && self.byte(0) != b'\n' {
            self.at += 1;
        }
    }

    /// Read the name that starts here.
    #[inline(always)]
    pub(super) fn ident(&mut self) -> Ident {
        let start = self.at;
        while is_name_byte(self.byte(0)) {
            self.at += 1;
        }
        let word = self.source.get(start..start + 16).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        let key = u128::from_le_bytes(word.unwrap_or_default());
        let length = self.at - start;
        let key = if length < 16 { key & ((1 << (8 * length)) - 1) } else { key };
        Ident { key, span: self.span_from(start) }
    }

    /// One line: `name = expression`, or a bare expression; slips of Python are put right on the way.
    fn statement(&mut self, schema: &Schema, limits: &Limits) -> Result<(), Error> {
        let start = self.at;
        let mut name = None;
        if is_name_start(self.byte(0)) {
            let ident = self.ident();
            self.skip_blanks();
            if self.byte(0) == b'=' && self.byte(1) != b'=' {
                self.check_binding(ident)?;
                self.at += 1;
                self.tokens += 2;
                name = Some(Name::Written(ident.span));
            } else if ident.span.end - ident.span.start <= 16
                && names::lookup(ident.key) == Some(Word::Keyword)
            {
                if self.keyword_statement(ident)? {
                    return Ok(());
                }
                name = Some(Name::Score);
            } else {
                self.at = start;
            }
        }
        let value = self.expression(schema, limits)?;
        let statement = self.ast.statements.len() as u32;
        self.ast.statements.push(Statement { name, root: value });
        match name {
            Some(Name::Written(span)) => {
                let key = names::key(self.text(span));
                self.bindings.push(Binding { key, span, statement });
            }
            Some(Name::Score) => {
                self.bindings.push(Binding { key: names::key(b"score"), span: Span::default(), statement });
            }
            None => {}
        }
        Ok(())
    }

    /// The last binding of `score`, or else a last bare expression.
    fn choose_score(&mut self) -> Result<(), Error> {
        let score = names::key(b"score");
        if let Some(binding) = self.bindings.iter().rev().find(|binding| binding.key == score) {
            self.ast.score = binding.statement;
            return Ok(());
        }
        let last = self.ast.statements.len().wrapping_sub(1);
        match self.ast.statements.get(last) {
            Some(Statement { name: None, .. }) => {
                self.ast.score = last as u32;
                Ok(())
            }
            Some(Statement { name: Some(Name::Written(span)), .. }) => {
                let text = String::from_utf8_lossy(self.text(*span)).into_owned();
                Err(Error::new(Kind::NoScore, *span, "the program never binds `score`")
                    .hint(format!("name the final value: score = {text}")))
            }
            _ => Err(Error::new(Kind::Empty, Span::default(), "the program has no statement")
                .hint("write at least one line: score = <expression>")),
        }
    }

    /// The binding of this name, if there is one.
    #[inline(always)]
    pub(super) fn bound(&self, ident: Ident) -> Option<u32> {
        let long = ident.span.end - ident.span.start > 16;
        let same = |binding: &&Binding| {
            binding.key == ident.key && (!long || self.text(binding.span) == self.text(ident.span))
        };
        self.bindings.iter().rev().find(same).map(|binding| binding.statement)
    }

    /// Names bound so far, for hints.
    pub(super) fn bound_names(&self) -> impl Iterator<Item = &str> {
        self.bindings.iter().filter_map(|binding| std::str::from_utf8(self.text(binding.span)).ok())
    }

    pub(super) fn note(&mut self, span: Span, message: impl Into<String>) {
        self.ast.notes.push(Note { span, message: message.into() });
    }
}

#[inline(always)]
pub(super) fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

#[inline(always)]
pub(super) fn is_name_byte(byte: u8) -> bool {
    const NAME: [bool; 256] = {
        let mut table = [false; 256];
        let mut at = 0;
        while at < 256 {
            table[at] = (at as u8).is_ascii_alphanumeric() || at as u8 == b'_';
            at += 1;
        }
        table
    };
    NAME[byte as usize]
}
