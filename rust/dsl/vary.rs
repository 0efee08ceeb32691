//! Genetic operators on programs: one part changed, or exchanged with another program, types kept.

use crate::dsl::ast::{Ast, Node, Term};
use crate::dsl::axes::Axes;
use crate::dsl::check::check;
use crate::dsl::compile::compile;
use crate::dsl::limits::Limits;
use crate::dsl::ops::Op;
use crate::dsl::parse::parse;
use crate::dsl::print::print;
use crate::dsl::random::{self, Rng, Writer, push};
use crate::dsl::schema::Schema;

/// A program ready to be varied.
struct Parent<'a> {
    source: &'a [u8],
    ast: Ast,
    axes: Vec<Axes>,
    hash: u128,
    /// Nodes that are values: all but axis words and numbers of `quantile`.
    sites: Vec<u32>,
}

/// Tries before an offspring is a random program instead.
const TRIES: usize = 12;

/// `count` offspring of `parents`: each valid, and none with the formula of its first parent. Parents that do not
/// compile are left out; without any, the offspring are random programs of about twelve operators.
pub fn vary(
    seed: u64,
    parents: &[&str],
    count: usize,
    schema: &Schema,
    limits: &Limits,
    inputs: &[u16],
) -> Vec<String> {
    let mut rng = Rng::new(seed);
    let parents: Vec<Parent> =
        parents.iter().filter_map(|source| Parent::read(source.as_bytes(), schema, limits)).collect();
    (0..count)
        .map(|_| {
            (0..TRIES)
                .find_map(|_| offspring(&mut rng, &parents, schema, limits, inputs))
                .unwrap_or_else(|| random::program(&mut rng, 12, schema, inputs))
        })
        .collect()
}

impl<'a> Parent<'a> {
    fn read(source: &'a [u8], schema: &Schema, limits: &Limits) -> Option<Parent<'a>> {
        let hash = compile(source, schema, limits).ok()?.hash().value();
        let ast = parse(source, schema, limits).ok()?;
        let axes = check(source, &ast, schema).ok()?;
        let mut quantiles = vec![false; ast.nodes.len()];
        for node in &ast.nodes {
            if let Term::Apply { op: Op::Quantile, args, .. } = node.term
                && let Some(number) = quantiles.get_mut(args[1] as usize)
            {
                *number = true;
            }
        }
        let value = |id: &u32| {
            !matches!(ast.node(*id).term, Term::Axis(_)) && quantiles.get(*id as usize) == Some(&false)
        };
        let sites = (0..ast.nodes.len() as u32).filter(value).collect();
        Some(Parent { source, ast, axes, hash, sites })
    }

    fn axes_of(&self, id: u32) -> Axes {
        self.axes.get(id as usize).copied().unwrap_or_default()
    }
}

/// One offspring; None when the change gave nothing new or nothing valid.
fn offspring(
    rng: &mut Rng,
    parents: &[Parent],
    schema: &Schema,
    limits: &Limits,
    inputs: &[u16],
) -> Option<String> {
    let parent = rng.pick(parents)?;
    let site = rng.pick(&parent.sites).copied()?;
    let ast = match rng.below(6) {
        0 => constant(rng, parent)?,
        1 | 2 => point(rng, parent, site, schema, inputs)?,
        3 => subtree(rng, parent, site, schema, inputs),
        4 => hoist(rng, parent, site)?,
        _ => {
            let other = rng.pick(parents)?;
            crossover(rng, parent, site, other)?
        }
    };
    let text = print(&ast, parent.source, schema, limits.source_bytes)?;
    let program = compile(&text, schema, limits).ok()?;
    (program.hash().value() != parent.hash).then_some(text)
}

/// A number made larger or smaller, by at most a factor of four, or drawn anew.
fn constant(rng: &mut Rng, parent: &Parent) -> Option<Ast> {
    let number = |id: &u32| matches!(parent.ast.node(*id).term, Term::Number(_));
    let numbers: Vec<u32> = parent.sites.iter().copied().filter(number).collect();
    let site = rng.pick(&numbers).copied()?;
    let Term::Number(old) = parent.ast.node(site).term else { return None };
    let factor = rng.pick(&[0.25, 0.5, 0.8, 1.25, 2.0, 4.0]).copied()?;
    let new = if rng.once_in(4) { rng.pick(&[0.0, 1.0, 2.0, 0.5, 1e-8]).copied()? } else { old * factor };
    Some(replaced(&parent.ast, site, |nodes| push(nodes, Term::Number(new))))
}

/// An operator exchanged for another of its kind, or an input for another with its axes.
fn point(rng: &mut Rng, parent: &Parent, site: u32, schema: &Schema, inputs: &[u16]) -> Option<Ast> {
    let term = match parent.ast.node(site).term {
        Term::Input(id) => {
            let axes = schema.axes(id);
            let others: Vec<u16> =
                inputs.iter().copied().filter(|other| *other != id && schema.axes(*other) == axes).collect();
            Term::Input(*rng.pick(&others)?)
        }
        Term::Apply { op, reduce, args } => {
            let special = |op: Op| matches!(op, Op::Quantile | Op::Pow | Op::Where | Op::Clip);
            if special(op) {
                return None;
            }
            let like = |other: Op| {
                other != op
                    && other.class() == op.class()
                    && other.operands() == op.operands()
                    && !special(other)
            };
            Term::Apply { op: Writer::new(rng, schema, inputs).operator(like), reduce, args }
        }
        _ => return None,
    };
    let mut ast = parent.ast.clone();
    ast.nodes.get_mut(site as usize)?.term = term;
    Some(ast)
}

/// A part replaced by a random one with its axes.
fn subtree(rng: &mut Rng, parent: &Parent, site: u32, schema: &Schema, inputs: &[u16]) -> Ast {
    let axes = parent.axes_of(site);
    let ops = rng.below(6);
    replaced(&parent.ast, site, |nodes| Writer::new(rng, schema, inputs).write(nodes, axes, axes, ops))
}

/// A part replaced by one of its own operands with its axes: the program gets simpler.
fn hoist(rng: &mut Rng, parent: &Parent, site: u32) -> Option<Ast> {
    let Term::Apply { op, args, .. } = parent.ast.node(site).term else { return None };
    let operands = args.get(..op.operands())?;
    let axes = parent.axes_of(site);
    let same: Vec<u32> = operands.iter().copied().filter(|id| parent.axes_of(*id) == axes).collect();
    let heir = *rng.pick(&same)?;
    let mut ast = parent.ast.clone();
    let term = ast.node(heir).term;
    ast.nodes.get_mut(site as usize)?.term = term;
    Some(ast)
}

/// A part replaced by a part of another program with its axes.
fn crossover(rng: &mut Rng, parent: &Parent, site: u32, other: &Parent) -> Option<Ast> {
    let axes = parent.axes_of(site);
    let fits =
        |id: &u32| other.axes_of(*id) == axes && matches!(other.ast.node(*id).term, Term::Apply { .. });
    let donors: Vec<u32> = other.sites.iter().copied().filter(fits).collect();
    let donor = *rng.pick(&donors)?;
    Some(replaced(&parent.ast, site, |nodes| graft(nodes, &other.ast, donor)))
}

/// The tree with one node replaced by what `write` appends; what the node stood for stays behind, unused.
fn replaced(ast: &Ast, site: u32, write: impl FnOnce(&mut Vec<Node>) -> u32) -> Ast {
    let mut write = Some(write);
    let mut nodes = Vec::with_capacity(ast.nodes.len() + 16);
    let mut new_ids: Vec<u32> = Vec::with_capacity(ast.nodes.len());
    for (id, node) in ast.nodes.iter().enumerate() {
        let new = match write.take_if(|_| id == site as usize) {
            Some(write) => write(&mut nodes),
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
fn moved(term: Term, new_ids: &[u32]) -> Term {
    match term {
        Term::Apply { op, reduce, args } => {
            let args = args.map(|id| new_ids.get(id as usize).copied().unwrap_or(0));
            Term::Apply { op, reduce, args }
        }
        other => other,
    }
}

/// Append the part of another tree below `root`, its bound names written out.
fn graft(nodes: &mut Vec<Node>, from: &Ast, root: u32) -> u32 {
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

/// Ids of the inputs that random parts may read: all that are given, or all of the schema.
pub fn all_inputs(schema: &Schema) -> Vec<u16> {
    (0..schema.len()).filter_map(|id| u16::try_from(id).ok()).collect()
}
