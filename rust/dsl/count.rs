//! The operators of one program among the values of a pool: how many differ, and what they cost.

use crate::dsl::axes::Axes;
use crate::dsl::ops::{Op, TABLE};
use crate::dsl::pool::Pool;

/// A program that was read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Read {
    /// The value of its score.
    pub root: u32,
    /// Operators it has.
    pub ops: u32,
    /// Cost of its operators for one element: those on one number a unit, those on one a unit and format.
    pub cost: [u32; 2],
    /// Values that are no leaves, in the same two kinds.
    pub values: [u32; 2],
}

/// Counts each value once a program.
#[derive(Debug, Default)]
pub struct Count {
    round: u32,
    /// By value, the round it was seen in last.
    seen: Vec<u32>,
    waiting: Vec<u32>,
    found: Read,
}

impl Count {
    /// Starts a program.
    #[inline(always)]
    pub fn begin(&mut self) {
        self.found = Read::default();
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            self.seen.fill(0);
            self.round = 1;
        }
    }

    /// Counts a value unless it was seen; false when it was.
    #[inline(always)]
    pub fn see(&mut self, value: u32, pool: &Pool) -> bool {
        let Some(instruction) = pool.get(value) else { return false };
        let Some(seen) = self.seen.get_mut(value as usize) else { return self.see_new(value, pool) };
        if std::mem::replace(seen, self.round) == self.round {
            return false;
        }
        let kind = usize::from(instruction.axes.contains(Axes::FORMAT));
        let one = u32::from(!matches!(instruction.op, Op::Const | Op::Input));
        self.found.ops += one;
        self.found.cost[kind] += COSTS[instruction.op as usize];
        self.found.values[kind] += one;
        true
    }

    #[cold]
    #[inline(never)]
    fn see_new(&mut self, value: u32, pool: &Pool) -> bool {
        self.seen.resize((2 * value as usize).max(1024), 0);
        self.see(value, pool)
    }

    /// What was counted, for a program with this score.
    #[inline(always)]
    pub fn found(&self, root: u32) -> Read {
        Read { root, ..self.found }
    }

    /// Counts what a score needs, from the score down.
    pub fn again(&mut self, root: u32, pool: &Pool) -> Read {
        self.begin();
        self.waiting.clear();
        self.waiting.push(root);
        while let Some(value) = self.waiting.pop() {
            if self.see(value, pool)
                && let Some(instruction) = pool.get(value)
            {
                self.waiting.extend_from_slice(instruction.operands());
            }
        }
        self.found(root)
    }
}

/// Leaves cost nothing.
static COSTS: [u32; TABLE.len()] = {
    let mut costs = [0; TABLE.len()];
    let mut at = 0;
    while at < costs.len() {
        costs[at] = TABLE[at].cost as u32;
        at += 1;
    }
    costs
};
