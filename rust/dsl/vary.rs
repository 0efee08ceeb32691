//! Genetic operators on programs: one part changed, or exchanged with another program, types kept.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::dsl::ast::{Ast, Term};
use crate::dsl::axes::Axes;
use crate::dsl::check::check;
use crate::dsl::compile::{Compiler, compile};
use crate::dsl::limits::Limits;
use crate::dsl::mutate::{Change, changed};
use crate::dsl::ops::Op;
use crate::dsl::parse::parse;
use crate::dsl::print::print;
use crate::dsl::program::Program;
use crate::dsl::random::{self, Rng};
use crate::dsl::schema::Schema;

/// A program ready to be varied.
pub(super) struct Parent<'a> {
    pub(super) source: &'a [u8],
    pub(super) ast: Ast,
    axes: Vec<Axes>,
    hash: u128,
    /// Nodes that are values: all but axis words and numbers of `quantile`.
    pub(super) sites: Vec<u32>,
}

/// A new program and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offspring {
    /// Its text.
    pub source: String,
    /// The place of its first parent among those given; none for a program made anew.
    pub parent: Option<u32>,
}

/// What offspring are made from, besides their parents.
#[derive(Clone, Copy, Debug)]
pub struct Stock<'a> {
    /// What names mean.
    pub schema: &'a Schema,
    /// Bounds of the language.
    pub limits: &'a Limits,
    /// Inputs that new parts may read.
    pub inputs: &'a [u16],
}

/// Parents, and the draws among them.
struct Herd<'a> {
    known: Vec<Parent<'a>>,
    /// The place among those given, and the place in `known`.
    drawn: Vec<(u32, usize)>,
}

impl<'a> Herd<'a> {
    fn draw(&self, rng: &mut Rng) -> Option<(u32, &Parent<'a>)> {
        let (place, at) = *rng.pick(&self.drawn)?;
        Some((place, self.known.get(at)?))
    }
}

/// Memory in which offspring are compiled, to see that they are valid.
#[derive(Default)]
struct Trial {
    compiler: Compiler,
    program: Program,
}

/// Tries before an offspring is a random program instead.
const TRIES: usize = 12;

/// Offspring that share a generator of random numbers; the threads take so many at a time.
const CHUNK: usize = 256;

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
    let stock = Stock { schema, limits, inputs };
    breed(seed, parents, count, &stock, 1).into_iter().map(|child| child.source).collect()
}

/// As `vary`, on `threads` threads (0: all cores) and with the parent of each; the same whatever their number.
pub fn breed<S: AsRef<str> + Sync>(
    seed: u64,
    parents: &[S],
    count: usize,
    stock: &Stock,
    threads: usize,
) -> Vec<Offspring> {
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(parents.len());
    let mut known: Vec<Parent> = Vec::new();
    // A parent that is named more often is drawn more often, and read once.
    let mut drawn: Vec<(u32, usize)> = Vec::with_capacity(parents.len());
    for (place, source) in (0..).zip(parents) {
        let source = source.as_ref();
        if let Some(&at) = places.get(source) {
            drawn.push((place, at));
        } else if let Some(parent) = Parent::read(source.as_bytes(), stock.schema, stock.limits) {
            places.insert(source, known.len());
            drawn.push((place, known.len()));
            known.push(parent);
        }
    }
    let herd = Herd { known, drawn };
    let chunk = |(place, first): (u64, usize)| {
        let mut rng = Rng::new(seed ^ place.wrapping_mul(0xa076_1d64_78bd_642f));
        let mut trial = Trial::default();
        (first..count.min(first + CHUNK))
            .map(|_| child(&mut rng, &herd, stock, &mut trial))
            .collect::<Vec<Offspring>>()
    };
    let chunks: Vec<(u64, usize)> = (0..).zip((0..count).step_by(CHUNK)).collect();
    let here = || chunks.iter().copied().map(chunk).collect::<Vec<_>>();
    let made = if threads == 1 || chunks.len() < 2 {
        here()
    } else {
        match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
            Ok(pool) => pool.install(|| chunks.par_iter().copied().map(chunk).collect()),
            Err(_) => here(),
        }
    };
    made.concat()
}

impl<'a> Parent<'a> {
    pub(super) fn read(source: &'a [u8], schema: &Schema, limits: &Limits) -> Option<Parent<'a>> {
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

    pub(super) fn axes_of(&self, id: u32) -> Axes {
        self.axes.get(id as usize).copied().unwrap_or_default()
    }
}

/// One offspring; a random program when no change gave one.
fn child(rng: &mut Rng, herd: &Herd, stock: &Stock, trial: &mut Trial) -> Offspring {
    (0..TRIES).find_map(|_| offspring(rng, herd, stock, trial)).unwrap_or_else(|| Offspring {
        source: random::program(rng, 12, stock.schema, stock.inputs),
        parent: None,
    })
}

/// One offspring; None when the change gave nothing new or nothing valid.
fn offspring(rng: &mut Rng, herd: &Herd, stock: &Stock, trial: &mut Trial) -> Option<Offspring> {
    let (place, parent) = herd.draw(rng)?;
    let (_, other) = herd.draw(rng)?;
    let ast = changed(&mut Change { rng, parent, other, stock })?;
    let source = print(&ast, parent.source, stock.schema, stock.limits.source_bytes)?;
    let Trial { compiler, program } = trial;
    compiler.compile(source.as_bytes(), stock.schema, stock.limits, program).ok()?;
    (program.hash().value() != parent.hash).then_some(Offspring { source, parent: Some(place) })
}

/// Ids of the inputs that random parts may read: all that are given, or all of the schema.
pub fn all_inputs(schema: &Schema) -> Vec<u16> {
    (0..schema.len()).filter_map(|id| u16::try_from(id).ok()).collect()
}
