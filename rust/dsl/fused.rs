//! A program run without holding whole tensors: samples go through all operators a block at a time.
//!
//! Columns are computed for all units at once. Where a reduction needs samples, it and all others ready over the same axes
//! read each block once; values without formats are computed once for all formats. Blocks are those of the fixed order
//! of sums, so the results have the same bits as `walk`. Programs with other reductions are left to it.

use pulp::{Arch, Simd, WithSimd};

use crate::dsl::axes::Axes;
use crate::dsl::broken::Broken;
use crate::dsl::kernels::{self, BLOCK, Operand};
use crate::dsl::ops::{Class, Op};
use crate::dsl::program::{Instruction, Program};
use crate::dsl::table::Table;

/// Memory of runs.
#[derive(Debug, Default)]
pub struct Fused {
    /// Values of columns by instruction, format-major.
    columns: Vec<Vec<f64>>,
    /// Values of the block at hand by instruction.
    blocks: Vec<Vec<f64>>,
    done: Vec<bool>,
    needed: Vec<bool>,
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
            _ => BLOCK as u64 * 8,
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
        self.blocks.resize_with(self.blocks.len().max(count), Vec::new);
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
        self.needed.clear();
        self.needed.resize(program.instructions.len(), false);
        let mut group = Vec::new();
        for id in first..program.instructions.len() {
            let Some(value) = program.instructions.get(id) else { continue };
            let reduces = value.op.class() == Class::Reduction && self.done.get(id) == Some(&false);
            if reduces && self::domain(program, id) == domain && self.mark(program, id, first) {
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
        Arch::new().dispatch(Units { fused: self, program, table, domain, group: &group });
        group.iter().for_each(|id| self.note_column(table.units(), *id));
    }

    /// Mark the samples that a reduction reads; false when it waits for a column at or after `first`.
    fn mark(&mut self, program: &Program, reduction: usize, first: usize) -> bool {
        let mut waiting = vec![reduction];
        let mut found = Vec::new();
        let mut seen = vec![false; program.instructions.len()];
        while let Some(id) = waiting.pop() {
            let Some(value) = program.instructions.get(id) else { continue };
            for operand in value.operands() {
                let operand = *operand as usize;
                let column = program.instructions.get(operand).is_some_and(|read| read.axes.is_column());
                let leaf =
                    program.instructions.get(operand).is_some_and(|read| read.op.class() == Class::Leaf);
                if column && operand >= first && !leaf {
                    return false;
                }
                if !column && seen.get(operand) == Some(&false) {
                    if let Some(seen) = seen.get_mut(operand) {
                        *seen = true;
                    }
                    found.push(operand);
                    waiting.push(operand);
                }
            }
        }
        for id in found {
            if let Some(needed) = self.needed.get_mut(id) {
                *needed = true;
            }
        }
        true
    }

    /// All blocks of one unit, added to the columns of the group.
    #[inline(always)]
    fn unit(&mut self, program: &Program, table: &Table, domain: Axes, group: &[usize], unit: usize) {
        let elements: usize = table.shape(domain, unit).iter().product();
        for start in (0..elements).step_by(BLOCK) {
            let length = BLOCK.min(elements - start);
            self.block(program, table, domain, unit, start, length, None);
            self.accumulate(program, table, group, unit, None);
            for format in 0..table.formats() {
                self.block(program, table, domain, unit, start, length, Some(format));
                self.accumulate(program, table, group, unit, Some(format));
            }
        }
        let units = table.units();
        for id in group {
            let Some(value) = program.instructions.get(*id) else { continue };
            let scale = table.scale(value.reduce, unit);
            if let Some(column) = self.columns.get_mut(*id) {
                for total in column.iter_mut().skip(unit).step_by(units) {
                    *total = kernels::finish(value.op, *total, elements as f64, scale);
                }
            }
        }
    }

    #[inline(always)]
    fn accumulate(
        &mut self,
        program: &Program,
        table: &Table,
        group: &[usize],
        unit: usize,
        format: Option<usize>,
    ) {
        for id in group {
            let Some(value) = program.instructions.get(*id) else { continue };
            if value.axes.contains(Axes::FORMAT) != format.is_some() {
                continue;
            }
            let block = self.blocks.get(value.args[0] as usize).map_or(&[][..], Vec::as_slice);
            let place = format.unwrap_or(0) * table.units() + unit;
            if let Some(total) = self.columns.get_mut(*id).and_then(|column| column.get_mut(place)) {
                *total = kernels::accumulate_here(value.op, *total, block);
            }
        }
    }

    /// The needed samples of one block: those without formats when `format` is none, else those with.
    #[allow(clippy::too_many_arguments)]
    #[inline(always)]
    fn block(
        &mut self,
        program: &Program,
        table: &Table,
        domain: Axes,
        unit: usize,
        start: usize,
        length: usize,
        format: Option<usize>,
    ) {
        for (id, value) in program.instructions.iter().enumerate() {
            let wanted =
                self.needed.get(id) == Some(&true) && value.axes.contains(Axes::FORMAT) == format.is_some();
            let Some(place) = self.blocks.get_mut(id).filter(|_| wanted) else { continue };
            let mut out = std::mem::take(place);
            out.resize(length, 0.0);
            if value.op == Op::Input {
                load(value, table, domain, unit, start, format.unwrap_or(0), &mut out);
            } else {
                let [a, b, c] = [0, 1, 2].map(|place| {
                    let id = value.operands().get(place).copied().unwrap_or(0) as usize;
                    self.operand(program, table, id, unit, format.unwrap_or(0))
                });
                kernels::elementwise_here(value.op, [a, b, c], &mut out);
            }
            if let Some(broken) = &mut self.broken {
                broken.note(id, unit, out.iter().any(|value| !value.is_finite()));
            }
            if let Some(place) = self.blocks.get_mut(id) {
                *place = out;
            }
        }
    }

    #[inline(always)]
    fn operand(
        &self,
        program: &Program,
        table: &Table,
        id: usize,
        unit: usize,
        format: usize,
    ) -> Operand<'_> {
        match program.instructions.get(id) {
            Some(read) if read.op == Op::Const => Operand::Splat(read.number),
            Some(read) if read.axes.is_column() => {
                let place = column_start(read, format, table.units()) + unit;
                Operand::Splat(self.whole(table, id, read).get(place).copied().unwrap_or(f64::NAN))
            }
            _ => Operand::Slice(self.blocks.get(id).map_or(&[], Vec::as_slice)),
        }
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

/// The units of a group of reductions, on the widest vectors of the machine.
struct Units<'a> {
    fused: &'a mut Fused,
    program: &'a Program,
    table: &'a Table,
    domain: Axes,
    group: &'a [usize],
}

impl WithSimd for Units<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for unit in 0..self.table.units() {
            self.fused.unit(self.program, self.table, self.domain, self.group, unit);
        }
    }
}

/// A block of an input; where the input lacks an axis of the domain, its values are repeated along it.
#[inline(always)]
fn load(
    value: &Instruction,
    table: &Table,
    domain: Axes,
    unit: usize,
    start: usize,
    format: usize,
    out: &mut [f64],
) {
    let all = table.sample(value.args[0] as u16, unit).unwrap_or_default();
    let own = table.shape(value.axes.intersection(Axes::WEIGHT), unit);
    let count: usize = own.iter().product();
    let formats = if value.axes.contains(Axes::FORMAT) { format } else { 0 };
    let values = all.get(formats * count..(formats + 1) * count).unwrap_or_default();
    if value.axes.intersection(Axes::WEIGHT) == domain {
        let block = values.get(start..start + out.len()).unwrap_or_default();
        out.iter_mut().zip(block).for_each(|(to, from)| *to = f64::from(*from));
        return;
    }
    let [_, _, ins, places] = table.shape(domain, unit);
    let step = |size: usize, stride: usize| if size == 1 { 0 } else { stride };
    let (by_out, by_in, by_pos) = (step(own[1], own[2] * own[3]), step(own[2], own[3]), step(own[3], 1));
    for (element, to) in (start..).zip(out) {
        let (row, pos) = (element / places, element % places);
        let from = (row / ins) * by_out + (row % ins) * by_in + pos * by_pos;
        *to = values.get(from).map_or(f64::NAN, |value| f64::from(*value));
    }
}
