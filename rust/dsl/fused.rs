//! A program run without holding whole tensors: samples go through all operators a block at a time.
//!
//! Columns are computed for all units at once. Where a reduction needs samples, it and all others ready over the same axes
//! read each block once; values without formats are computed once for all formats. Blocks are those of the fixed order
//! of sums, so the results have the same bits as `walk`. Programs with other reductions are left to it.

use pulp::{Arch, Simd, WithSimd};

use crate::dsl::axes::Axes;
use crate::dsl::blocks::{Blocks, VALUE_BYTES};
use crate::dsl::broken::Broken;
use crate::dsl::kernels::{self, Operand};
use crate::dsl::links::World;
use crate::dsl::ops::{Class, Op};
use crate::dsl::program::{Instruction, Program};
use crate::dsl::table::Table;

/// Memory of runs.
#[derive(Debug, Default)]
pub struct Fused {
    /// Values of columns by instruction, format-major.
    columns: Vec<Vec<f64>>,
    blocks: Blocks,
    done: Vec<bool>,
    order: Vec<(f64, u32)>,
    row: Vec<f64>,
    /// Set while a run is repeated to find where its score broke.
    broken: Option<Broken>,
}

/// Whether this way of running has all that the program needs.
pub fn fits(program: &Program) -> bool {
    program.instructions.iter().all(|value| {
        value.op.class() != Class::Reduction
            || (value.axes.is_column() && !value.reduce.contains(Axes::FORMAT) && kernels::streams(value.op))
    })
}

/// A bound on the bytes that the values of a run take at once.
pub fn bytes(program: &Program, table: &Table) -> u64 {
    let row = table.units() as u64 * 24;
    program.instructions.iter().fold(row, |sum, value| {
        sum.saturating_add(match value.op.class() {
            Class::Leaf if value.axes.is_column() => 0,
            _ if value.axes.is_column() => table.elements(value.axes).saturating_mul(8),
            _ => VALUE_BYTES as u64,
        })
    })
}

impl Fused {
    /// Run again and learn which values are not finite in which units.
    pub fn find_broken(&mut self, program: &Program, table: &Table) -> Broken {
        self.broken = Some(Broken::new(program, table.units()));
        self.run(program, table);
        self.broken.take().unwrap_or_default()
    }

    /// The score, [L] or format-major [F][L].
    pub fn run<'s>(&'s mut self, program: &Program, table: &'s Table) -> &'s [f64] {
        let count = program.instructions.len();
        self.columns.resize_with(self.columns.len().max(count), Vec::new);
        self.done.clear();
        self.done.resize(count, false);
        for id in 0..count {
            let Some(value) = program.instructions.get(id) else { continue };
            match value.op.class() {
                Class::Leaf => self.note_leaf(table, id, value),
                _ if !value.axes.is_column() || self.done.get(id) == Some(&true) => {}
                Class::Reduction => self.reductions(program, table, id),
                _ => self.column(program, table, id, value),
            }
        }
        let score = count.wrapping_sub(1);
        match program.instructions.last() {
            Some(value) if value.op == Op::Const => {
                self.row.clear();
                self.row.resize(table.units(), value.number);
                &self.row
            }
            Some(value) => self.whole(table, score, value),
            None => &[],
        }
    }

    /// All values of a column that is no number.
    fn whole<'s>(&'s self, table: &'s Table, id: usize, value: &Instruction) -> &'s [f64] {
        if value.op == Op::Input {
            return table.column(value.args[0] as u16).unwrap_or_default();
        }
        self.columns.get(id).map_or(&[], Vec::as_slice)
    }

    fn note_leaf(&mut self, table: &Table, id: usize, value: &Instruction) {
        if let Some(broken) = &mut self.broken {
            for unit in 0..table.units() {
                let number = value.op == Op::Const;
                let finite = if number {
                    value.number.is_finite()
                } else {
                    table.is_finite(value.args[0] as u16, unit)
                };
                broken.note(id, unit, !finite);
            }
        }
    }

    fn note_column(&mut self, units: usize, id: usize) {
        if let (Some(broken), Some(column)) = (&mut self.broken, self.columns.get(id)) {
            for (place, value) in column.iter().enumerate() {
                broken.note(id, place % units, !value.is_finite());
            }
        }
    }

    /// A column from columns.
    fn column(&mut self, program: &Program, table: &Table, id: usize, value: &Instruction) {
        let Some(place) = self.columns.get_mut(id) else { return };
        let mut column = std::mem::take(place);
        let mut order = std::mem::take(&mut self.order);
        let units = table.units();
        column.clear();
        column.resize(units * formats(value.axes, table), 0.0);
        for (format, out) in column.chunks_mut(units).enumerate() {
            let [a, b, c] = [0, 1, 2].map(|place| {
                let id = value.operands().get(place).copied().unwrap_or(0) as usize;
                let start = program.instructions.get(id).map_or(0, |read| column_start(read, format, units));
                match program.instructions.get(id) {
                    Some(read) if read.op == Op::Const => Operand::Splat(read.number),
                    Some(read) => {
                        let whole = self.whole(table, id, read);
                        Operand::Slice(whole.get(start..start + units).unwrap_or_default())
                    }
                    None => Operand::Splat(f64::NAN),
                }
            });
            match (value.op, a) {
                (op, Operand::Slice(x)) if op.class() == Class::Network => {
                    kernels::network(op, x, out, &mut order);
                }
                (op, Operand::Splat(x)) if op.class() == Class::Network => {
                    self.row.clear();
                    self.row.resize(units, x);
                    kernels::network(op, &self.row, out, &mut order);
                }
                (op, _) => kernels::elementwise(op, [a, b, c], out),
            }
        }
        if let Some(place) = self.columns.get_mut(id) {
            *place = column;
        }
        self.order = order;
        self.note_column(units, id);
    }

    /// The reduction `first` and all later ones over the same axes that need no column not yet computed.
    fn reductions(&mut self, program: &Program, table: &Table, first: usize) {
        let domain = domain(program, first);
        let mut group = Vec::new();
        for id in first..program.instructions.len() {
            let Some(value) = program.instructions.get(id) else { continue };
            let reduces = value.op.class() == Class::Reduction && self.done.get(id) == Some(&false);
            if reduces && self::domain(program, id) == domain && is_ready(program, id, first) {
                group.push(id);
                if let Some(done) = self.done.get_mut(id) {
                    *done = true;
                }
            }
        }
        for id in &group {
            let Some(value) = program.instructions.get(*id) else { continue };
            if let Some(column) = self.columns.get_mut(*id) {
                column.clear();
                column.resize(table.units() * formats(value.axes, table), kernels::start(value.op));
            }
        }
        let world = World { program, table, domain };
        self.blocks.plan(world, &group, self.broken.is_some());
        Arch::new().dispatch(Units { fused: self, world, group: &group });
        group.iter().for_each(|id| self.note_column(table.units(), *id));
    }
}

fn formats(axes: Axes, table: &Table) -> usize {
    if axes.contains(Axes::FORMAT) { table.formats() } else { 1 }
}

fn column_start(read: &Instruction, format: usize, units: usize) -> usize {
    if read.axes.contains(Axes::FORMAT) { format * units } else { 0 }
}

/// The axes within a unit that a reduction goes over: those of its operand but format.
fn domain(program: &Program, reduction: usize) -> Axes {
    let operand = program.instructions.get(reduction).map_or(0, |value| value.args[0] as usize);
    program.instructions.get(operand).map_or(Axes::NONE, |value| value.axes.intersection(Axes::WEIGHT))
}

/// Whether the samples that a reduction reads wait for no column at or after `first`.
fn is_ready(program: &Program, reduction: usize, first: usize) -> bool {
    let mut waiting = vec![reduction];
    let mut seen = vec![false; program.instructions.len()];
    while let Some(id) = waiting.pop() {
        let Some(value) = program.instructions.get(id) else { continue };
        for operand in value.operands() {
            let operand = *operand as usize;
            let column = program.instructions.get(operand).is_some_and(|read| read.axes.is_column());
            let leaf = program.instructions.get(operand).is_some_and(|read| read.op.class() == Class::Leaf);
            if column && operand >= first && !leaf {
                return false;
            }
            if !column && seen.get(operand) == Some(&false) {
                if let Some(seen) = seen.get_mut(operand) {
                    *seen = true;
                }
                waiting.push(operand);
            }
        }
    }
    true
}

/// The units of a group of reductions, on the widest vectors of the machine.
struct Units<'a> {
    fused: &'a mut Fused,
    world: World<'a>,
    group: &'a [usize],
}

impl WithSimd for Units<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.run(simd);
    }
}

impl Units<'_> {
    /// Not compiled for the vectors of `simd`, so that no loop that is can be drawn into it, where the compiler would do
    /// worse by it.
    #[inline(never)]
    fn run<S: Simd>(self, simd: S) {
        let Units { fused: Fused { columns, blocks, broken, .. }, world, group } = self;
        let World { program, table, domain } = world;
        let units = table.units();
        for unit in 0..units {
            blocks.unit(simd, world, unit, columns, broken.as_mut());
            let elements: usize = table.shape(domain, unit).iter().product();
            for id in group {
                let Some(value) = program.instructions.get(*id) else { continue };
                let scale = table.scale(value.reduce, unit);
                let totals = columns.get_mut(*id).into_iter().flatten().skip(unit).step_by(units);
                totals.for_each(|total| *total = kernels::finish(value.op, *total, elements as f64, scale));
            }
        }
    }
}
