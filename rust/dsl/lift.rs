//! A program split in two: the statistics that read samples, and a program of columns above them.
//!
//! A search computes each statistic once and then varies what stands above them, which costs a thousandth.

use crate::dsl::ast::{Ast, Name, Node, Statement, Term};
use crate::dsl::axes::Axes;
use crate::dsl::check::check;
use crate::dsl::compile::compile;
use crate::dsl::error::{Error, Kind, Span};
use crate::dsl::kernels;
use crate::dsl::limits::Limits;
use crate::dsl::mutate::{graft, moved};
use crate::dsl::ops::{Class, Op};
use crate::dsl::parse::parse;
use crate::dsl::print::print;
use crate::dsl::random::push;
use crate::dsl::schema::Schema;

/// What stands for the samples in a lifted program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistic {
    /// The name that stands for it: `s_` and eight digits of its hash.
    pub name: String,
    /// Its expression.
    pub source: String,
}

/// The program with each statistic over samples replaced by a name, on one line, and those statistics.
///
/// Numbers are worked out on the way, and factors of 1 and double signs left out; the identity stays.
/// A name depends on the formula alone, so that equal statistics of different programs share it. Errors are those of
/// the program, and one for a program that gets too long without its names.
pub fn lift(source: &str, schema: &Schema, limits: &Limits) -> Result<(String, Vec<Statistic>), Error> {
    let bytes = source.as_bytes();
    let ast = parse(bytes, schema, limits)?;
    let axes = check(bytes, &ast, schema)?;
    let mut lifted = Lifted { schema: schema.clone(), nodes: Vec::new(), statistics: Vec::new() };
    let mut new_ids: Vec<u32> = Vec::with_capacity(ast.nodes.len());
    for (id, node) in (0..).zip(&ast.nodes) {
        let new = match node.term {
            Term::Bound(place) => {
                let bound = ast.statements.get(place as usize).map_or(0, |statement| statement.root);
                new_ids.get(bound as usize).copied().unwrap_or(0)
            }
            Term::Apply { op, args, .. }
                if op.class() == Class::Reduction
                    && !of(&axes, args[0]).is_column()
                    && of(&axes, id).is_column() =>
            {
                lifted.statistic(&ast, id, of(&axes, id), limits)?
            }
            term => lifted.tidied(moved(term, &new_ids)),
        };
        new_ids.push(new);
    }
    let root = new_ids.get(ast.root() as usize).copied().unwrap_or(0);
    lifted.finish(root, limits)
}

fn too_long(limits: &Limits) -> Error {
    let message = format!("written without names it has more than {} bytes", limits.source_bytes);
    Error::new(Kind::LimitSource, Span::default(), message).hint("write a simpler formula")
}

fn of(axes: &[Axes], id: u32) -> Axes {
    axes.get(id as usize).copied().unwrap_or_default()
}

struct Lifted {
    /// The language's inputs and the statistics found.
    schema: Schema,
    nodes: Vec<Node>,
    statistics: Vec<(u16, Statistic)>,
}

impl Lifted {
    /// A node that stands for the statistic of `root`.
    fn statistic(&mut self, ast: &Ast, root: u32, axes: Axes, limits: &Limits) -> Result<u32, Error> {
        let mut tree = Ast::default();
        let new = graft(&mut tree.nodes, ast, root);
        tree.statements.push(Statement { name: None, root: new });
        let text = print(&tree, b"", &self.schema, limits.source_bytes).ok_or_else(|| too_long(limits))?;
        let text = text.trim_end().to_string();
        let hash = compile(&text, &self.schema, limits)?.hash().value();
        let name = format!("s_{:08x}", (hash >> 96) as u32);
        if self.schema.add(&name, axes)
            && let Some(id) = self.schema.id(&name)
        {
            self.statistics.push((id, Statistic { name: name.clone(), source: text }));
        }
        let id = self.schema.id(&name).unwrap_or(0);
        Ok(push(&mut self.nodes, Term::Input(id)))
    }

    /// A node for a term; numbers are worked out, and what changes nothing is left out.
    fn tidied(&mut self, term: Term) -> u32 {
        let Term::Apply { op, args, .. } = term else { return push(&mut self.nodes, term) };
        let node = |id: u32| self.nodes.get(id as usize).map(|node| node.term);
        let value = |id: u32| match node(id) {
            Some(Term::Number(number)) => Some(number),
            _ => None,
        };
        let [first, second, _] = args;
        let one = |id: u32| value(id) == Some(1.0);
        match op {
            Op::Mul | Op::Div | Op::Pow if one(second) => return first,
            Op::Mul if one(first) => return second,
            Op::Neg => {
                if let Some(Term::Apply { op: Op::Neg, args: [inner, ..], .. }) = node(first) {
                    return inner;
                }
            }
            _ => {}
        }
        let mut numbers = [0.0; 3];
        let known = numbers.iter_mut().zip(args).take(op.operands()).all(|(number, id)| {
            value(id).is_some_and(|value| {
                *number = value;
                true
            })
        });
        if known && op.class() == Class::Elementwise {
            let folded = kernels::scalar(op, numbers);
            if folded.is_finite() {
                return push(&mut self.nodes, Term::Number(folded));
            }
        }
        push(&mut self.nodes, term)
    }

    /// The program of columns and the statistics that it reads.
    fn finish(self, root: u32, limits: &Limits) -> Result<(String, Vec<Statistic>), Error> {
        let mut read = vec![false; self.nodes.len()];
        if let Some(root) = read.get_mut(root as usize) {
            *root = true;
        }
        for id in (0..self.nodes.len()).rev() {
            if let (Some(true), Some(Node { term: Term::Apply { op, args, .. }, .. })) =
                (read.get(id).copied(), self.nodes.get(id))
            {
                for arg in args.iter().take(op.operands()) {
                    read.get_mut(*arg as usize).into_iter().for_each(|read| *read = true);
                }
            }
        }
        let reads =
            |id: u16| read.iter().zip(&self.nodes).any(|(read, node)| *read && node.term == Term::Input(id));
        let statistics: Vec<Statistic> =
            self.statistics.iter().filter(|(id, _)| reads(*id)).map(|(_, one)| one.clone()).collect();
        let mut ast = Ast { nodes: self.nodes, ..Ast::default() };
        ast.statements.push(Statement { name: Some(Name::Score), root });
        let text = print(&ast, b"", &self.schema, limits.source_bytes).ok_or_else(|| too_long(limits))?;
        Ok((text.trim_end().to_string(), statistics))
    }
}
