//! Messages for what the parser refuses, each with a hint that repairs it.

use crate::dsl::axes::Axes;
use crate::dsl::error::{Error, Kind, Span};
use crate::dsl::expression::{Operand, Waits};
use crate::dsl::names::{self, Word};
use crate::dsl::ops::{Class, Op};
use crate::dsl::parse::{Ident, Parser, is_name_byte, is_name_start};
use crate::dsl::schema::Schema;
use crate::dsl::terms::call_name;

const AXIS_HINT: &str =
    "name axes as words after the value: mean(v, out), sum(v, in_, pos); without them out, in and pos go";

/// The hint for a keyword of Python.
fn keyword_hint(word: &[u8]) -> &'static str {
    match word {
        b"and" => "multiply: (a > 0) * (b > 0)",
        b"or" => "take the larger: max(a > 0, b > 0)",
        b"not" => "compare with 0: v == 0",
        b"if" | b"else" | b"elif" => "write where(condition, a, b)",
        b"lambda" => "write the expression itself: score = <expression>",
        b"for" | b"while" => {
            "there are no loops: operators work on whole values, sum(v) and net_sum(v) add up"
        }
        b"True" => "write 1",
        b"False" => "write 0",
        b"None" => "leave it out",
        b"is" => "compare with ==",
        _ => "a program is lines of `name = expression`",
    }
}

/// A keyword of Python that the language leaves out.
pub(super) fn keyword(word: &[u8], span: Span) -> Error {
    let shown = String::from_utf8_lossy(word);
    Error::new(Kind::Unsupported, span, format!("`{shown}` is not part of the language"))
        .hint(keyword_hint(word))
}

/// `v.name` that is no call.
pub(super) fn attribute(name: &str, span: Span) -> Error {
    let hint = match name {
        "T" => "values have named axes and need no transposing; remove it",
        "shape" | "size" | "ndim" => "use the inputs numel, out_channels, in_channels, or count(v, out)",
        _ => "values have no attributes; call an operator: mean(v), abs(v)",
    };
    Error::new(Kind::Unsupported, span, format!("the attribute `.{name}` is not part of the language"))
        .hint(hint)
}

impl Parser {
    fn word_here(&self) -> Vec<u8> {
        let rest = self.source.get(self.at..).unwrap_or_default();
        rest.iter().copied().take_while(|byte| is_name_byte(*byte)).collect()
    }

    /// The character here as a span, whole when it takes several bytes.
    fn character_here(&self) -> (String, Span) {
        let rest = self.source.get(self.at..self.end()).unwrap_or_default();
        let window = rest.get(..4.min(rest.len())).unwrap_or_default();
        let text: String = String::from_utf8_lossy(window).chars().take(1).collect();
        let length = if text.starts_with('\u{fffd}') { 1 } else { text.len().max(1) };
        let span = Span::new(self.at as u32, (self.at + length) as u32);
        (text.escape_debug().to_string(), span)
    }

    pub(super) fn refuse_after_value(&mut self) -> Error {
        let (character, span) = self.character_here();
        let unsupported = |message: &str| Error::new(Kind::Unsupported, span, message);
        match (self.byte(0), self.byte(1)) {
            (b'/', _) => unsupported("`//` is not part of the language").hint("use / for division"),
            (b'%', _) => unsupported("`%` is not part of the language")
                .hint("there is no remainder; use / and comparisons"),
            (b'@', _) => unsupported("`@` is not part of the language")
                .hint("multiply with * and reduce with sum(v, axis)"),
            (b'&', _) => unsupported("`&` is not part of the language").hint("multiply: (a > 0) * (b > 0)"),
            (b'|', _) => {
                unsupported("`|` is not part of the language").hint("take the larger: max(a > 0, b > 0)")
            }
            (b'[', _) => unsupported("subscripts are not part of the language").hint(AXIS_HINT),
            (b'=', _) if self.frames.iter().any(|frame| frame.waits == Waits::Call) => {
                self.keyword_argument(span)
            }
            (b'=', _) => Error::new(Kind::Syntax, span, "`=` inside an expression")
                .hint("compare with ==, or bind a name on a line of its own"),
            (b':', _) => Error::new(Kind::Syntax, span, "`:` is not part of an expression")
                .hint("write `name = expression`, without types"),
            (b'.', _) => {
                Error::new(Kind::Syntax, span, "`.` after a value").hint("call an operator: mean(v)")
            }
            (b'!', _) => Error::new(Kind::Syntax, span, "`!` alone").hint("`!=` compares"),
            (b'"' | b'\'', _) => unsupported("texts are not part of the language").hint("remove it"),
            (b'(', _) => Error::new(Kind::Syntax, span, "a value is not an operator and cannot be called")
                .hint("multiply with *"),
            (byte, _) if is_name_start(byte) => self.two_values(),
            (byte, _) if byte.is_ascii_digit() => {
                Error::new(Kind::Syntax, span, "two values beside each other")
                    .hint("put an operator between them, as in 2 * w")
            }
            _ => self.refuse_character(character, span),
        }
    }

    fn two_values(&self) -> Error {
        let word = self.word_here();
        let span = Span::new(self.at as u32, (self.at + word.len()) as u32);
        if names::lookup(names::key(&word)) == Some(Word::Keyword) || word == b"in" {
            return keyword(&word, span);
        }
        Error::new(Kind::Syntax, span, "two values beside each other")
            .hint("put an operator between them, as in 2 * w")
    }

    fn refuse_character(&self, character: String, span: Span) -> Error {
        let hint = match self.source.get(self.at..) {
            Some([0xc3, 0x97, ..] | [0xc2, 0xb7, ..]) => "multiply with *",
            Some([0xe2, 0x88, 0x92, ..] | [0xe2, 0x80, 0x93, ..]) => "subtract with the ASCII -",
            Some([0xc2, 0xb2, ..]) => "write ** 2",
            _ => "programs are ASCII outside comments",
        };
        Error::new(Kind::Character, span, format!("the character `{character}` has no place here")).hint(hint)
    }

    pub(super) fn refuse_operand(&mut self) -> Error {
        let (character, span) = self.character_here();
        let at_end = self.at >= self.end();
        match self.byte(0) {
            0 if at_end => {
                let last = Span::new(self.at.saturating_sub(1) as u32, self.at as u32);
                Error::new(Kind::Syntax, last, "the program ends where a value must follow")
                    .hint("complete the expression")
            }
            b'\n' | b'#' | b';' => Error::new(Kind::Syntax, span, "the line ends where a value must follow")
                .hint("complete the expression, or put it in parentheses to go on over lines"),
            b')' if self.frames.last().is_some_and(|frame| frame.waits == Waits::Call) => {
                let name = self.frames.last().map_or("sum", |frame| call_name(frame.op));
                Error::new(Kind::Arity, span, format!("`{name}` needs a value"))
                    .hint(format!("write {name}(v)"))
            }
            b')' => Error::new(Kind::Syntax, span, "a value must stand before `)`")
                .hint("complete the expression"),
            b'"' | b'\'' => {
                Error::new(Kind::Unsupported, span, "texts are not part of the language").hint(AXIS_HINT)
            }
            b'[' | b'{' => {
                Error::new(Kind::Unsupported, span, "lists and dictionaries are not part of the language")
                    .hint("use plain values and axis words")
            }
            b'~' | b'!' => {
                Error::new(Kind::Unsupported, span, format!("`{character}` is not part of the language"))
                    .hint("compare with 0: v == 0")
            }
            b'=' => Error::new(Kind::Syntax, span, "`=` where a value must stand")
                .hint("there are no operators like +=; write x = x + v"),
            b'*' | b'/' | b'<' | b'>' | b',' | b'^' | b'%' | b'&' | b'|' | b'.' | b':' => {
                Error::new(Kind::Syntax, span, format!("`{character}` where a value must stand"))
                    .hint("complete the expression before it")
            }
            _ => self.refuse_character(character, span),
        }
    }

    pub(super) fn chained(&self, start: usize) -> Error {
        let span = Span::new(start as u32, self.at as u32);
        Error::new(Kind::Unsupported, span, "comparisons do not chain").hint("write (a < b) * (b < c)")
    }

    pub(super) fn tuple(&self, start: usize) -> Error {
        let span = Span::new(start as u32, start as u32 + 1);
        Error::new(Kind::Unsupported, span, "`,` outside a call: there are no tuples").hint(AXIS_HINT)
    }

    fn keyword_argument(&self, span: Span) -> Error {
        Error::new(Kind::Unsupported, span, "keyword arguments are not part of the language").hint(AXIS_HINT)
    }

    pub(super) fn arity(&self, op: Op, values: usize, least: usize, most: usize, span: Span) -> Error {
        let name = call_name(op);
        let takes = if least == most { format!("{least}") } else { format!("{least} to {most}") };
        let plural = if takes == "1" { "value" } else { "values" };
        Error::new(Kind::Arity, span, format!("`{name}` takes {takes} {plural}, not {values}"))
            .hint(format!("write {name}({})", op.spec().arguments))
    }

    pub(super) fn axes_of_no_reduction(&self, op: Op, span: Span) -> Error {
        let name = call_name(op);
        let message = format!("`{name}` removes no axes, so it takes no axis words");
        let hint = match op.class() {
            Class::Network => format!("`{name}` works over all units; remove the axis words"),
            _ => "only reductions as sum(v, out) take axis words".to_string(),
        };
        Error::new(Kind::Argument, span, message).hint(hint)
    }

    pub(super) fn value_for_axis(&self, op: Op, argument: Operand, span: Span) -> Error {
        if op.class() == Class::Elementwise {
            return Error::new(
                Kind::Argument,
                span,
                format!("`{}` mixes axis words and values", call_name(op)),
            )
            .hint("values come first, axis words last");
        }
        let message = format!("this is no axis word; `{}` takes axis words after its value", call_name(op));
        Error::new(Kind::Argument, argument.span, message).hint(AXIS_HINT)
    }

    pub(super) fn malformed_number(&mut self, start: usize) -> Error {
        let digits = self.span_from(start);
        while is_name_byte(self.byte(0)) || self.byte(0) == b'.' {
            self.at += 1;
        }
        let text = String::from_utf8_lossy(self.text(digits)).into_owned();
        Error::new(Kind::Number, self.span_from(start), "not a decimal number")
            .hint(format!("numbers look like 2, 0.5 or 1e-8; to multiply write {text} * name"))
    }

    /// A name that is not known: a slip that an error with its own hint explains, or a misspelling.
    #[inline(never)]
    pub(super) fn unknown_name(
        &mut self,
        ident: Ident,
        word: Option<Word>,
        schema: &Schema,
    ) -> Result<(), Error> {
        let name = String::from_utf8_lossy(self.text(ident.span)).into_owned();
        let short = ident.span.end - ident.span.start <= 16;
        if short && word == Some(Word::Keyword) {
            return Err(keyword(name.as_bytes(), ident.span));
        }
        if self.byte(0) == b'=' && self.byte(1) != b'=' && !self.frames.is_empty() {
            return Err(self.keyword_argument(ident.span));
        }
        if matches!(name.as_str(), "inf" | "nan" | "Inf" | "NaN" | "infinity") {
            return Err(Error::new(Kind::Number, ident.span, format!("`{name}` is not finite"))
                .hint("use a large number such as 1e30"));
        }
        let error =
            Error::new(Kind::UnknownName, ident.span, format!("`{name}` is neither bound nor an input"));
        if word.is_some_and(|word| matches!(word, Word::Operator(_) | Word::Alias(_))) {
            return Err(error.hint(format!("`{name}` is an operator: call it, as in {name}(v)")));
        }
        let near = names::nearest(&name, schema.names().chain(self.bound_names()));
        Err(if near.is_empty() {
            error.hint("bind it on a line before, or use an input such as w, g2, dw, numel, bits")
        } else {
            error.hint(format!("did you mean {}?", listed(&near)))
        })
    }

    #[inline(never)]
    pub(super) fn unknown_operator(&self, ident: Ident, word: Option<Word>) -> Error {
        let name = String::from_utf8_lossy(self.text(ident.span)).into_owned();
        if word == Some(Word::Keyword) {
            return keyword(name.as_bytes(), ident.span);
        }
        let error = Error::new(Kind::UnknownOperator, ident.span, format!("`{name}` is not an operator"));
        if word.is_some() || self.bound(ident).is_some() {
            return error.hint(format!("`{name}` is a value and cannot be called; multiply with *"));
        }
        let near = names::nearest(&name, names::operator_names());
        if near.is_empty() {
            error.hint("use an operator such as sum, mean, abs, log, sqrt, max, where, rank, zscore")
        } else {
            error.hint(format!("did you mean {}?", listed(&near)))
        }
    }
}

/// "`a`, `b` or `c`".
pub(super) fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// The axes in words for a message: `out,in,pos`, or "no axes".
pub(super) fn shown(axes: Axes) -> String {
    if axes.is_empty() { "no axes".into() } else { format!("axes {axes}") }
}
