//! Random well-typed programs, written from the operator table.

use crate::dsl::ast::{Ast, Name, Node, Statement, Term};
use crate::dsl::axes::Axes;
use crate::dsl::error::Span;
use crate::dsl::ops::{Class, Form, Op, TABLE};
use crate::dsl::print::print;
use crate::dsl::schema::Schema;

/// A small seeded generator of random numbers (SplitMix64); equal seeds give equal programs everywhere.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator with this seed.
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A whole number below `bound`; 0 when the bound is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of the items.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }
}

/// How often an operator is drawn, relative to the others of its class.
fn weight(op: Op) -> usize {
    match op {
        Op::Mul => 16,
        Op::Add | Op::Div => 10,
        Op::Sub => 8,
        Op::Sum | Op::Mean => 10,
        Op::Abs | Op::Sqrt | Op::Square | Op::Log => 6,
        Op::Eq | Op::Ne | Op::Le | Op::Ge => 0,
        Op::Pow | Op::Lt | Op::Gt | Op::Where | Op::Clip => 1,
        _ => 2,
    }
}

/// Writes expressions into an arena; every choice comes from its generator of random numbers.
#[derive(Debug)]
pub struct Writer<'a> {
    rng: &'a mut Rng,
    schema: &'a Schema,
    inputs: &'a [u16],
}

/// Numbers that formulas like.
const NUMBERS: [f64; 10] = [1.0, 2.0, 0.5, 1e-8, 0.1, 3.0, 10.0, 0.01, 1e-3, 0.25];

/// `count` programs of `ops` operators each (a few more where axes ask for it); `inputs` are those they may read.
pub fn programs(seed: u64, count: usize, ops: usize, schema: &Schema, inputs: &[u16]) -> Vec<String> {
    let mut rng = Rng::new(seed);
    (0..count).map(|_| program(&mut rng, ops, schema, inputs)).collect()
}

/// One program.
pub fn program(rng: &mut Rng, ops: usize, schema: &Schema, inputs: &[u16]) -> String {
    let mut ast = Ast::default();
    let root = Writer::new(rng, schema, inputs).write(&mut ast.nodes, Axes::FORMAT, Axes::NONE, ops.min(200));
    ast.statements.push(Statement { name: Some(Name::Score), root });
    print(&ast, b"", schema, usize::MAX).unwrap_or_default()
}

impl<'a> Writer<'a> {
    /// A writer that draws from `rng` and reads `inputs`.
    pub fn new(rng: &'a mut Rng, schema: &'a Schema, inputs: &'a [u16]) -> Writer<'a> {
        Writer { rng, schema, inputs }
    }

    /// Append an expression of `ops` operators that has every axis of `must` and none but those of `may`.
    pub fn write(&mut self, nodes: &mut Vec<Node>, may: Axes, must: Axes, ops: usize) -> u32 {
        if ops == 0 {
            return self.leaf(nodes, may, must);
        }
        let columns = may.is_column();
        let reducible = self.inputs.iter().any(|id| !self.schema.axes(*id).is_column());
        let class = match self.rng.below(10) {
            0 | 1 if columns && reducible => Class::Reduction,
            2 if columns => Class::Network,
            3 if reducible && self.rng.once_in(3) && must != Axes::ALL => Class::Reduction,
            _ => Class::Elementwise,
        };
        match class {
            Class::Reduction => self.reduction(nodes, may, must, ops),
            Class::Network => {
                let op = self.operator(|op| op.class() == Class::Network);
                let operand = self.write(nodes, may, must, ops - 1);
                apply(nodes, op, Axes::NONE, [operand, 0, 0])
            }
            _ => self.elementwise(nodes, may, must, ops),
        }
    }

    fn elementwise(&mut self, nodes: &mut Vec<Node>, may: Axes, must: Axes, ops: usize) -> u32 {
        let op = self.operator(|op| op.class() == Class::Elementwise);
        if op == Op::Pow || op == Op::Clip {
            let operand = self.write(nodes, may, must, ops - 1);
            let (low, high) = if op == Op::Pow {
                (self.rng.pick(&[2.0, 0.5, 3.0, 1.5]).copied(), None)
            } else {
                (Some(0.0), self.rng.pick(&[1.0, 4.0, 10.0]).copied())
            };
            let low = number(nodes, low.unwrap_or(2.0));
            let high = high.map_or(0, |high| number(nodes, high));
            return apply(nodes, op, Axes::NONE, [operand, low, high]);
        }
        let count = op.operands();
        let mut left = ops - 1;
        let mut args = [0; 3];
        // One operand carries the axes that must be there; which one is chance.
        let carrier = self.rng.below(count);
        for (place, arg) in args.iter_mut().enumerate().take(count) {
            let share = if place + 1 == count { left } else { self.rng.below(left + 1) };
            left -= share;
            *arg = self.write(nodes, may, if place == carrier { must } else { Axes::NONE }, share);
        }
        apply(nodes, op, Axes::NONE, args)
    }

    fn reduction(&mut self, nodes: &mut Vec<Node>, may: Axes, must: Axes, ops: usize) -> u32 {
        let op = self.operator(|op| op.class() == Class::Reduction && op != Op::Count);
        let all = may.is_column() && !self.rng.once_in(6);
        let named = if all {
            Axes::NONE
        } else {
            let choices = [Axes::OUT, Axes::IN, Axes::POS, Axes::WEIGHT, Axes::FORMAT];
            self.rng.pick(&choices).copied().unwrap_or(Axes::OUT).without(must)
        };
        if !all && named.is_empty() {
            return self.elementwise(nodes, may, must, ops);
        }
        let removed = if all {
            let choices = [Axes::WEIGHT, Axes::WEIGHT, Axes::WEIGHT, Axes::IN, Axes::OUT];
            self.rng.pick(&choices).copied().unwrap_or(Axes::WEIGHT)
        } else {
            named
        };
        let inside = if all { may.union(Axes::WEIGHT) } else { may.union(named) };
        let operand = self.write(nodes, inside, must.union(removed), ops - 1);
        let quantile = if op == Op::Quantile { number(nodes, 0.9) } else { 0 };
        apply(nodes, op, named, [operand, quantile, 0])
    }

    /// An input, or where no axis is asked for sometimes a number.
    fn leaf(&mut self, nodes: &mut Vec<Node>, may: Axes, must: Axes) -> u32 {
        if must.is_empty() && self.rng.once_in(4) {
            let value = self.rng.pick(&NUMBERS).copied().unwrap_or(1.0);
            return number(nodes, value);
        }
        let fits = |axes: Axes| may.contains(axes) && axes.contains(must);
        let fitting: Vec<u16> =
            self.inputs.iter().copied().filter(|id| fits(self.schema.axes(*id))).collect();
        if let Some(id) = self.rng.pick(&fitting) {
            return push(nodes, Term::Input(*id));
        }
        self.made_leaf(nodes, may, must)
    }

    /// Inputs multiplied until every axis is there, then what is too much averaged away; 1 when none fit.
    fn made_leaf(&mut self, nodes: &mut Vec<Node>, may: Axes, must: Axes) -> u32 {
        let mut made: Option<(u32, Axes)> = None;
        for axis in [Axes::OUT, Axes::IN, Axes::POS, Axes::FORMAT] {
            let have = made.map_or(Axes::NONE, |(_, axes)| axes);
            if !must.contains(axis) || have.contains(axis) {
                continue;
            }
            let holders: Vec<u16> =
                self.inputs.iter().copied().filter(|id| self.schema.axes(*id).contains(axis)).collect();
            let Some(id) = self.rng.pick(&holders).copied() else { continue };
            let (leaf, axes) = (push(nodes, Term::Input(id)), self.schema.axes(id));
            made = Some(match made {
                Some((left, have)) => (apply(nodes, Op::Mul, Axes::NONE, [left, leaf, 0]), have.union(axes)),
                None => (leaf, axes),
            });
        }
        match made {
            Some((id, axes)) if may.contains(axes) => id,
            Some((id, axes)) => apply(nodes, Op::Mean, axes.without(may), [id, 0, 0]),
            None => number(nodes, 1.0),
        }
    }

    /// An operator of the table for which `fits` holds, by weight.
    pub(super) fn operator(&mut self, fits: impl Fn(Op) -> bool) -> Op {
        let chosen = |spec: &&crate::dsl::ops::Spec| spec.form != Form::None && fits(spec.op);
        let total: usize = TABLE.iter().filter(chosen).map(|spec| weight(spec.op)).sum();
        let mut left = self.rng.below(total);
        for spec in TABLE.iter().filter(chosen) {
            match left.checked_sub(weight(spec.op)) {
                Some(rest) => left = rest,
                None => return spec.op,
            }
        }
        Op::Mul
    }
}

pub(super) fn push(nodes: &mut Vec<Node>, term: Term) -> u32 {
    nodes.push(Node { term, span: Span::default() });
    (nodes.len() - 1) as u32
}

pub(super) fn number(nodes: &mut Vec<Node>, value: f64) -> u32 {
    push(nodes, Term::Number(value))
}

pub(super) fn apply(nodes: &mut Vec<Node>, op: Op, reduce: Axes, args: [u32; 3]) -> u32 {
    push(nodes, Term::Apply { op, reduce, args })
}
