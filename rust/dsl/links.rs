//! Which operators on samples one loop does together: a loop of `kernels::Chain` reads an input, takes a magnitude or a
//! square, combines by + - *, and sums on the way; unless the run is watched, since each value is then looked at.

use crate::dsl::axes::Axes;
use crate::dsl::kernels::{Pair, Touch};
use crate::dsl::ops::Op;
use crate::dsl::program::{Instruction, Program};
use crate::dsl::table::Table;

/// What runs on blocks.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// What is computed.
    pub program: &'a Program,
    /// On what.
    pub table: &'a Table,
    /// The axes within a unit that all reductions go over.
    pub domain: Axes,
}

/// What one loop does.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// An input whose values are repeated along axes that it lacks.
    Repeat,
    /// The number of a column or a constant.
    Fill,
    /// The operator on blocks, columns and numbers.
    Operator,
    /// A reduction of a block.
    Reduce,
    /// Several operators.
    Store(Links),
    /// Several operators and a sum, each element touched before.
    Sum(Links, Touch),
}

/// The parts of a `Chain`.
#[derive(Clone, Copy, Debug)]
pub struct Links {
    /// How two numbers are combined, and the left one.
    pub pair: Option<(Pair, usize)>,
    /// The number that is added to a product, or multiplies the right in another product.
    pub added: Option<usize>,
    /// What becomes of the right.
    pub touch: Touch,
    /// The right.
    pub right: usize,
    /// Whether the right is an input read as the table holds it.
    pub raw: bool,
}

/// Whether a value has no axes but format.
pub fn is_column(program: &Program, id: usize) -> bool {
    program.instructions.get(id).is_some_and(|value| value.axes.is_column())
}

/// What a reduction does: a chain that ends in a sum, or the reduction of a block.
pub fn of_reduction(world: World, value: &Instruction, watched: bool) -> Work {
    let after = match value.op {
        Op::Sum | Op::Mean => Touch::Plain,
        Op::Norm1 => Touch::Abs,
        Op::Norm2 => Touch::Square,
        _ => return Work::Reduce,
    };
    let operand = value.args[0] as usize;
    let Some(read) = world.program.instructions.get(operand).filter(|_| !watched) else {
        return Work::Reduce;
    };
    let joined = touch(read.op).and_then(|first| join(first, after));
    let (summed, after) = joined.map_or((operand, after), |joined| (read.args[0] as usize, joined));
    let has_formats = value.axes.contains(Axes::FORMAT);
    let links = world.program.instructions.get(summed).and_then(|read| pair(world, read, has_formats));
    Work::Sum(links.unwrap_or_else(|| right_side(world, summed, has_formats)), after)
}

/// What computes the block of a value.
pub fn of_value(world: World, id: usize, value: &Instruction, watched: bool) -> Work {
    if value.axes.is_column() {
        return Work::Fill;
    }
    let has_formats = value.axes.contains(Axes::FORMAT);
    match value.op {
        Op::Input if value.axes.intersection(Axes::WEIGHT) != world.domain => Work::Repeat,
        Op::Input => Work::Store(right_side(world, id, has_formats)),
        _ if watched => Work::Operator,
        Op::Abs | Op::Square => Work::Store(right_side(world, id, has_formats)),
        _ => pair(world, value, has_formats).map_or(Work::Operator, Work::Store),
    }
}

fn touch(op: Op) -> Option<Touch> {
    match op {
        Op::Abs => Some(Touch::Abs),
        Op::Square => Some(Touch::Square),
        _ => None,
    }
}

/// Two touches as one that gives the same bits.
fn join(first: Touch, then: Touch) -> Option<Touch> {
    match (first, then) {
        (first, Touch::Plain | Touch::Abs) => Some(first),
        (Touch::Abs | Touch::Plain, then) => Some(then),
        (Touch::Square, Touch::Square) => None,
    }
}

/// Two or three numbers combined, as far as a chain can.
fn pair(world: World, value: &Instruction, has_formats: bool) -> Option<Links> {
    let here =
        |value: &Instruction| value.axes.contains(Axes::FORMAT) == has_formats && !value.axes.is_column();
    if !here(value) {
        return None;
    }
    let [a, b, _] = value.args.map(|id| id as usize);
    if let Some(links) = two_products(world, value, has_formats) {
        return Some(links);
    }
    for (product, added) in [(b, a), (a, b)] {
        let read = world.program.instructions.get(product)?;
        if value.op == Op::Add && read.op == Op::Mul && here(read) {
            let links = combined(world, read, Pair::MulAdd, Pair::MulAdd);
            return Some(Links { added: Some(added), ..links });
        }
    }
    match value.op {
        Op::Mul => Some(combined(world, value, Pair::Mul, Pair::Mul)),
        Op::Add => Some(combined(world, value, Pair::Add, Pair::Add)),
        Op::Sub => Some(combined(world, value, Pair::Sub, Pair::SubFrom)),
        _ => None,
    }
}

/// The sum or the difference of two products that have a number in common, at least one time as it is.
fn two_products(world: World, value: &Instruction, has_formats: bool) -> Option<Links> {
    let product = |id: usize| {
        let read = world.program.instructions.get(id)?;
        let here = read.axes.contains(Axes::FORMAT) == has_formats && !read.axes.is_column();
        (here && read.op == Op::Mul).then(|| combined(world, read, Pair::Mul, Pair::Mul))
    };
    let [a, b, _] = value.args.map(|id| id as usize);
    let [a, b] = [product(a)?, product(b)?];
    let (other, links, pair) = match (value.op, a.touch, b.touch) {
        _ if a.right != b.right => return None,
        (Op::Add, Touch::Plain, _) => (a, b, Pair::TwoAdd),
        (Op::Add, _, Touch::Plain) => (b, a, Pair::TwoAdd),
        (Op::Sub, Touch::Plain, _) => (a, b, Pair::TwoSub),
        (Op::Sub, _, Touch::Plain) => (b, a, Pair::TwoSubFrom),
        _ => return None,
    };
    Some(Links { pair: Some((pair, links.pair?.1)), added: Some(other.pair?.1), ..links })
}

/// Both operands by `kept`, or the other way round by `swapped`: what more of the work can be put on goes to the right.
fn combined(world: World, value: &Instruction, kept: Pair, swapped: Pair) -> Links {
    let has_formats = value.axes.contains(Axes::FORMAT);
    let [a, b, _] = value.args.map(|id| id as usize);
    let [of_a, of_b] = [a, b].map(|id| right_side(world, id, has_formats));
    let saved = |links: Links| u8::from(links.raw) + u8::from(links.touch != Touch::Plain);
    if saved(of_a) > saved(of_b) {
        Links { pair: Some((swapped, b)), ..of_a }
    } else {
        Links { pair: Some((kept, a)), ..of_b }
    }
}

/// How a chain reads a value on its right: what is the same in all formats is not computed again for each.
fn right_side(world: World, id: usize, has_formats: bool) -> Links {
    let instructions = &world.program.instructions;
    let here = |id: usize| {
        let value = instructions.get(id)?;
        (value.axes.contains(Axes::FORMAT) == has_formats && !value.axes.is_column()).then_some(value)
    };
    let touched = here(id).and_then(|value| Some((touch(value.op)?, value.args[0] as usize)));
    let (touch, right) = touched.unwrap_or((Touch::Plain, id));
    let is_raw =
        |value: &Instruction| value.op == Op::Input && value.axes.intersection(Axes::WEIGHT) == world.domain;
    Links { pair: None, added: None, touch, right, raw: here(right).is_some_and(is_raw) }
}
