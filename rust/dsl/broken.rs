//! Which values of a run were not finite, unit by unit, and the first operator that made them so.

use crate::dsl::ops::Class;
use crate::dsl::program::Program;

/// Bytes for each value and unit: two flags, and a place in a list that may be half empty and about to move.
const BYTES: u64 = 2 + 3 * 8;

/// One flag for each value of a program and each unit.
#[derive(Debug, Default)]
pub struct Broken {
    units: usize,
    flags: Vec<bool>,
}

impl Broken {
    /// Nothing is broken yet.
    pub fn new(program: &Program, units: usize) -> Broken {
        Broken { units, flags: vec![false; program.instructions.len() * units] }
    }

    /// The bytes of `new` and `first` together, for a program of so many values.
    pub fn bytes(values: u64, units: usize) -> u64 {
        values.saturating_mul(units as u64).saturating_mul(BYTES)
    }

    /// Remember whether a value is broken in a unit; once broken it stays so.
    #[inline]
    pub fn note(&mut self, value: usize, unit: usize, is_broken: bool) {
        if let Some(flag) = self.flags.get_mut(value * self.units + unit) {
            *flag |= is_broken;
        }
    }

    fn is(&self, value: usize, unit: usize) -> bool {
        self.flags.get(value * self.units + unit) == Some(&true)
    }

    /// The first unit whose score is broken, and the first value on the way to it that is broken though all that it
    /// was computed from are not. Each value is looked at once in each unit.
    pub fn first(&self, program: &Program) -> (usize, usize) {
        let score = program.instructions.len().saturating_sub(1);
        let unit = (0..self.units).find(|unit| self.is(score, *unit)).unwrap_or(0);
        let mut seen = vec![false; self.flags.len()];
        let mut waiting = vec![(score as u32, unit as u32)];
        let mut found = score;
        while let Some((id, unit)) = waiting.pop() {
            let Some(instruction) = program.instructions.get(id as usize) else { continue };
            let mut is_first = true;
            for operand in instruction.operands() {
                let network = instruction.op.class() == Class::Network;
                let reads = if network { 0..self.units as u32 } else { unit..unit + 1 };
                for unit in reads.filter(|unit| self.is(*operand as usize, *unit as usize)) {
                    is_first = false;
                    let key = self.key(program, *operand, unit);
                    if seen.get_mut(key).is_some_and(|seen| !std::mem::replace(seen, true)) {
                        waiting.push((*operand, unit));
                    }
                }
            }
            if is_first {
                found = found.min(id as usize);
            }
        }
        (unit, found)
    }

    /// Where it is kept that a value was looked at in a unit; what reads all units finds the same in each.
    fn key(&self, program: &Program, value: u32, unit: u32) -> usize {
        let reads_all =
            program.instructions.get(value as usize).is_some_and(|v| v.op.class() == Class::Network);
        value as usize * self.units + if reads_all { 0 } else { unit as usize }
    }
}
