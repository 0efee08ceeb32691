//! The changes that make an offspring: numbers tuned, parts exchanged, put in, taken out, wrapped, or crossed.

use crate::dsl::ast::{Ast, Node, Term};
use crate::dsl::axes::Axes;
use crate::dsl::ops::Op;
use crate::dsl::random::{Rng, Writer, apply, number, push};
use crate::dsl::vary::{Parent, Stock};

/// One change to be made: to `parent`, with parts of `other` where two are crossed.
pub(super) struct Change<'a, 'b> {
    pub rng: &'a mut Rng,
    pub parent: &'a Parent<'b>,
    pub other: &'a Parent<'b>,
    pub stock: &'a Stock<'a>,
}

/// The changed tree; None when the change drawn cannot be made at the place drawn.
pub(super) fn changed(change: &mut Change) -> Option<Ast> {
    let site = change.rng.pick(&change.parent.sites).copied()?;
    match change.rng.below(24) {
        0..=4 => change.number(),
        5..=7 => change.point(site),
        8 | 9 => change.subtree(site),
        10..=12 => change.hoist(site),
        13..=15 => change.crossover(site),
        16..=18 => change.factor(site),
        19 | 20 => change.term(site),
        21 => change.wrap(site),
        22 => change.normalise(site),
        _ => change.ensemble(),
    }
}

/// Exponents that a factor is put in with; tuning moves them.
const EXPONENTS: [f64; 9] = [-2.0, -1.0, -0.5, -0.25, 0.25, 0.5, 1.0, 1.5, 2.0];

impl Change<'_, '_> {
    fn writer(&mut self) -> Writer<'_> {
        Writer::new(self.rng, self.stock.schema, self.stock.inputs)
    }

    /// A number moved a little, by a factor or a step, or drawn anew; three digits stay.
    fn number(&mut self) -> Option<Ast> {
        let ast = &self.parent.ast;
        let numbers = self.parent.sites.iter().filter(|id| matches!(ast.node(**id).term, Term::Number(_)));
        let site = self.rng.pick(&numbers.copied().collect::<Vec<u32>>()).copied()?;
        let Term::Number(old) = ast.node(site).term else { return None };
        let step = self.bell() * if self.rng.once_in(2) { 0.1 } else { 0.6 };
        let new = match self.rng.below(8) {
            0 => self.rng.pick(&[0.0, 1.0, 2.0, 0.5, 1e-8]).copied()?,
            1..=3 => old + step,
            _ => old * step.exp(),
        };
        let short: f64 = format!("{new:.2e}").parse().ok()?;
        (short != old).then(|| replaced(ast, site, |nodes| number(nodes, short)))
    }

    /// A draw from a bell curve with standard deviation 1 (the sum of twelve uniform draws, less their mean).
    fn bell(&mut self) -> f64 {
        (0..12).map(|_| self.rng.below(1 << 20) as f64 / f64::from(1 << 20)).sum::<f64>() - 6.0
    }

    /// An operator exchanged for another of its kind, or an input for another with its axes.
    fn point(&mut self, site: u32) -> Option<Ast> {
        let term = match self.parent.ast.node(site).term {
            Term::Input(id) => {
                let schema = self.stock.schema;
                let alike = |other: &u16| *other != id && schema.axes(*other) == schema.axes(id);
                let others: Vec<u16> = self.stock.inputs.iter().copied().filter(alike).collect();
                Term::Input(*self.rng.pick(&others)?)
            }
            Term::Apply { op, reduce, args } => {
                let special = |op: Op| matches!(op, Op::Quantile | Op::Pow | Op::Where | Op::Clip);
                if special(op) {
                    return None;
                }
                let like = |other: Op| {
                    let same = other.class() == op.class() && other.operands() == op.operands();
                    other != op && same && !special(other)
                };
                Term::Apply { op: self.writer().operator(like), reduce, args }
            }
            _ => return None,
        };
        let mut ast = self.parent.ast.clone();
        ast.nodes.get_mut(site as usize)?.term = term;
        Some(ast)
    }

    /// A part replaced by a random one with its axes.
    fn subtree(&mut self, site: u32) -> Option<Ast> {
        let (parent, axes) = (self.parent, self.parent.axes_of(site));
        let ops = self.rng.below(6);
        Some(replaced(&parent.ast, site, |nodes| self.writer().write(nodes, axes, axes, ops)))
    }

    /// A part replaced by one of its own operands with its axes: the program gets simpler.
    fn hoist(&mut self, site: u32) -> Option<Ast> {
        let Term::Apply { op, args, .. } = self.parent.ast.node(site).term else { return None };
        let operands = args.get(..op.operands())?;
        let axes = self.parent.axes_of(site);
        let same = operands.iter().copied().filter(|id| self.parent.axes_of(*id) == axes);
        let heir = *self.rng.pick(&same.collect::<Vec<u32>>())?;
        let mut ast = self.parent.ast.clone();
        let term = ast.node(heir).term;
        ast.nodes.get_mut(site as usize)?.term = term;
        Some(ast)
    }

    /// A part replaced by a part of another program with its axes.
    fn crossover(&mut self, site: u32) -> Option<Ast> {
        let (other, axes) = (self.other, self.parent.axes_of(site));
        let fits =
            |id: &u32| other.axes_of(*id) == axes && matches!(other.ast.node(*id).term, Term::Apply { .. });
        let donor = *self.rng.pick(&other.sites.iter().copied().filter(fits).collect::<Vec<u32>>())?;
        Some(replaced(&self.parent.ast, site, |nodes| graft(nodes, &other.ast, donor)))
    }

    /// A part times a power of an input.
    fn factor(&mut self, site: u32) -> Option<Ast> {
        let exponent = self.rng.pick(&EXPONENTS).copied()?;
        let own = self.room(site);
        let fits = |id: &u16| own.contains(self.stock.schema.axes(*id));
        let input = *self.rng.pick(&self.stock.inputs.iter().copied().filter(fits).collect::<Vec<u16>>())?;
        self.wrapped(site, |_, nodes, part| {
            let mut factor = push(nodes, Term::Input(input));
            if exponent != 1.0 {
                let power = number(nodes, exponent);
                factor = apply(nodes, Op::Pow, Axes::NONE, [factor, power, 0]);
            }
            apply(nodes, Op::Mul, Axes::NONE, [part, factor, 0])
        })
    }

    /// A part and a small random one under an operator of two operands.
    fn term(&mut self, site: u32) -> Option<Ast> {
        let ops = self.rng.below(3);
        let op = self.rng.pick(&[Op::Add, Op::Sub, Op::Div, Op::Max, Op::Min]).copied()?;
        let may = self.room(site);
        self.wrapped(site, |change, nodes, part| {
            let term = change.writer().write(nodes, may, Axes::NONE, ops);
            apply(nodes, op, Axes::NONE, [part, term, 0])
        })
    }

    /// A part under an operator of one operand.
    fn wrap(&mut self, site: u32) -> Option<Ast> {
        let op = self.rng.pick(&[Op::Sqrt, Op::Square, Op::Log1p, Op::Abs, Op::Tanh]).copied()?;
        self.wrapped(site, |_, nodes, part| apply(nodes, op, Axes::NONE, [part, 0, 0]))
    }

    /// A part relative to its mean or its largest over the network, or its place in it.
    fn normalise(&mut self, site: u32) -> Option<Ast> {
        if !self.parent.axes_of(site).is_column() {
            return None;
        }
        let (level, place) = ([Op::NetMean, Op::NetMax], [Op::Rank, Op::Zscore, Op::Minmax]);
        let relative = self.rng.once_in(2);
        let op = self.rng.pick(if relative { level.as_slice() } else { place.as_slice() }).copied()?;
        self.wrapped(site, |_, nodes, part| {
            let over = apply(nodes, op, Axes::NONE, [part, 0, 0]);
            if relative { apply(nodes, Op::Div, Axes::NONE, [part, over, 0]) } else { over }
        })
    }

    /// Both programs summed, each on the same scale: relative to its mean over the network, or as ranks.
    fn ensemble(&mut self) -> Option<Ast> {
        let (parent, other) = (self.parent, self.other);
        let op = self.rng.pick(&[Op::NetMean, Op::NetMean, Op::Rank, Op::Zscore]).copied()?;
        let weight = self.rng.pick(&[0.25, 0.5, 1.0, 2.0]).copied()?;
        self.wrapped(parent.ast.root(), |_, nodes, part| {
            let second = graft(nodes, &other.ast, other.ast.root());
            let [first, second] = [part, second].map(|part| {
                let over = apply(nodes, op, Axes::NONE, [part, 0, 0]);
                let level = op == Op::NetMean;
                if level { apply(nodes, Op::Div, Axes::NONE, [part, over, 0]) } else { over }
            });
            let weight = number(nodes, weight);
            let second = apply(nodes, Op::Mul, Axes::NONE, [weight, second, 0]);
            apply(nodes, Op::Add, Axes::NONE, [first, second, 0])
        })
    }

    /// Axes that parts put in beside the node may have: its own, and at the score's place a format.
    fn room(&self, site: u32) -> Axes {
        let own = self.parent.axes_of(site);
        if site == self.parent.ast.root() { own.union(Axes::FORMAT) } else { own }
    }

    /// The tree with one node replaced by what `write` makes of it.
    fn wrapped(
        &mut self,
        site: u32,
        write: impl FnOnce(&mut Self, &mut Vec<Node>, u32) -> u32,
    ) -> Option<Ast> {
        let parent = self.parent;
        let term = parent.ast.node(site).term;
        Some(replaced_with(&parent.ast, site, |nodes, new_ids| {
            let part = push(nodes, moved(term, new_ids));
            write(self, nodes, part)
        }))
    }
}

/// The tree with one node replaced by what `write` appends; what the node stood for stays behind, unused.
fn replaced(ast: &Ast, site: u32, write: impl FnOnce(&mut Vec<Node>) -> u32) -> Ast {
    replaced_with(ast, site, |nodes, _| write(nodes))
}

/// As `replaced`; `write` also learns the new ids of the nodes before.
fn replaced_with(ast: &Ast, site: u32, write: impl FnOnce(&mut Vec<Node>, &[u32]) -> u32) -> Ast {
    let mut write = Some(write);
    let mut nodes = Vec::with_capacity(ast.nodes.len() + 16);
    let mut new_ids: Vec<u32> = Vec::with_capacity(ast.nodes.len());
    for (id, node) in ast.nodes.iter().enumerate() {
        let new = match write.take_if(|_| id == site as usize) {
            Some(write) => write(&mut nodes, &new_ids),
            None => push(&mut nodes, moved(node.term, &new_ids)),
        };
        new_ids.push(new);
    }
    let mut child = Ast { nodes, statements: ast.statements.clone(), score: ast.score, notes: Vec::new() };
    for statement in &mut child.statements {
        statement.root = new_ids.get(statement.root as usize).copied().unwrap_or(0);
    }
    child
}

/// A term with its operands renumbered.
pub(super) fn moved(term: Term, new_ids: &[u32]) -> Term {
    match term {
        Term::Apply { op, reduce, args } => {
            let args = args.map(|id| new_ids.get(id as usize).copied().unwrap_or(0));
            Term::Apply { op, reduce, args }
        }
        other => other,
    }
}

/// Append the part of another tree below `root`, its bound names written out.
pub(super) fn graft(nodes: &mut Vec<Node>, from: &Ast, root: u32) -> u32 {
    let mut new_ids: Vec<u32> = Vec::with_capacity(root as usize + 1);
    for node in from.nodes.iter().take(root as usize + 1) {
        let new = match node.term {
            Term::Bound(place) => {
                let bound = from.statements.get(place as usize).map_or(0, |statement| statement.root);
                new_ids.get(bound as usize).copied().unwrap_or(0)
            }
            term => push(nodes, moved(term, &new_ids)),
        };
        new_ids.push(new);
    }
    new_ids.last().copied().unwrap_or(0)
}
