//! Source bytes for one quick pass: a padded copy of fixed size, what each byte begins, names and numbers.

use crate::dsl::names::Key;
use crate::dsl::ops::Op;
use crate::dsl::terms::short_decimal;

/// Bytes of the copy, a power of two.
const SIZE: usize = 8192;
/// Zeros behind the source, so that a name can be read sixteen bytes at once.
const PAD: usize = 32;

/// A copy of the source with zeros behind it, which no loop over it can pass.
#[derive(Debug)]
pub struct Text {
    bytes: [u8; SIZE],
    end: usize,
}

/// What a byte begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing that is read quickly.
    Other,
    /// A name.
    Letter,
    /// A number.
    Digit,
    /// A parenthesis.
    Open,
    /// A sign.
    Minus,
    /// Nothing: a blank, or a sign `+` before a value.
    Blank,
    /// The end of a line, or a comment.
    Line,
    /// Perhaps the end of the source.
    End,
    /// An operator of one byte.
    Operator,
    /// `*` or `**`.
    Star,
    /// `/`.
    Slash,
    /// A comparison.
    Compare,
    /// `)`.
    Close,
    /// `,`.
    Comma,
}

/// A byte after a value.
#[derive(Clone, Copy)]
pub struct After {
    pub kind: Kind,
    pub op: Op,
    pub precedence: u8,
}

/// Binding strengths; comparisons bind least.
pub const COMPARE: u8 = 1;
pub const SUM: u8 = 2;
pub const PRODUCT: u8 = 3;
pub const SIGN: u8 = 4;
pub const POWER: u8 = 5;

/// What each byte is where a value must follow.
pub static BEFORE: [Kind; 256] = {
    let mut kinds = [Kind::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => Kind::Letter,
            b'0'..=b'9' | b'.' => Kind::Digit,
            b'(' => Kind::Open,
            b'-' => Kind::Minus,
            b' ' | b'\t' | b'\r' | 12 | b'+' => Kind::Blank,
            b'\n' => Kind::Line,
            _ => Kind::Other,
        };
        byte += 1;
    }
    kinds
};

/// What each byte is after a value.
pub static AFTER: [After; 256] = {
    let mut table = [After { kind: Kind::Other, op: Op::Const, precedence: 0 }; 256];
    let mut byte = 0;
    while byte < 256 {
        let (kind, op, precedence) = match byte as u8 {
            b'+' => (Kind::Operator, Op::Add, SUM),
            b'-' => (Kind::Operator, Op::Sub, SUM),
            b'*' => (Kind::Star, Op::Mul, PRODUCT),
            b'/' => (Kind::Slash, Op::Div, PRODUCT),
            b'<' | b'>' | b'=' | b'!' => (Kind::Compare, Op::Lt, COMPARE),
            b')' => (Kind::Close, Op::Const, 0),
            b',' => (Kind::Comma, Op::Const, 0),
            b' ' | b'\t' | b'\r' | 12 => (Kind::Blank, Op::Const, 0),
            b'\n' | b'#' => (Kind::Line, Op::Const, 0),
            0 => (Kind::End, Op::Const, 0),
            _ => (Kind::Other, Op::Const, 0),
        };
        table[byte] = After { kind, op, precedence };
        byte += 1;
    }
    table
};

impl Default for Text {
    fn default() -> Text {
        Text { bytes: [0; SIZE], end: 0 }
    }
}

impl Text {
    /// Copies a source; false when it is too long.
    #[inline(always)]
    pub fn fill(&mut self, source: &[u8]) -> bool {
        if source.len() > SIZE - PAD {
            return false;
        }
        let (text, rest) = self.bytes.split_at_mut(source.len());
        text.copy_from_slice(source);
        if let Some(pad) = rest.first_chunk_mut::<PAD>() {
            *pad = [0; PAD];
        }
        self.end = source.len();
        true
    }

    /// Length of the source.
    pub fn end(&self) -> usize {
        self.end
    }

    #[inline(always)]
    pub fn byte(&self, at: usize) -> u8 {
        self.bytes[at % SIZE]
    }

    /// A part of the source.
    pub fn part(&self, start: usize, length: usize) -> Option<&[u8]> {
        self.bytes.get(start..start + length)
    }

    /// Moves to the first byte of the next statement; false at the end, None for a zero in the source.
    #[inline(always)]
    pub fn next_statement(&self, at: &mut usize) -> Option<bool> {
        loop {
            match self.byte(*at) {
                0 => return (*at >= self.end).then_some(false),
                b' ' | b'\t' | b'\r' | b'\n' | 12 => *at += 1,
                b'#' => {
                    while *at < self.end && self.byte(*at) != b'\n' {
                        *at += 1;
                    }
                }
                _ => return Some(true),
            }
        }
    }

    /// The name at `at` and its length; none for one of sixteen bytes or more.
    #[inline(always)]
    pub fn name(&self, at: usize) -> Option<(Key, usize)> {
        let word = u128::from_le_bytes(*self.bytes.get(at..)?.first_chunk::<16>()?);
        let length = name_length(word);
        (length < 16).then(|| (word & ((1 << (8 * length)) - 1), length))
    }

    /// The decimal number of the plain kind at `at`, which is moved behind it.
    #[inline(always)]
    pub fn number(&self, at: &mut usize) -> Option<f64> {
        let (start, mut here) = (*at, *at);
        let (mut digits, mut mantissa, mut scale) = (0, 0_u64, 0_i32);
        let mut point = false;
        loop {
            let byte = self.byte(here);
            if byte.is_ascii_digit() {
                mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
                digits += 1;
                scale -= i32::from(point);
            } else if byte == b'.' && !point {
                point = true;
            } else {
                break;
            }
            here += 1;
        }
        if self.byte(here) == b'e' {
            let signed = usize::from(matches!(self.byte(here + 1), b'-' | b'+'));
            let digit = |ahead: usize| self.byte(here + ahead + signed).wrapping_sub(b'0');
            let (tens, ones) = (digit(1), digit(2));
            if tens > 9 {
                return None;
            }
            let exponent = if ones > 9 { i32::from(tens) } else { i32::from(tens) * 10 + i32::from(ones) };
            scale += if self.byte(here + 1) == b'-' { -exponent } else { exponent };
            here += 2 + signed + usize::from(ones <= 9);
            point = true;
        }
        let leading_zero = !point && digits > 1 && self.byte(start) == b'0';
        let next = self.byte(here);
        let goes_on = BEFORE[next as usize] == Kind::Letter || BEFORE[next as usize] == Kind::Digit;
        if digits == 0 || digits > 15 || leading_zero || goes_on {
            return None;
        }
        *at = here;
        short_decimal(mantissa, digits, scale)
    }
}

/// Bytes up to the first that ends a name, of sixteen at once. Some bytes that no name has count as part of it, so that
/// the name is then unknown.
#[inline(always)]
fn name_length(word: u128) -> usize {
    const fn all(byte: u8) -> u128 {
        u128::from_le_bytes([byte; 16])
    }
    let low = word & all(0x7f);
    // The high bit of each byte says whether it is at least '0', beyond '9', at least 'A'.
    let (digit, beyond, letter) = (low + all(0x50), low + all(0x46), low + all(0x3f));
    let name = ((digit & !beyond) | letter | word) & all(0x80);
    ((!name & all(0x80)).trailing_zeros() / 8) as usize
}
