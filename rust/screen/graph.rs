//! The programs of a tile as one pool of values, each computed once however many programs hold it.

use crate::dsl::pool::{NOTHING, Pool};
use crate::dsl::{Axes, Class, Instruction, Op, Program, Schema};

/// Not a value.
pub const NONE: u32 = NOTHING;

/// What a value is needed for.
#[derive(Clone, Copy, Debug)]
pub struct Use {
    /// The first program whose score it is, or `NONE`.
    pub owner: u32,
    /// Whether some score needs it.
    pub live: bool,
    /// Whether some score may need its numbers although one of them is a NaN.
    pub exact: bool,
    /// Bit k: nothing reads operand k after this. Bit `ITSELF`: nothing reads the value.
    pub ends: u8,
}

/// See `Use::ends`.
pub const ITSELF: u8 = 3;

const UNUSED: Use = Use { owner: NONE, live: false, exact: false, ends: 0 };

/// Values in the order in which they can be computed.
#[derive(Default)]
pub struct Graph {
    /// The values; programs may be read straight into it.
    pub pool: Pool,
    uses: Vec<Use>,
    /// The value of each instruction of the program that is being added.
    places: Vec<u32>,
}

impl Graph {
    /// Forgets all values; the memory stays.
    pub fn clear(&mut self) {
        self.pool.clear();
        self.uses.clear();
    }

    /// The values, operands first.
    #[inline(always)]
    pub fn values(&self) -> &[Instruction] {
        self.pool.instructions()
    }

    /// What the values are needed for, once `settle` found it.
    #[inline(always)]
    pub fn uses(&self) -> &[Use] {
        &self.uses
    }

    /// Adds a compiled program and returns the value of its score.
    pub fn add(&mut self, program: &Program) -> u32 {
        self.places.clear();
        for (instruction, hash) in program.instructions.iter().zip(&program.hashes) {
            let mut instruction = *instruction;
            let operands = instruction.op.operands();
            for operand in instruction.args.iter_mut().take(operands) {
                *operand = self.places.get(*operand as usize).copied().unwrap_or(NONE);
            }
            self.places.push(self.pool.intern(instruction, *hash));
        }
        self.places.last().copied().unwrap_or(NONE)
    }

    /// The value of a score times the squared error of each format, the column `error`.
    pub fn times_error(&mut self, score: u32, error: u16, schema: &Schema) -> u32 {
        let error = match self.pool.known_input(error) {
            Some(error) => error,
            None => self.pool.input(error, schema),
        };
        let (axes, reduce) = (Axes::FORMAT, Axes::NONE);
        self.pool.emit(Instruction { op: Op::Mul, axes, reduce, args: [score, error, 0], number: 0.0 })
    }

    /// Makes the value the score of `program`, unless it is already that of an earlier one, which is returned.
    #[inline(always)]
    pub fn own(&mut self, value: u32, program: u32) -> u32 {
        if self.uses.len() <= value as usize {
            self.uses.resize(self.pool.instructions().len(), UNUSED);
        }
        match self.uses.get_mut(value as usize) {
            Some(used) => {
                if used.owner == NONE {
                    used.owner = program;
                }
                used.owner
            }
            None => program,
        }
    }

    /// Finds which values the scores need, and where each is read last.
    pub fn settle(&mut self) {
        let values = self.pool.instructions();
        self.uses.resize(values.len(), UNUSED);
        for (place, instruction) in values.iter().enumerate().rev() {
            let Some(used) = self.uses.get_mut(place) else { continue };
            if used.owner != NONE && !used.live {
                (used.live, used.ends) = (true, 1 << ITSELF);
            }
            if !used.live {
                continue;
            }
            let exact = used.exact || !keeps_nan(instruction.op);
            let mut ends = used.ends;
            for (at, operand) in instruction.operands().iter().enumerate() {
                if let Some(read) = self.uses.get_mut(*operand as usize) {
                    ends |= u8::from(!read.live) << at;
                    read.live = true;
                    read.exact |= exact;
                }
            }
            if let Some(used) = self.uses.get_mut(place) {
                used.ends = ends;
            }
        }
    }
}

/// Whether a NaN anywhere in any operand is a NaN somewhere in the result.
#[inline(always)]
pub fn keeps_nan(op: Op) -> bool {
    KEEPS_NAN[op as usize]
}

static KEEPS_NAN: [bool; crate::dsl::ops::TABLE.len()] = {
    let mut keeps = [false; crate::dsl::ops::TABLE.len()];
    let mut at = 0;
    while at < keeps.len() {
        let spec = &crate::dsl::ops::TABLE[at];
        let may_lose = matches!(
            spec.op,
            Op::Pow | Op::Lt | Op::Le | Op::Gt | Op::Ge | Op::Eq | Op::Ne | Op::Where | Op::Prev | Op::Next
        );
        keeps[at] = matches!(spec.class, Class::Elementwise | Class::Network) && !may_lose;
        at += 1;
    }
    keeps
};

/// Whether an operator makes a NaN of numbers that programs usually have.
pub fn makes_nan(op: Op) -> bool {
    matches!(
        op,
        Op::Log | Op::Log2 | Op::Log10 | Op::Log1p | Op::Sqrt | Op::Pow | Op::Div | Op::Zscore | Op::Minmax
    )
}
