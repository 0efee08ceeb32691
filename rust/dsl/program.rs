//! A compiled program: instructions in single-assignment form, operands before those that use them.

use std::fmt::Write;

use crate::dsl::axes::Axes;
use crate::dsl::error::{Note, Span};
use crate::dsl::hash::Hash;
use crate::dsl::ops::{Class, Op};
use crate::dsl::schema::Schema;

/// One value of a program. Its id is its place in `Program::instructions`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Instruction {
    /// What computes it.
    pub op: Op,
    /// Its axes.
    pub axes: Axes,
    /// Axes that a reduction removes; none for all else.
    pub reduce: Axes,
    /// Operands by id, `op.operands()` of them; for `Op::Input` the first is the input's id.
    pub args: [u32; 3],
    /// The value of `Op::Const`, the quantile of `Op::Quantile`.
    pub number: f64,
}

impl Instruction {
    /// Ids of the values it reads.
    #[inline]
    pub fn operands(&self) -> &[u32] {
        self.args.get(..self.op.operands()).unwrap_or_default()
    }
}

/// A program that passed every check that needs no table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Program {
    /// All values, operands first; the last is the score. Equal subexpressions are one, nothing is unused.
    pub instructions: Vec<Instruction>,
    /// Where each value stands in the source.
    pub spans: Vec<Span>,
    /// The structural hash of each value: equal across programs for equal subexpressions.
    pub hashes: Vec<Hash>,
    /// Ids of the inputs it reads, each once, in order of first use.
    pub inputs: Vec<u16>,
    /// Number of operators (values that are neither numbers nor inputs).
    pub ops: u32,
    /// Axes of the score: none or format.
    pub axes: Axes,
    /// Cost of the operators by the axes of what they read, for one element of each.
    pub(super) cost: [u32; Axes::COUNT],
    /// What the parser put right.
    pub notes: Vec<Note>,
}

impl Program {
    /// The canonical identity: renamed variables, swapped operands and folded constants change nothing.
    pub fn hash(&self) -> Hash {
        self.hashes.last().copied().unwrap_or_default()
    }

    /// Whether every value is a column: no axes within a unit but format.
    pub fn is_columns(&self) -> bool {
        self.instructions.iter().all(|instruction| instruction.axes.is_column())
    }

    /// The instructions as text, one a line: `%4 = mul %1 %3 : {out,in,pos}`.
    pub fn listing(&self, schema: &Schema) -> String {
        let mut text = String::new();
        for (id, instruction) in self.instructions.iter().enumerate() {
            let Instruction { op, axes, reduce, number, .. } = instruction;
            let _ = write!(text, "%{id} = ");
            let _ = match op {
                Op::Const => write!(text, "{number:?}"),
                Op::Input => write!(text, "{}", schema.name(instruction.args[0] as u16)),
                _ => write!(text, "{}", op.name()),
            };
            for operand in instruction.operands() {
                let _ = write!(text, " %{operand}");
            }
            if *op == Op::Quantile {
                let _ = write!(text, " {number:?}");
            }
            if op.class() == Class::Reduction {
                let _ = write!(text, " over {reduce}");
            }
            let _ = writeln!(text, " : {axes:?}");
        }
        text
    }
}
