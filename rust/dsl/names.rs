//! Names to what they mean: a perfect hash over all words of the language, built at compile time.

use crate::dsl::axes::Axes;
use crate::dsl::inputs;
use crate::dsl::ops::{self, Class, Form, Op};

/// What a word of the language is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Word {
    /// An operator called by its own name.
    Operator(Op),
    /// Another name of an operator.
    Alias(Op),
    /// An input, by its place in the table.
    Input(u16),
    /// A named constant.
    Constant(f64),
    /// A word for an axis.
    Axis(Axes),
    /// A Python module whose functions language models write.
    Module,
    /// A keyword of Python.
    Keyword,
}

/// Modules whose prefix is dropped with a note.
static MODULES: &[&str] = &["np", "numpy", "torch", "math", "F", "jnp", "tf", "nn", "functional", "linalg"];

/// Keywords of Python, which no name may be.
static KEYWORDS: &[&str] = &[
    "and", "or", "not", "if", "else", "elif", "lambda", "for", "while", "def", "return", "import", "from",
    "as", "is", "with", "class", "try", "except", "finally", "raise", "yield", "assert", "del", "global",
    "nonlocal", "pass", "break", "continue", "async", "await", "None", "True", "False",
];

/// The first sixteen bytes of a name, padded with zeros; longer names are no words of the language.
pub type Key = u128;

/// Key of a name.
pub const fn key(name: &[u8]) -> Key {
    let mut key = 0;
    let mut at = 0;
    while at < name.len() && at < 16 {
        key |= (name[at] as u128) << (8 * at);
        at += 1;
    }
    key
}

const SLOT_BITS: u32 = 11;
const SLOTS: usize = 1 << SLOT_BITS;

#[inline(always)]
const fn slot(key: Key, seed: u64) -> usize {
    let folded = (key as u64) ^ ((key >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (folded.wrapping_mul(seed) >> (64 - SLOT_BITS)) as usize
}

#[derive(Clone, Copy)]
struct Entry {
    key: Key,
    word: Word,
}

const NOTHING: Entry = Entry { key: 0, word: Word::Keyword };

struct Words {
    entries: [Entry; 256],
    count: usize,
}

const fn words() -> Words {
    let mut words = Words { entries: [NOTHING; 256], count: 1 };
    let mut at = 0;
    while at < ops::TABLE.len() {
        let spec = &ops::TABLE[at];
        // min and max are listed twice; the name leads to the elementwise one, and the parser decides.
        let twin = matches!(spec.op, Op::MinOf | Op::MaxOf);
        if matches!(spec.form, Form::Call(..)) && !twin {
            words = with(words, spec.name, Word::Operator(spec.op));
        }
        at += 1;
    }
    words = with(words, "pow", Word::Operator(Op::Pow));
    words = with(words, "power", Word::Alias(Op::Pow));
    at = 0;
    while at < ops::ALIASES.len() {
        words = with(words, ops::ALIASES[at].0, Word::Alias(ops::ALIASES[at].1));
        at += 1;
    }
    at = 0;
    while at < inputs::TABLE.len() {
        words = with(words, inputs::TABLE[at].name, Word::Input(at as u16));
        at += 1;
    }
    at = 0;
    while at < ops::CONSTANTS.len() {
        words = with(words, ops::CONSTANTS[at].0, Word::Constant(ops::CONSTANTS[at].1));
        at += 1;
    }
    at = 0;
    while at < MODULES.len() {
        words = with(words, MODULES[at], Word::Module);
        at += 1;
    }
    at = 0;
    while at < KEYWORDS.len() {
        words = with(words, KEYWORDS[at], Word::Keyword);
        at += 1;
    }
    words = with(words, "out", Word::Axis(Axes::OUT));
    words = with(words, "in_", Word::Axis(Axes::IN));
    words = with(words, "in", Word::Axis(Axes::IN));
    words = with(words, "pos", Word::Axis(Axes::POS));
    with(words, "format", Word::Axis(Axes::FORMAT))
}

const fn with(mut words: Words, name: &str, word: Word) -> Words {
    assert!(name.len() < 16, "words of the language have at most fifteen bytes");
    words.entries[words.count] = Entry { key: key(name.as_bytes()), word };
    words.count += 1;
    words
}

const fn seed(words: &Words) -> u64 {
    let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
    'search: loop {
        seed = seed.wrapping_mul(0xd1b5_4a32_d192_ed03).wrapping_add(1) | 1;
        let mut taken = [false; SLOTS];
        let mut at = 1;
        while at < words.count {
            let place = slot(words.entries[at].key, seed);
            if taken[place] {
                continue 'search;
            }
            taken[place] = true;
            at += 1;
        }
        return seed;
    }
}

const fn places(words: &Words) -> [u8; SLOTS] {
    let mut places = [0; SLOTS];
    let mut at = 1;
    while at < words.count {
        places[slot(words.entries[at].key, SEED)] = at as u8;
        at += 1;
    }
    places
}

static ENTRIES: [Entry; 256] = words().entries;
const SEED: u64 = seed(&words());
static PLACES: [u8; SLOTS] = places(&words());

/// What the name with this key means, when it is a word of the language.
#[inline]
pub fn lookup(key: Key) -> Option<Word> {
    let place = *PLACES.get(slot(key, SEED))?;
    let entry = ENTRIES.get(place as usize)?;
    (entry.key == key && key != 0).then_some(entry.word)
}

/// The names of `candidates` nearest to `name`, at most three, nearest first.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let short: String = name.chars().take(64).collect();
    let allowed = 1 + short.len() / 4;
    let mut found: Vec<(usize, &str)> = candidates
        .map(|candidate| (distance(&short.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(far, candidate)| *far <= allowed && *far < candidate.len())
        .collect();
    found.sort();
    found.dedup();
    found.into_iter().take(3).map(|(_, candidate)| candidate).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one name into the other.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut before: Vec<usize> = vec![0; right.len() + 1];
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let replace = above.get(j).map_or(0, |cost| cost + usize::from(a != b));
            let insert = row.get(j).map_or(0, |cost| cost + 1);
            let delete = above.get(j + 1).map_or(0, |cost| cost + 1);
            let mut least = replace.min(insert).min(delete);
            let crossed = i > 0 && j > 0 && left.get(i - 1) == Some(b) && right.get(j - 1) == Some(a);
            if crossed {
                least = least.min(before.get(j - 1).map_or(least, |cost| cost + 1));
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

/// Names of all operators that are called, each once.
pub fn operator_names() -> impl Iterator<Item = &'static str> {
    let called = |spec: &&ops::Spec| matches!(spec.form, Form::Call(..));
    ops::TABLE
        .iter()
        .filter(called)
        .filter(|spec| !(spec.class == Class::Reduction && matches!(spec.op, Op::MinOf | Op::MaxOf)))
        .map(|spec| spec.name)
        .chain(["pow"])
}
