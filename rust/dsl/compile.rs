//! A tree to instructions: axes checked, equal values merged, constants folded, unused values dropped.
//!
//! One pass over the nodes in the order they were parsed. Merging compares instructions, not hashes; the hash only
//! finds the candidates and names the result.

use crate::dsl::ast::{Ast, Term};
use crate::dsl::axes::Axes;
use crate::dsl::check;
use crate::dsl::error::{Error, Kind, Span};
use crate::dsl::hash::{self, Hash};
use crate::dsl::limits::Limits;
use crate::dsl::ops::{Op, SALTS, TABLE};
use crate::dsl::parse::Parser;
use crate::dsl::program::{Instruction, Program};
use crate::dsl::schema::Schema;

/// Compile one program.
pub fn compile(source: impl AsRef<[u8]>, schema: &Schema, limits: &Limits) -> Result<Program, Error> {
    let mut program = Program::default();
    Compiler::default().compile(source.as_ref(), schema, limits, &mut program)?;
    Ok(program)
}

/// Compiles program after program with the same memory.
#[derive(Debug, Default)]
pub struct Compiler {
    parser: Parser,
    /// The value of each node.
    values: Vec<u32>,
    pub(super) instructions: Vec<Instruction>,
    pub(super) hashes: Vec<Hash>,
    spans: Vec<Span>,
    /// Open addressing from hashes to values, each slot tagged with the program it was filled for.
    slots: Vec<Slot>,
    round: u32,
    new_ids: Vec<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    round: u32,
    value: u32,
}

/// Not a value: no node has it.
const NOTHING: u32 = u32::MAX;

impl Compiler {
    /// Compile `source` into `program`, whose memory is used again. After an error `program` means nothing.
    pub fn compile(
        &mut self,
        source: &[u8],
        schema: &Schema,
        limits: &Limits,
        program: &mut Program,
    ) -> Result<(), Error> {
        self.parser.parse(source, schema, limits)?;
        let mut parser = std::mem::take(&mut self.parser);
        let done = self.translate(source, parser.ast(), schema, limits, program);
        program.notes.clear();
        program.notes.append(&mut parser.ast.notes);
        self.parser = parser;
        done
    }

    /// The tree of the last program.
    pub fn ast(&self) -> &Ast {
        self.parser.ast()
    }

    /// Compile a tree.
    pub fn translate(
        &mut self,
        source: &[u8],
        ast: &Ast,
        schema: &Schema,
        limits: &Limits,
        program: &mut Program,
    ) -> Result<(), Error> {
        self.reset(ast.nodes.len());
        for node in &ast.nodes {
            let value = match node.term {
                Term::Number(number) => self.constant(number, node.span),
                Term::Input(id) => self.input(id, schema, node.span),
                Term::Bound(statement) => {
                    let root = ast.statements.get(statement as usize).map_or(0, |bound| bound.root);
                    self.value(root)
                }
                Term::Axis(_) => NOTHING,
                Term::Apply { op, reduce, args } => match self.apply(op, reduce, args, ast, node.span) {
                    Some(value) => value,
                    None => return Err(explain(source, ast, schema)),
                },
            };
            self.values.push(value);
        }
        let root = self.value(ast.root());
        let axes = self.instructions.get(root as usize).map(|instruction| instruction.axes);
        if !axes.is_some_and(Axes::is_column) || self.has_loose_axis(ast) {
            return Err(explain(source, ast, schema));
        }
        self.collect(root, program);
        if program.ops as usize > limits.operators {
            let message = format!("{} operators; at most {} are allowed", program.ops, limits.operators);
            return Err(Error::new(Kind::LimitOperators, ast.node(ast.root()).span, message)
                .hint("write a simpler formula"));
        }
        Ok(())
    }

    fn reset(&mut self, nodes: usize) {
        self.values.clear();
        self.instructions.clear();
        self.hashes.clear();
        self.spans.clear();
        self.round = self.round.wrapping_add(1);
        if self.round == 0 || self.slots.len() < 8 * nodes {
            // Powers and folded constants add at most five values a node; half full is the worst.
            let size = (16 * nodes).next_power_of_two().max(256);
            self.slots.clear();
            self.slots.resize(size, Slot::default());
            self.round = 1;
        }
    }

    #[inline(always)]
    fn value(&self, node: u32) -> u32 {
        self.values.get(node as usize).copied().unwrap_or(NOTHING)
    }

    /// Whether some statement is an axis word alone.
    fn has_loose_axis(&self, ast: &Ast) -> bool {
        ast.statements.iter().any(|statement| self.value(statement.root) == NOTHING)
    }

    /// The value of an operator on nodes; None when an operand cannot have its axes.
    #[inline(always)]
    fn apply(&mut self, op: Op, reduce: Axes, args: [u32; 3], ast: &Ast, span: Span) -> Option<u32> {
        let mut ids = [0; 3];
        let mut all = Axes::NONE;
        for (id, node) in ids.iter_mut().zip(args).take(op.operands()) {
            *id = self.value(node);
            all = all.union(self.instructions.get(*id as usize)?.axes);
        }
        let first = self.instructions.get(ids[0] as usize)?.axes;
        let (axes, removed) = check::result(op, reduce, first, all)?;
        let number = match (op, ast.node(args[1]).term) {
            (Op::Quantile, Term::Number(q)) => q,
            _ => 0.0,
        };
        let instruction = Instruction { op, axes, reduce: removed, args: ids, number };
        Some(self.simplify(instruction, span))
    }

    /// The value of a number.
    #[inline(always)]
    pub(super) fn constant(&mut self, number: f64, span: Span) -> u32 {
        let hash = hash::constant(SALTS[Op::Const as usize], number.to_bits());
        let (axes, reduce) = (Axes::NONE, Axes::NONE);
        self.intern(Instruction { op: Op::Const, axes, reduce, args: [0; 3], number }, hash, span)
    }

    #[inline(always)]
    fn input(&mut self, id: u16, schema: &Schema, span: Span) -> u32 {
        let (axes, args) = (schema.axes(id), [u32::from(id), 0, 0]);
        let instruction = Instruction { op: Op::Input, axes, reduce: Axes::NONE, args, number: 0.0 };
        self.intern(instruction, schema.hash(id), span)
    }

    /// The value of an instruction, its operands put in the canonical order.
    #[inline(always)]
    pub(super) fn emit(&mut self, mut instruction: Instruction, span: Span) -> u32 {
        let Instruction { op, args: [a, b, c], .. } = instruction;
        let salt = SALTS[op as usize];
        let left = self.hash_of(a);
        let hash = match op.operands() {
            1 => {
                let number = instruction.number.to_bits() ^ u64::from(instruction.reduce.bits());
                hash::single(salt, left, number)
            }
            2 => {
                let right = self.hash_of(b);
                if op.commutes() && right < left {
                    instruction.args = [b, a, 0];
                    hash::pair(salt, right, left)
                } else {
                    hash::pair(salt, left, right)
                }
            }
            _ => hash::pair(hash::pair(salt, left, self.hash_of(b)), left, self.hash_of(c)),
        };
        self.intern(instruction, hash, span)
    }

    #[inline(always)]
    fn hash_of(&self, id: u32) -> Hash {
        self.hashes.get(id as usize).copied().unwrap_or_default()
    }

    /// The id of an equal value, or a new one.
    #[inline(always)]
    fn intern(&mut self, instruction: Instruction, hash: Hash, span: Span) -> u32 {
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = hash.low as usize & mask;
        while let Some(slot) = self.slots.get_mut(at) {
            if slot.round != self.round {
                let value = self.instructions.len() as u32;
                *slot = Slot { round: self.round, value };
                self.instructions.push(instruction);
                self.hashes.push(hash);
                self.spans.push(span);
                return value;
            }
            let same =
                self.instructions.get(slot.value as usize).is_some_and(|other| equal(other, &instruction));
            if same {
                return slot.value;
            }
            at = (at + 1) & mask;
        }
        NOTHING
    }

    /// Copy what the score needs into `program`, numbered anew.
    #[inline(always)]
    fn collect(&mut self, root: u32, program: &mut Program) {
        let count = root as usize + 1;
        self.new_ids.clear();
        self.new_ids.resize(count, NOTHING);
        if let Some(id) = self.new_ids.last_mut() {
            *id = 0;
        }
        for id in (0..count).rev() {
            if self.new_ids.get(id) == Some(&NOTHING) {
                continue;
            }
            let Some(instruction) = self.instructions.get(id) else { continue };
            for operand in instruction.operands() {
                if let Some(needed) = self.new_ids.get_mut(*operand as usize) {
                    *needed = 0;
                }
            }
        }
        program.instructions.clear();
        program.spans.clear();
        program.hashes.clear();
        program.inputs.clear();
        program.cost = [0; Axes::COUNT];
        program.ops = 0;
        for id in 0..count {
            if self.new_ids.get(id) != Some(&NOTHING) {
                self.collect_one(id, program);
            }
        }
        program.axes = program.instructions.last().map_or(Axes::NONE, |score| score.axes);
    }

    #[inline(always)]
    fn collect_one(&mut self, id: usize, program: &mut Program) {
        let Some(mut instruction) = self.instructions.get(id).copied() else { return };
        if let Some(new) = self.new_ids.get_mut(id) {
            *new = program.instructions.len() as u32;
        }
        let mut read = instruction.axes;
        let operands = instruction.op.operands();
        for operand in instruction.args.iter_mut().take(operands) {
            *operand = self.new_ids.get(*operand as usize).copied().unwrap_or(NOTHING);
            if let Some(value) = program.instructions.get(*operand as usize) {
                read = read.union(value.axes);
            }
        }
        if instruction.op == Op::Input {
            program.inputs.push(instruction.args[0] as u16);
        }
        program.ops += u32::from(operands > 0);
        let cost = TABLE.get(instruction.op as usize).map_or(0, |spec| u32::from(spec.cost));
        if let Some(total) = program.cost.get_mut(read.index()) {
            *total += cost;
        }
        program.instructions.push(instruction);
        program.spans.push(self.spans.get(id).copied().unwrap_or_default());
        program.hashes.push(self.hash_of(id as u32));
    }
}

/// Equality of values, numbers by their bits.
#[inline(always)]
fn equal(left: &Instruction, right: &Instruction) -> bool {
    left.op == right.op
        && left.args == right.args
        && left.reduce == right.reduce
        && left.number.to_bits() == right.number.to_bits()
}

/// Why the tree is refused, found by the slow and careful check.
#[cold]
fn explain(source: &[u8], ast: &Ast, schema: &Schema) -> Error {
    match check::check(source, ast, schema) {
        Err(error) => error,
        Ok(_) => Error::new(Kind::Axes, ast.node(ast.root()).span, "the score has axes it may not have"),
    }
}
