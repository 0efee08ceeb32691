//! Why a program is rejected: a kind with a stable code, the place in the source, and how to repair it.

use std::fmt;

/// What is wrong with a program; `code` is the stable name of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No statement at all.
    Empty,
    /// A character that the language does not have.
    Character,
    /// A number that is malformed or not finite.
    Number,
    /// A text that does not follow the grammar.
    Syntax,
    /// A construct of Python that the language leaves out.
    Unsupported,
    /// A name that is neither bound nor an input.
    UnknownName,
    /// A call of something that is not an operator.
    UnknownOperator,
    /// A call with the wrong number of arguments.
    Arity,
    /// An argument of the wrong form, as a quantile outside [0, 1].
    Argument,
    /// A value with axes that its operator, or the score, cannot have.
    Axes,
    /// Neither `score` nor a last bare expression.
    NoScore,
    /// More bytes of source than the limit.
    LimitSource,
    /// More tokens than the limit.
    LimitTokens,
    /// Deeper nesting than the limit.
    LimitNesting,
    /// More operators than the limit.
    LimitOperators,
    /// More bytes of live values than the limit.
    LimitMemory,
    /// More element-operations than the limit.
    LimitWork,
    /// An input that the table does not hold.
    MissingInput,
    /// A score that is not finite.
    NonFinite,
}

impl Kind {
    /// The stable code, for example `unknown-name`.
    pub const fn code(self) -> &'static str {
        match self {
            Kind::Empty => "empty",
            Kind::Character => "character",
            Kind::Number => "number",
            Kind::Syntax => "syntax",
            Kind::Unsupported => "unsupported",
            Kind::UnknownName => "unknown-name",
            Kind::UnknownOperator => "unknown-operator",
            Kind::Arity => "arity",
            Kind::Argument => "argument",
            Kind::Axes => "axes",
            Kind::NoScore => "no-score",
            Kind::LimitSource => "limit-source",
            Kind::LimitTokens => "limit-tokens",
            Kind::LimitNesting => "limit-nesting",
            Kind::LimitOperators => "limit-operators",
            Kind::LimitMemory => "limit-memory",
            Kind::LimitWork => "limit-work",
            Kind::MissingInput => "missing-input",
            Kind::NonFinite => "non-finite",
        }
    }
}

impl Kind {
    /// All kinds, in the order a program meets them.
    pub const ALL: [Kind; 19] = [
        Kind::Empty,
        Kind::Character,
        Kind::Number,
        Kind::Syntax,
        Kind::Unsupported,
        Kind::UnknownName,
        Kind::UnknownOperator,
        Kind::Arity,
        Kind::Argument,
        Kind::Axes,
        Kind::NoScore,
        Kind::LimitSource,
        Kind::LimitTokens,
        Kind::LimitNesting,
        Kind::LimitOperators,
        Kind::LimitMemory,
        Kind::LimitWork,
        Kind::MissingInput,
        Kind::NonFinite,
    ];

    /// The kind with this code.
    pub fn from_code(code: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// A byte range of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes from `start` up to `end`.
    pub const fn new(start: u32, end: u32) -> Span {
        Span { start, end }
    }
}

/// A rejected program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong.
    pub kind: Kind,
    /// Where.
    pub span: Span,
    /// What is wrong, in words.
    pub message: String,
    /// What to write instead; empty when there is nothing to add.
    pub hint: String,
}

impl Error {
    /// An error without a hint.
    pub fn new(kind: Kind, span: Span, message: impl Into<String>) -> Error {
        Error { kind, span, message: message.into(), hint: String::new() }
    }

    /// The same error with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = hint.into();
        self
    }

    /// The message, the line of the source with carets under the span, and the hint.
    pub fn report(&self, source: &[u8]) -> String {
        let mut text = format!("error[{}]: {}", self.kind.code(), self.message);
        if !source.is_empty() {
            let place = Place::of(source, self.span);
            let margin = " ".repeat(place.row.to_string().len());
            text.push_str(&format!("\n{margin} |\n{} | {}\n{margin} | ", place.row, place.line));
            text.push_str(&" ".repeat(place.column));
            text.push_str(&"^".repeat(place.width));
        }
        if !self.hint.is_empty() {
            text.push_str(&format!("\nhint: {}", self.hint));
        }
        text
    }

    /// The error as one JSON object: kind, message, hint, span, line and column (from 1), report.
    pub fn json(&self, source: &[u8]) -> String {
        let place = Place::of(source, self.span);
        format!(
            "{{\"kind\":{},\"message\":{},\"hint\":{},\"span\":[{},{}],\"line\":{},\"column\":{},\"report\":{}}}",
            quoted(self.kind.code()),
            quoted(&self.message),
            quoted(&self.hint),
            self.span.start,
            self.span.end,
            place.row,
            place.column + 1,
            quoted(&self.report(source)),
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Where a span lies, in characters of its first line; long lines are cut to a window around it.
struct Place {
    row: usize,
    column: usize,
    width: usize,
    line: String,
}

/// Widest line that a report shows whole.
const WIDEST: usize = 120;

impl Place {
    fn of(source: &[u8], span: Span) -> Place {
        let start = (span.start as usize).min(source.len());
        let end = (span.end as usize).clamp(start, source.len());
        let before = source.get(..start).unwrap_or_default();
        let row = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let first = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let rest = source.get(first..).unwrap_or_default();
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let stop = end.min(first + line.len()).max(start);
        let shown = |bytes: &[u8]| -> Vec<char> {
            let text = String::from_utf8_lossy(bytes);
            text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
        };
        let chars = shown(line);
        let column = shown(source.get(first..start).unwrap_or_default()).len();
        let width = shown(source.get(start..stop).unwrap_or_default()).len().max(1);
        let from = if chars.len() <= WIDEST { 0 } else { column.saturating_sub(WIDEST / 3) };
        let line: String = chars.into_iter().skip(from).take(WIDEST).collect();
        let column = column - from.min(column);
        Place { row, column, width: width.min(WIDEST.saturating_sub(column).max(1)), line }
    }
}

/// A JSON string.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            control if (control as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", control as u32)),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// Something the parser put right, told to the author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where it stood.
    pub span: Span,
    /// What was done.
    pub message: String,
}
