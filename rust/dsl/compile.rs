//! A tree to instructions: axes checked, equal values merged, constants folded, unused values dropped.
//!
//! One pass over the nodes in the order they were parsed; the pool merges equal values.

use crate::dsl::ast::{Ast, Term};
use crate::dsl::axes::Axes;
use crate::dsl::check;
use crate::dsl::error::{Error, Kind, Span};
use crate::dsl::limits::Limits;
use crate::dsl::ops::{Op, TABLE};
use crate::dsl::parse::Parser;
use crate::dsl::pool::{NOTHING, Pool};
use crate::dsl::program::Program;
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
    pool: Pool,
    /// Where each value of the pool stands in the source.
    spans: Vec<Span>,
    new_ids: Vec<u32>,
}

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
        self.reset();
        for node in &ast.nodes {
            let value = match node.term {
                Term::Number(number) => self.pool.constant(number),
                Term::Input(id) => self.pool.input(id, schema),
                Term::Bound(statement) => {
                    let root = ast.statements.get(statement as usize).map_or(0, |bound| bound.root);
                    self.value(root)
                }
                Term::Axis(_) => NOTHING,
                Term::Apply { op, reduce, args } => match self.apply(op, reduce, args, ast) {
                    Some(value) => value,
                    None => return Err(explain(source, ast, schema)),
                },
            };
            self.values.push(value);
            self.spans.resize(self.pool.instructions().len(), node.span);
        }
        let root = self.value(ast.root());
        let axes = self.pool.get(root).map(|instruction| instruction.axes);
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

    fn reset(&mut self) {
        self.values.clear();
        self.spans.clear();
        self.pool.clear();
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
    fn apply(&mut self, op: Op, reduce: Axes, args: [u32; 3], ast: &Ast) -> Option<u32> {
        let mut ids = [0; 3];
        for (id, node) in ids.iter_mut().zip(args).take(op.operands()) {
            *id = self.value(node);
        }
        let number = match (op, ast.node(args[1]).term) {
            (Op::Quantile, Term::Number(q)) => q,
            _ => 0.0,
        };
        self.pool.apply(op, reduce, ids, number)
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
            let Some(instruction) = self.pool.get(id as u32) else { continue };
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
        let Some(mut instruction) = self.pool.get(id as u32).copied() else { return };
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
        program.hashes.push(self.pool.hash(id as u32));
    }
}

/// Why the tree is refused, found by the slow and careful check.
#[cold]
fn explain(source: &[u8], ast: &Ast, schema: &Schema) -> Error {
    match check::check(source, ast, schema) {
        Err(error) => error,
        Ok(_) => Error::new(Kind::Axes, ast.node(ast.root()).span, "the score has axes it may not have"),
    }
}
