//! The inputs a program may name: those of the language, and the user's own columns and samples.

use crate::dsl::axes::Axes;
use crate::dsl::hash::{self, Hash};
use crate::dsl::inputs::{self, Input};
use crate::dsl::names;
use crate::dsl::ops::{Op, SALTS};

/// A column or sample that the user added.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Extra {
    name: String,
    axes: Axes,
    hash: Hash,
}

/// The inputs that programs are checked against. The ids of the language's own are their places in
/// `inputs::TABLE`; those of the user follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    extra: Vec<Extra>,
    /// Places in `extra` in the order of the names.
    order: Vec<u16>,
}

impl Schema {
    /// The language's own inputs and no more.
    pub fn new() -> Schema {
        Schema::default()
    }

    /// Add an input of the user; false when the name is taken or is no name.
    pub fn add(&mut self, name: &str, axes: Axes) -> bool {
        let bytes = name.as_bytes();
        let starts = bytes.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
        let follows = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        let taken = bytes.len() <= 16 && names::lookup(names::key(bytes)).is_some();
        if !starts || !follows || taken || self.len() > 4000 {
            return false;
        }
        let (Err(rank), Ok(place)) = (self.search(bytes), u16::try_from(self.extra.len())) else {
            return false;
        };
        self.order.insert(rank, place);
        self.extra.push(Extra { name: name.into(), axes, hash: input_hash(name) });
        true
    }

    /// Number of inputs, the language's own included.
    pub fn len(&self) -> usize {
        inputs::TABLE.len() + self.extra.len()
    }

    /// Never: the language has inputs of its own.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The id of an input of the user.
    pub(super) fn find(&self, name: &[u8]) -> Option<u16> {
        let place = self.order.get(self.search(name).ok()?)?;
        u16::try_from(inputs::TABLE.len() + usize::from(*place)).ok()
    }

    /// The rank of a name among those of the user, or the rank that it would have.
    fn search(&self, name: &[u8]) -> Result<usize, usize> {
        let of = |place: &u16| self.extra.get(usize::from(*place)).map_or("", |extra| extra.name.as_str());
        self.order.binary_search_by(|place| of(place).as_bytes().cmp(name))
    }

    /// The id of an input by its name.
    pub fn id(&self, name: &str) -> Option<u16> {
        let own = inputs::TABLE.iter().position(|input| input.name == name);
        own.and_then(|place| u16::try_from(place).ok()).or_else(|| self.find(name.as_bytes()))
    }

    /// The name of an input.
    pub fn name(&self, id: u16) -> &str {
        match inputs::TABLE.get(id as usize) {
            Some(input) => input.name,
            None => self.extra(id).map_or("?", |extra| extra.name.as_str()),
        }
    }

    /// The axes of an input.
    #[inline]
    pub fn axes(&self, id: u16) -> Axes {
        match inputs::TABLE.get(id as usize) {
            Some(input) => input.axes,
            None => self.extra(id).map_or(Axes::NONE, |extra| extra.axes),
        }
    }

    #[inline]
    pub(super) fn hash(&self, id: u16) -> Hash {
        match HASHES.get(id as usize) {
            Some(hash) => *hash,
            None => self.extra(id).map_or(Hash::default(), |extra| extra.hash),
        }
    }

    fn extra(&self, id: u16) -> Option<&Extra> {
        self.extra.get((id as usize).checked_sub(inputs::TABLE.len())?)
    }

    /// Names of all inputs.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        inputs::TABLE.iter().map(|input| input.name).chain(self.extra.iter().map(|extra| extra.name.as_str()))
    }
}

const fn input_hash(name: &str) -> Hash {
    hash::single(SALTS[Op::Input as usize], hash::salt(name.as_bytes()), 0)
}

static HASHES: [Hash; inputs::TABLE.len()] = {
    let table: &[Input] = inputs::TABLE;
    let mut hashes = [Hash { high: 0, low: 0 }; inputs::TABLE.len()];
    let mut at = 0;
    while at < table.len() {
        hashes[at] = input_hash(table[at].name);
        at += 1;
    }
    hashes
};
