//! The samples that some reductions read, a block at a time: which loops to run, and running them. What no format changes
//! is computed once for all formats. Which operators a loop does on the way, so that they get no block of their own, is
//! found in `links`.

use pulp::Simd;

use crate::dsl::axes::Axes;
use crate::dsl::broken::Broken;
use crate::dsl::kernels::{self, BLOCK, Chain, Numbers, Operand};
use crate::dsl::links::{self, Links, Work, World};
use crate::dsl::ops::Op;
use crate::dsl::program::Instruction;

/// Values of the block at hand, and what computes them.
#[derive(Debug, Default)]
pub struct Blocks {
    /// By instruction; empty where it needs none.
    values: Vec<Held>,
    wanted: Vec<bool>,
    /// Without formats, and for each format; operands first.
    steps: [Vec<Step>; 2],
}

/// Elements whose values without formats are kept while one format after the other reads them, so that each format is
/// read from memory in long runs.
const RUN: usize = 4 * BLOCK;

/// Numbers beside those of a run, so that values one after the other in memory do not begin at one place of their pages:
/// a processor takes a load for one of what was just stored there.
const APART: usize = 200;

/// Bytes of the values of one instruction.
pub const VALUE_BYTES: usize = 8 * (RUN + APART);

/// The values of one instruction, from the beginning of a line of the cache: of a run, or with formats of a block.
#[derive(Debug, Default)]
struct Held {
    room: Vec<f64>,
    first: usize,
    of_run: bool,
}

impl Held {
    fn prepare(&mut self, of_run: bool) {
        if self.room.is_empty() {
            self.room.resize(RUN + APART, 0.0);
            self.first = (self.room.as_ptr() as usize).wrapping_neg() % 64 / 8;
        }
        self.of_run = of_run;
    }

    /// Where the block at hand lies.
    #[inline(always)]
    fn range(&self, place: Place) -> std::ops::Range<usize> {
        let start = self.first + if self.of_run { place.start % RUN } else { 0 };
        start..start + place.length
    }
}

/// One loop; its result is the block or the total of instruction `to`.
#[derive(Clone, Copy, Debug)]
struct Step {
    to: usize,
    work: Work,
}

/// A part of all samples.
#[derive(Clone, Copy)]
struct Place {
    unit: usize,
    start: usize,
    length: usize,
    /// 0 in steps without formats.
    format: usize,
}

impl Blocks {
    /// Plans the loops of a group of reductions.
    pub fn plan(&mut self, world: World, group: &[usize], watched: bool) {
        let count = world.program.instructions.len();
        self.wanted.clear();
        self.wanted.resize(count, false);
        self.values.resize_with(self.values.len().max(count), Held::default);
        self.steps.iter_mut().for_each(Vec::clear);
        // From the reductions down to what they read, so that each value is known to be wanted before its turn.
        for id in (0..count).rev() {
            let Some(value) = world.program.instructions.get(id) else { continue };
            let work = match group.binary_search(&id) {
                Ok(_) => links::of_reduction(world, value, watched),
                Err(_) if self.wanted.get(id) == Some(&true) => links::of_value(world, id, value, watched),
                Err(_) => continue,
            };
            let mut want = |id: usize| {
                if let Some(wanted) = self.wanted.get_mut(id) {
                    *wanted = true;
                }
            };
            match work {
                Work::Repeat | Work::Fill => {}
                Work::Operator | Work::Reduce => {
                    let samples = value.operands().iter().map(|id| *id as usize);
                    samples.filter(|id| !links::is_column(world.program, *id)).for_each(want);
                }
                Work::Store(links) | Work::Sum(links, _) => {
                    links.pair.iter().for_each(|(_, left)| want(*left));
                    links.added.iter().for_each(|added| want(*added));
                    if !links.raw {
                        want(links.right);
                    }
                }
            }
            if let Some(block) =
                self.values.get_mut(id).filter(|_| !matches!(work, Work::Reduce | Work::Sum(..)))
            {
                block.prepare(!value.axes.contains(Axes::FORMAT));
            }
            let has_formats = usize::from(value.axes.contains(Axes::FORMAT));
            if let Some(steps) = self.steps.get_mut(has_formats) {
                steps.push(Step { to: id, work });
            }
        }
        self.steps.iter_mut().for_each(|steps| steps.reverse());
    }

    /// Runs all blocks of one unit; totals are added to `columns`.
    #[inline(always)]
    pub fn unit<S: Simd>(
        &mut self,
        simd: S,
        world: World,
        unit: usize,
        columns: &mut [Vec<f64>],
        mut broken: Option<&mut Broken>,
    ) {
        let elements: usize = world.table.shape(world.domain, unit).iter().product();
        let [plain, with_formats] = std::mem::take(&mut self.steps);
        for run in (0..elements).step_by(RUN) {
            let end = elements.min(run + RUN);
            for part in 0..=world.table.formats() {
                let (steps, format) = if part == 0 { (&plain, 0) } else { (&with_formats, part - 1) };
                for start in (run..end).step_by(BLOCK) {
                    let place = Place { unit, start, length: BLOCK.min(end - start), format };
                    for step in steps {
                        self.step(simd, world, *step, place, columns, broken.as_deref_mut());
                    }
                }
            }
        }
        self.steps = [plain, with_formats];
    }

    #[inline(always)]
    fn step<S: Simd>(
        &mut self,
        simd: S,
        world: World,
        step: Step,
        place: Place,
        columns: &mut [Vec<f64>],
        broken: Option<&mut Broken>,
    ) {
        let Some(value) = world.program.instructions.get(step.to) else { return };
        if let Work::Reduce | Work::Sum(..) = step.work {
            let at = place.format * world.table.units() + place.unit;
            let operand = value.args[0] as usize;
            let Some(total) = columns.get_mut(step.to).and_then(|column| column.get_mut(at)) else { return };
            *total = match step.work {
                Work::Sum(links, after) => *total + self.chain(world, links, place).sum(simd, after),
                _ => kernels::accumulate(simd, value.op, *total, self.block(operand, place)),
            };
            return;
        }
        let mut block = self.values.get_mut(step.to).map(std::mem::take).unwrap_or_default();
        let out = {
            let range = block.range(place);
            block.room.get_mut(range).unwrap_or_default()
        };
        match step.work {
            Work::Store(links) => self.chain(world, links, place).store(simd, out),
            Work::Repeat => repeat(world, value, place, out),
            Work::Fill => out.fill(number(world, step.to, value, place, columns)),
            _ => {
                let operands = value.args.map(|id| self.operand(world, id as usize, place, columns));
                kernels::elementwise_by(simd, value.op, operands, out);
            }
        }
        if let Some(broken) = broken {
            broken.note(step.to, place.unit, out.iter().any(|value| !value.is_finite()));
        }
        if let Some(place) = self.values.get_mut(step.to) {
            *place = block;
        }
    }

    #[inline(always)]
    fn block(&self, id: usize, place: Place) -> &[f64] {
        self.values.get(id).and_then(|held| held.room.get(held.range(place))).unwrap_or_default()
    }

    #[inline(always)]
    fn chain<'a>(&'a self, world: World<'a>, links: Links, place: Place) -> Chain<'a> {
        let left = links.pair.map_or(&[][..], |(_, left)| self.block(left, place));
        let added = links.added.map_or(&[][..], |added| self.block(added, place));
        let right = if links.raw {
            let read = world.program.instructions.get(links.right);
            let start = place.start..place.start + place.length;
            Numbers::Short(read.and_then(|read| sample(world, read, place)?.get(start)).unwrap_or_default())
        } else {
            Numbers::Wide(self.block(links.right, place))
        };
        Chain { pair: links.pair.map(|(pair, _)| pair), left, added, touch: links.touch, right }
    }

    #[inline(always)]
    fn operand(&self, world: World, id: usize, place: Place, columns: &[Vec<f64>]) -> Operand<'_> {
        match world.program.instructions.get(id) {
            Some(read) if read.axes.is_column() => Operand::Splat(number(world, id, read, place, columns)),
            _ => Operand::Slice(self.block(id, place)),
        }
    }
}

/// The number of a column, or of a constant, in one unit and format.
#[inline(always)]
fn number(world: World, id: usize, read: &Instruction, place: Place, columns: &[Vec<f64>]) -> f64 {
    let column = match read.op {
        Op::Const => return read.number,
        Op::Input => world.table.column(read.args[0] as u16).unwrap_or_default(),
        _ => columns.get(id).map_or(&[][..], Vec::as_slice),
    };
    let format = if read.axes.contains(Axes::FORMAT) { place.format } else { 0 };
    column.get(format * world.table.units() + place.unit).copied().unwrap_or(f64::NAN)
}

/// The values of an input in one unit and format.
#[inline(always)]
fn sample<'a>(world: World<'a>, read: &Instruction, place: Place) -> Option<&'a [f32]> {
    let all = world.table.sample(read.args[0] as u16, place.unit)?;
    let count: usize = world.table.shape(read.axes.intersection(Axes::WEIGHT), place.unit).iter().product();
    let format = if read.axes.contains(Axes::FORMAT) { place.format } else { 0 };
    all.get(format * count..(format + 1) * count)
}

/// A block of an input whose values are repeated along the axes of the domain that it lacks.
fn repeat(world: World, read: &Instruction, place: Place, out: &mut [f64]) {
    let values = sample(world, read, place).unwrap_or_default();
    let own = world.table.shape(read.axes.intersection(Axes::WEIGHT), place.unit);
    let [_, _, ins, places] = world.table.shape(world.domain, place.unit);
    let step = |size: usize, stride: usize| if size == 1 { 0 } else { stride };
    let (by_out, by_in, by_pos) = (step(own[1], own[2] * own[3]), step(own[2], own[3]), step(own[3], 1));
    for (element, to) in (place.start..).zip(out) {
        let (row, pos) = (element / places, element % places);
        let from = (row / ins) * by_out + (row % ins) * by_in + pos * by_pos;
        *to = values.get(from).map_or(f64::NAN, |value| f64::from(*value));
    }
}
