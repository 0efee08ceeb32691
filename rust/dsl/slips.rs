//! What language models write by habit: put right with a note where the meaning is plain.

use crate::dsl::error::{Error, Kind, Span};
use crate::dsl::expression::{Next, Waits};
use crate::dsl::limits::Limits;
use crate::dsl::names::{self, Word};
use crate::dsl::parse::{Ident, Parser, is_name_start};
use crate::dsl::refuse;
use crate::dsl::schema::Schema;

impl Parser {
    /// Go to the first byte of the next statement; false at the end of the program.
    pub(super) fn next_statement(&mut self) -> Result<bool, Error> {
        loop {
            let start = self.at;
            match self.byte(0) {
                0 if start >= self.end() => return Ok(false),
                b' ' | b'\t' | b'\r' | b'\n' | 12 => self.at += 1,
                b'#' => self.skip_line(),
                b'`' if self.byte(1) == b'`' && self.byte(2) == b'`' => {
                    self.skip_line();
                    self.note(self.span_from(start), "a code fence was dropped");
                }
                b'@' => {
                    self.skip_line();
                    self.note(self.span_from(start), "a decorator was dropped");
                }
                b';' => {
                    self.at += 1;
                    self.note(self.span_from(start), "a `;` was dropped");
                }
                b'"' | b'\'' => self.drop_text()?,
                _ => return Ok(true),
            }
        }
    }

    /// A statement that starts with a keyword of Python: true when it was dropped, false when a value follows.
    pub(super) fn keyword_statement(&mut self, ident: Ident) -> Result<bool, Error> {
        let word = self.text(ident.span).to_vec();
        match word.as_slice() {
            b"def" => self.drop_header(ident),
            b"import" | b"from" => {
                self.skip_line();
                let span = self.span_from(ident.span.start as usize);
                self.note(span, "an import was dropped: every operator is at hand");
                Ok(true)
            }
            b"return" => {
                self.note(ident.span, "`return` read as `score =`");
                Ok(false)
            }
            _ => Err(refuse::keyword(&word, ident.span)),
        }
    }

    /// `def f(...):` is dropped, and what it holds becomes the program.
    fn drop_header(&mut self, ident: Ident) -> Result<bool, Error> {
        let mut open = 0usize;
        while self.at < self.end() {
            match self.byte(0) {
                b'(' | b'[' => open += 1,
                b')' | b']' => open = open.saturating_sub(1),
                b':' if open == 0 => {
                    self.at += 1;
                    let span = self.span_from(ident.span.start as usize);
                    self.note(span, "the function header was dropped; its body is the program");
                    return Ok(true);
                }
                b'\n' if open == 0 => break,
                _ => {}
            }
            self.at += 1;
        }
        Err(Error::new(Kind::Syntax, ident.span, "this `def` has no `:`")
            .hint("write the body alone, as lines of `name = expression`"))
    }

    /// A text standing alone, as a docstring, is dropped.
    fn drop_text(&mut self) -> Result<(), Error> {
        let start = self.at;
        let quote = self.byte(0);
        let triple = self.byte(1) == quote && self.byte(2) == quote;
        self.at += if triple { 3 } else { 1 };
        while self.at < self.end() {
            let here = self.byte(0) == quote;
            if triple && here && self.byte(1) == quote && self.byte(2) == quote {
                self.at += 3;
                self.note(self.span_from(start), "a text was dropped");
                return Ok(());
            }
            if !triple && here {
                self.at += 1;
                self.note(self.span_from(start), "a text was dropped");
                return Ok(());
            }
            if !triple && self.byte(0) == b'\n' {
                break;
            }
            self.at += 1;
        }
        Err(Error::new(Kind::Unsupported, Span::new(start as u32, start as u32 + 1), "this text never ends")
            .hint("write comments with #"))
    }

    /// `np.` and its like before a name.
    pub(super) fn drop_module(&mut self, ident: Ident) {
        self.at += 1;
        let text = String::from_utf8_lossy(self.text(ident.span)).into_owned();
        self.note(ident.span, format!("the prefix `{text}.` was dropped"));
    }

    /// What follows a value and is no operator.
    #[inline(never)]
    pub(super) fn after_value(&mut self, _schema: &Schema, limits: &Limits) -> Result<Next, Error> {
        match self.byte(0) {
            0 if self.at >= self.end() => Ok(Next::End),
            b'\n' | b'#' => Ok(Next::End),
            b';' if self.open == 0 => {
                let start = self.at;
                self.at += 1;
                self.note(self.span_from(start), "a `;` was dropped");
                Ok(Next::End)
            }
            b'\\' if self.continues() => Ok(Next::Value),
            b'.' if is_name_start(self.byte(1)) => self.method(limits),
            b'`' if self.open == 0 && self.byte(1) == b'`' && self.byte(2) == b'`' => Ok(Next::End),
            _ => Err(self.refuse_after_value()),
        }
    }

    /// A backslash at the end of a line joins it to the next.
    pub(super) fn continues(&mut self) -> bool {
        let start = self.at;
        let length = if self.byte(1) == b'\r' { 3 } else { 2 };
        if self.byte(length - 1) != b'\n' || self.at + length > self.end() {
            return false;
        }
        self.at += length;
        self.note(self.span_from(start), "the line goes on after `\\`");
        true
    }

    /// `v.mean(...)` is read as `mean(v, ...)`.
    fn method(&mut self, limits: &Limits) -> Result<Next, Error> {
        let start = self.at;
        self.at += 1;
        let ident = self.ident();
        self.skip_blanks();
        if self.byte(0) != b'(' {
            let name = String::from_utf8_lossy(self.text(ident.span)).into_owned();
            return Err(refuse::attribute(&name, self.span_from(start)));
        }
        let op = self.callee(ident)?;
        self.at += 1;
        self.count_token(limits)?;
        let from = self.operands.last().map_or(start, |value| value.span.start as usize);
        self.open(Waits::Call, op, from, limits)?;
        if let Some(frame) = self.frames.last_mut() {
            frame.base = frame.base.saturating_sub(1);
        }
        let name = String::from_utf8_lossy(self.text(ident.span)).into_owned();
        self.note(ident.span, format!("the method call `v.{name}()` was read as `{name}(v)`"));
        self.skip_blanks();
        if self.byte(0) == b')' {
            let start = self.at;
            self.at += 1;
            self.close(start)?;
            return Ok(Next::Value);
        }
        Ok(Next::Operand)
    }

    /// No value where one must stand; a trailing comma before `)` is Python's and allowed.
    #[inline(never)]
    pub(super) fn missing_operand(&mut self, _limits: &Limits) -> Result<bool, Error> {
        let start = self.at;
        if self.byte(0) == b'\\' && self.continues() {
            return Ok(false);
        }
        if self.byte(0) == b')' && self.after_comma() {
            self.at += 1;
            return self.close(start).map(|()| true);
        }
        Err(self.refuse_operand())
    }

    /// Whether a call is open and its last argument is complete, so that only a comma can stand before.
    fn after_comma(&self) -> bool {
        self.frames
            .last()
            .is_some_and(|frame| frame.waits == Waits::Call && self.operands.len() > frame.base as usize)
    }

    /// Whether this name may be bound.
    #[inline(always)]
    pub(super) fn check_binding(&self, ident: Ident) -> Result<(), Error> {
        match names::lookup(ident.key) {
            Some(Word::Axis(_) | Word::Keyword) => Err(self.refuse_binding(ident)),
            _ => Ok(()),
        }
    }

    fn refuse_binding(&self, ident: Ident) -> Error {
        let name = String::from_utf8_lossy(self.text(ident.span)).into_owned();
        Error::new(
            Kind::Syntax,
            ident.span,
            format!("`{name}` is a word of the language and cannot be bound"),
        )
        .hint(format!("choose another name, for example {name}_value"))
    }
}
