//! Values that are each held once: an instruction equal to one that is there gets its id.
//!
//! Equality is that of operator, operands and numbers; since operands are ids of the same pool, equal ids are equal
//! expressions. The structural hash says where to look, names a value across pools and gives swapped operands one order.

use crate::dsl::axes::Axes;
use crate::dsl::check;
use crate::dsl::hash::{self, Hash};
use crate::dsl::ops::{Op, SALTS};
use crate::dsl::program::Instruction;
use crate::dsl::schema::Schema;

/// Not a value.
pub const NOTHING: u32 = u32::MAX;

/// Values of one program or of many, operands before those that use them.
#[derive(Debug, Default)]
pub struct Pool {
    instructions: Vec<Instruction>,
    hashes: Vec<Hash>,
    /// Open addressing from hashes to ids, which are stored plus one; 0 is an empty slot. At most half are filled.
    slots: Vec<u32>,
    /// 64 less the bits of a place in `slots`.
    shift: u32,
    /// By input id, its value, or `NOTHING`.
    inputs: Vec<u32>,
    /// Whether a rewrite may have left an operator unused, or made several of one, since this was last set to false.
    pub detour: bool,
}

impl Pool {
    /// Forgets all values; the memory stays.
    pub fn clear(&mut self) {
        if 8 * self.instructions.len() > self.slots.len() {
            self.slots.fill(0);
        } else {
            // Few values: each run of filled slots is emptied from the place where it was begun.
            for hash in &self.hashes {
                let mut at = (hash.low >> self.shift) as usize;
                while let Some(slot) = self.slots.get_mut(at).filter(|slot| **slot != 0) {
                    *slot = 0;
                    at = (at + 1) & (self.slots.len() - 1);
                }
            }
        }
        self.instructions.clear();
        self.hashes.clear();
        self.inputs.fill(NOTHING);
    }

    /// All values, operands first.
    #[inline(always)]
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// The value with this id.
    #[inline(always)]
    pub fn get(&self, id: u32) -> Option<&Instruction> {
        self.instructions.get(id as usize)
    }

    /// The structural hash of a value.
    #[inline(always)]
    pub fn hash(&self, id: u32) -> Hash {
        self.hashes.get(id as usize).copied().unwrap_or_default()
    }

    /// The value of a number.
    pub fn constant(&mut self, number: f64) -> u32 {
        let (axes, reduce) = (Axes::NONE, Axes::NONE);
        let hash = hash::constant(SALTS[Op::Const as usize], number.to_bits());
        self.intern(Instruction { op: Op::Const, axes, reduce, args: [0; 3], number }, hash)
    }

    /// The value of an input that was asked for before.
    #[inline(always)]
    pub fn known_input(&self, id: u16) -> Option<u32> {
        self.inputs.get(id as usize).copied().filter(|value| *value != NOTHING)
    }

    /// The value of an input.
    pub fn input(&mut self, id: u16, schema: &Schema) -> u32 {
        let (axes, args) = (schema.axes(id), [u32::from(id), 0, 0]);
        let instruction = Instruction { op: Op::Input, axes, reduce: Axes::NONE, args, number: 0.0 };
        let value = self.intern(instruction, schema.hash(id));
        if self.inputs.len() <= id as usize {
            self.inputs.resize(id as usize + 1, NOTHING);
        }
        if let Some(input) = self.inputs.get_mut(id as usize) {
            *input = value;
        }
        value
    }

    /// The value of an operator on values, rewritten where that changes no bit; None when they cannot have their axes.
    pub fn apply(&mut self, op: Op, reduce: Axes, args: [u32; 3], number: f64) -> Option<u32> {
        let first = self.get(args[0])?.axes;
        let all = match op.operands() {
            1 => first,
            2 => first.union(self.get(args[1])?.axes),
            _ => first.union(self.get(args[1])?.axes).union(self.get(args[2])?.axes),
        };
        let (axes, removed) = check::result(op, reduce, first, all)?;
        Some(self.simplify(Instruction { op, axes, reduce: removed, args, number }))
    }

    /// `apply` for an operator of one operand, short where nothing is rewritten.
    pub fn apply_one(&mut self, op: Op, operand: u32) -> Option<u32> {
        let inner = self.get(operand)?;
        let (axes, reduce) = check::result(op, Axes::NONE, inner.axes, inner.axes)?;
        let instruction = Instruction { op, axes, reduce, args: [operand, 0, 0], number: 0.0 };
        Some(if is_plain(inner) { self.emit_one(instruction) } else { self.simplify(instruction) })
    }

    /// `apply` for an elementwise operator of two operands, short where nothing is rewritten.
    pub fn apply_two(&mut self, op: Op, left: u32, right: u32) -> Option<u32> {
        let (a, b) = (self.get(left)?, self.get(right)?);
        let (axes, plain) = (a.axes.union(b.axes), is_plain(a) && is_plain(b) && left != right);
        let (reduce, args) = (Axes::NONE, [left, right, 0]);
        let instruction = Instruction { op, axes, reduce, args, number: 0.0 };
        Some(if plain { self.emit_two(instruction) } else { self.simplify(instruction) })
    }

    /// The value of an instruction, its operands put in the canonical order.
    #[inline(always)]
    pub fn emit(&mut self, instruction: Instruction) -> u32 {
        match instruction.op.operands() {
            1 => self.emit_one(instruction),
            2 => self.emit_two(instruction),
            _ => {
                let Instruction { op, args: [a, b, c], .. } = instruction;
                let (left, middle, right) = (self.hash(a), self.hash(b), self.hash(c));
                let hash = hash::pair(hash::pair(SALTS[op as usize], left, middle), left, right);
                self.intern(instruction, hash)
            }
        }
    }

    /// `emit` for one operand.
    #[inline(always)]
    fn emit_one(&mut self, instruction: Instruction) -> u32 {
        let Instruction { op, args, reduce, number, .. } = instruction;
        let number = number.to_bits() ^ u64::from(reduce.bits());
        self.intern(instruction, hash::single(SALTS[op as usize], self.hash(args[0]), number))
    }

    /// `emit` for two operands. Which goes first is as good as random, so that it is found without a branch.
    #[inline(always)]
    fn emit_two(&mut self, mut instruction: Instruction) -> u32 {
        let Instruction { op, args: [a, b, _], .. } = instruction;
        let (left, right) = (self.hash(a), self.hash(b));
        let swaps = op.commutes() & (right.value() < left.value());
        let mask = u64::from(swaps).wrapping_neg();
        let (high, low) = ((left.high ^ right.high) & mask, (left.low ^ right.low) & mask);
        let first = Hash { high: left.high ^ high, low: left.low ^ low };
        let second = Hash { high: right.high ^ high, low: right.low ^ low };
        let both = (a ^ b) & mask as u32;
        instruction.args = [a ^ both, b ^ both, 0];
        self.intern(instruction, hash::pair(SALTS[op as usize], first, second))
    }

    /// The id of an equal value, or a new one; `hash` is the structural hash of either.
    #[inline(always)]
    pub fn intern(&mut self, instruction: Instruction, hash: Hash) -> u32 {
        if 2 * self.instructions.len() >= self.slots.len() {
            self.grow();
        }
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = (hash.low >> self.shift) as usize;
        while let Some(slot) = self.slots.get_mut(at & mask) {
            if *slot == 0 {
                self.instructions.push(instruction);
                self.hashes.push(hash);
                *slot = self.instructions.len() as u32;
                return *slot - 1;
            }
            let value = *slot - 1;
            if self.instructions.get(value as usize).is_some_and(|other| equal(other, &instruction)) {
                return value;
            }
            at += 1;
        }
        NOTHING
    }

    /// Twice as many slots.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let size = (2 * self.slots.len()).max(1024);
        self.slots.clear();
        self.slots.resize(size, 0);
        self.shift = 64 - size.trailing_zeros();
        for (hash, value) in self.hashes.iter().zip(1..) {
            let mut at = (hash.low >> self.shift) as usize;
            while self.slots.get(at).is_some_and(|slot| *slot != 0) {
                at = (at + 1) & (size - 1);
            }
            if let Some(slot) = self.slots.get_mut(at) {
                *slot = value;
            }
        }
    }
}

/// Whether no rewrite looks at this operand: it is neither a number nor a minus.
#[inline(always)]
fn is_plain(value: &Instruction) -> bool {
    !matches!(value.op, Op::Const | Op::Neg)
}

/// Equality of values, numbers by their bits; without a branch for each part.
#[inline(always)]
fn equal(left: &Instruction, right: &Instruction) -> bool {
    (left.args == right.args)
        & (left.op == right.op)
        & (left.reduce == right.reduce)
        & (left.number.to_bits() == right.number.to_bits())
}
