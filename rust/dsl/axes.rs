//! The axes of a value: a subset of out, in, pos and format, kept as four bits.

use std::fmt;

/// A set of axes. A value has one number for each index along its axes, for each unit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Axes(u8);

impl Axes {
    /// No axis: one number a unit.
    pub const NONE: Axes = Axes(0);
    /// Output channels.
    pub const OUT: Axes = Axes(1);
    /// Input channels of one group.
    pub const IN: Axes = Axes(2);
    /// Kernel positions.
    pub const POS: Axes = Axes(4);
    /// Candidate formats.
    pub const FORMAT: Axes = Axes(8);
    /// The three axes of a weight: what a reduction removes when no axis is named.
    pub const WEIGHT: Axes = Axes(7);
    /// All four.
    pub const ALL: Axes = Axes(15);
    /// How many sets there are; `bits` is below it.
    pub const COUNT: usize = 16;

    /// The set with these bits; bits above the fourth are dropped.
    pub const fn from_bits(bits: u8) -> Axes {
        Axes(bits & 15)
    }

    /// The bits, 1 out, 2 in, 4 pos, 8 format.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// As an index below `Axes::COUNT`.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Axes of either.
    pub const fn union(self, other: Axes) -> Axes {
        Axes(self.0 | other.0)
    }

    /// Axes of both.
    pub const fn intersection(self, other: Axes) -> Axes {
        Axes(self.0 & other.0)
    }

    /// Axes of `self` that `other` lacks.
    pub const fn without(self, other: Axes) -> Axes {
        Axes(self.0 & !other.0)
    }

    /// Whether `self` has every axis of `other`.
    pub const fn contains(self, other: Axes) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is no axis.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the value is a column: no axis, or format alone.
    pub const fn is_column(self) -> bool {
        self.0 & 7 == 0
    }

    /// The axis of one word as messages show it: `out`, `in`, `pos` or `format`.
    pub fn from_word(word: &str) -> Option<Axes> {
        match word {
            "out" => Some(Axes::OUT),
            "in" | "in_" => Some(Axes::IN),
            "pos" => Some(Axes::POS),
            "format" => Some(Axes::FORMAT),
            _ => None,
        }
    }

    /// The axes in the order out, in, pos, format, each as its word in messages.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        const WORDS: [(&str, Axes); 4] =
            [("out", Axes::OUT), ("in", Axes::IN), ("pos", Axes::POS), ("format", Axes::FORMAT)];
        WORDS.into_iter().filter(move |(_, axis)| self.contains(*axis)).map(|(word, _)| word)
    }

    /// The axes as a program writes them in a call: `out, in_, pos`.
    pub fn source(self) -> String {
        let words: Vec<&str> = self.words().map(|word| if word == "in" { "in_" } else { word }).collect();
        words.join(", ")
    }
}

/// `out,in,pos`, or `none`.
impl fmt::Display for Axes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (place, word) in self.words().enumerate() {
            if place > 0 {
                f.write_str(",")?;
            }
            f.write_str(word)?;
        }
        Ok(())
    }
}

/// `{out,in,pos}`, `{}`.
impl fmt::Debug for Axes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.words().collect();
        write!(f, "{{{}}}", words.join(","))
    }
}
