//! A program run value by value, each for all units: the way of programs with reductions that need all elements at once.
//!
//! A value is given up after its last use; inputs are read from the table where they are needed.

use std::borrow::Cow;

use crate::dsl::axes::Axes;
use crate::dsl::broken::Broken;
use crate::dsl::kernels::{self, Operand};
use crate::dsl::ops::{Class, Op};
use crate::dsl::program::{Instruction, Program};
use crate::dsl::table::Table;

/// All elements of one value.
#[derive(Clone, Debug)]
pub enum Value {
    /// The same everywhere.
    Number(f64),
    /// [L] or format-major [F][L].
    Column(Vec<f64>),
    /// For each unit its elements in the order format, out, in, pos.
    Sample(Vec<Vec<f64>>),
    /// An input of the table; NaN where the table lacks it.
    Input(u16),
}

/// The score [L] or format-major [F][L]; `broken` learns which values are not finite in which units.
pub fn walk(program: &Program, table: &Table, mut broken: Option<&mut Broken>) -> Vec<f64> {
    let last_use = last_uses(program);
    let mut walk = Walk { program, table, values: Vec::with_capacity(program.instructions.len()) };
    for (id, instruction) in program.instructions.iter().enumerate() {
        let value = walk.value(instruction);
        if let Some(broken) = &mut broken {
            (0..table.units()).for_each(|unit| broken.note(id, unit, !is_finite(&value, table, unit)));
        }
        walk.values.push(value);
        for operand in instruction.operands().iter().map(|operand| *operand as usize) {
            if last_use.get(operand) == Some(&id)
                && let Some(value) = walk.values.get_mut(operand)
            {
                *value = Value::Number(f64::NAN);
            }
        }
    }
    let units = table.units();
    match walk.values.pop() {
        Some(Value::Column(column)) => column,
        Some(Value::Number(number)) => vec![number; units],
        Some(Value::Input(id)) => table.column(id).map_or(vec![f64::NAN; units], <[f64]>::to_vec),
        Some(Value::Sample(_)) | None => vec![f64::NAN; units],
    }
}

/// A bound on the bytes that the values of a walk take at once, temporary ones included.
pub fn bytes(program: &Program, table: &Table) -> u64 {
    let last_use = last_uses(program);
    let size = |value: &Instruction| match value.op.class() {
        Class::Leaf => 0,
        _ if value.axes.is_column() => table.elements(value.axes).saturating_mul(8),
        _ => table.elements(value.axes).saturating_mul(8).saturating_add(table.units() as u64 * 24),
    };
    let (mut held, mut most) = (0u64, 0u64);
    for (id, instruction) in program.instructions.iter().enumerate() {
        held = held.saturating_add(size(instruction));
        most = most.max(held.saturating_add(temporary(instruction, program, table)));
        for operand in instruction.operands().iter().map(|operand| *operand as usize) {
            if let Some(value) =
                program.instructions.get(operand).filter(|_| last_use.get(operand) == Some(&id))
            {
                held = held.saturating_sub(size(value));
            }
        }
    }
    most
}

/// Bytes that one operator takes beside its operands and its result: those of one unit.
fn temporary(instruction: &Instruction, program: &Program, table: &Table) -> u64 {
    let largest = |axes| table.largest(axes).saturating_mul(8);
    let operands = instruction.operands();
    match instruction.op.class() {
        Class::Leaf => 0,
        Class::Network => table.units() as u64 * 24,
        Class::Elementwise if instruction.axes.is_column() => 0,
        Class::Elementwise => largest(instruction.axes).saturating_mul(operands.len() as u64),
        // An input as numbers of 64 bits, one group of elements, and the group in order.
        Class::Reduction => {
            let operand = operands.first().and_then(|id| program.instructions.get(*id as usize));
            let own = operand.filter(|value| value.op == Op::Input || value.axes.is_column());
            let group = largest(instruction.reduce);
            let grouped = if instruction.axes == Axes::NONE { 0 } else { group };
            let ordered = if matches!(instruction.op, Op::Median | Op::Quantile) { group } else { 0 };
            own.map_or(0, |value| largest(value.axes)).saturating_add(grouped).saturating_add(ordered)
        }
    }
}

/// For each value the last instruction that reads it, its own where none does. A value read twice is given up once.
fn last_uses(program: &Program) -> Vec<usize> {
    let mut last: Vec<usize> = (0..program.instructions.len()).collect();
    for (id, instruction) in program.instructions.iter().enumerate() {
        for operand in instruction.operands() {
            if let Some(last) = last.get_mut(*operand as usize) {
                *last = id;
            }
        }
    }
    last
}

fn is_finite(value: &Value, table: &Table, unit: usize) -> bool {
    let units = table.units();
    match value {
        Value::Number(number) => number.is_finite(),
        Value::Column(column) => column.iter().skip(unit).step_by(units).all(|v| v.is_finite()),
        Value::Sample(values) => values.get(unit).is_some_and(|own| own.iter().all(|v| v.is_finite())),
        Value::Input(id) => table.is_finite(*id, unit),
    }
}

struct Walk<'t> {
    program: &'t Program,
    table: &'t Table,
    values: Vec<Value>,
}

impl Walk<'_> {
    fn value(&self, instruction: &Instruction) -> Value {
        match (instruction.op.class(), instruction.op) {
            (Class::Leaf, Op::Const) => Value::Number(instruction.number),
            (Class::Leaf, _) => Value::Input(instruction.args[0] as u16),
            (Class::Network, _) => self.across(instruction),
            (Class::Reduction, _) => self.reduction(instruction),
            (Class::Elementwise, _) if instruction.axes.is_column() => self.columns(instruction),
            (Class::Elementwise, _) => {
                Value::Sample((0..self.table.units()).map(|unit| self.within(instruction, unit)).collect())
            }
        }
    }

    /// The operand at `place`, with its axes.
    fn operand(&self, instruction: &Instruction, place: usize) -> Option<(&Value, Axes)> {
        let id = *instruction.operands().get(place)? as usize;
        Some((self.values.get(id)?, self.program.instructions.get(id)?.axes))
    }

    fn formats(&self, axes: Axes) -> usize {
        if axes.contains(Axes::FORMAT) { self.table.formats() } else { 1 }
    }

    /// All values of a column, or the number that stands everywhere.
    fn column<'v>(&'v self, value: &'v Value) -> Operand<'v> {
        match value {
            Value::Number(number) => Operand::Splat(*number),
            Value::Column(values) => Operand::Slice(values),
            Value::Input(id) => self.table.column(*id).map_or(Operand::Splat(f64::NAN), Operand::Slice),
            Value::Sample(_) => Operand::Splat(f64::NAN),
        }
    }

    /// One format of a column; one without formats is the same in all.
    fn of_format(&self, instruction: &Instruction, place: usize, format: usize) -> Operand<'_> {
        let units = self.table.units();
        match self.operand(instruction, place).map(|(value, _)| self.column(value)) {
            Some(Operand::Slice(values)) => {
                let start = if values.len() > units { format * units } else { 0 };
                Operand::Slice(values.get(start..start + units).unwrap_or_default())
            }
            Some(Operand::Splat(number)) => Operand::Splat(number),
            None => Operand::Splat(f64::NAN),
        }
    }

    fn columns(&self, instruction: &Instruction) -> Value {
        let units = self.table.units();
        let mut column = vec![0.0; units * self.formats(instruction.axes)];
        for (format, out) in column.chunks_mut(units).enumerate() {
            let operands = [0, 1, 2].map(|place| self.of_format(instruction, place, format));
            kernels::elementwise(instruction.op, operands, out);
        }
        Value::Column(column)
    }

    fn across(&self, instruction: &Instruction) -> Value {
        let units = self.table.units();
        let mut column = vec![0.0; units * self.formats(instruction.axes)];
        let mut order = Vec::with_capacity(units);
        for (format, out) in column.chunks_mut(units).enumerate() {
            match self.of_format(instruction, 0, format) {
                Operand::Slice(x) => kernels::network(instruction.op, x, out, &mut order),
                Operand::Splat(x) => kernels::network(instruction.op, &vec![x; units], out, &mut order),
            }
        }
        Value::Column(column)
    }

    /// One unit of an elementwise operator on samples.
    fn within(&self, instruction: &Instruction, unit: usize) -> Vec<f64> {
        let shape = self.table.shape(instruction.axes, unit);
        let spread = [0, 1, 2].map(|place| self.spread(instruction, place, unit, shape));
        let [a, b, c] = spread.each_ref().map(|own| match own {
            Own::Same(number) => Operand::Splat(*number),
            Own::Each(values) => Operand::Slice(values),
        });
        let mut out = vec![0.0; shape.iter().product()];
        kernels::elementwise(instruction.op, [a, b, c], &mut out);
        out
    }

    /// The operand at `place` in one unit, repeated along the axes of `shape` that it lacks.
    fn spread(&self, instruction: &Instruction, place: usize, unit: usize, shape: [usize; 4]) -> Own<'_> {
        let Some((value, axes)) = self.operand(instruction, place) else { return Own::Same(f64::NAN) };
        if axes == Axes::NONE {
            return match self.column(value) {
                Operand::Splat(number) => Own::Same(number),
                Operand::Slice(column) => Own::Same(column.get(unit).copied().unwrap_or(f64::NAN)),
            };
        }
        let from = self.table.shape(axes, unit);
        if let (Value::Sample(values), true) = (value, from == shape) {
            return Own::Each(Cow::Borrowed(values.get(unit).map_or(&[], Vec::as_slice)));
        }
        let at = self.reader(value, unit);
        let mut strides = strides(from);
        strides.iter_mut().zip(from).filter(|(_, size)| *size == 1).for_each(|(stride, _)| *stride = 0);
        Own::Each(Cow::Owned(offsets(shape, strides).map(at).collect()))
    }

    /// Reads one element of a value in one unit by its place in the order format, out, in, pos.
    fn reader<'v>(&'v self, value: &'v Value, unit: usize) -> Box<dyn Fn(usize) -> f64 + 'v> {
        let units = self.table.units();
        match value {
            Value::Sample(values) => {
                let own = values.get(unit).map_or(&[][..], Vec::as_slice);
                Box::new(move |place| own.get(place).copied().unwrap_or(f64::NAN))
            }
            Value::Input(id) if self.table.column(*id).is_none() => {
                let own = self.table.sample(*id, unit).unwrap_or_default();
                Box::new(move |place| own.get(place).map_or(f64::NAN, |value| f64::from(*value)))
            }
            _ => match self.column(value) {
                Operand::Splat(number) => Box::new(move |_| number),
                Operand::Slice(column) => {
                    Box::new(move |place| column.get(place * units + unit).copied().unwrap_or(f64::NAN))
                }
            },
        }
    }

    fn reduction(&self, instruction: &Instruction) -> Value {
        let units = self.table.units();
        if !instruction.axes.is_column() {
            let own = |unit| {
                let mut reduced =
                    Vec::with_capacity(self.table.shape(instruction.axes, unit).iter().product());
                self.reduce_unit(instruction, unit, |value| reduced.push(value));
                reduced
            };
            return Value::Sample((0..units).map(own).collect());
        }
        let mut column = vec![f64::NAN; units * self.formats(instruction.axes)];
        for unit in 0..units {
            let mut places = column.iter_mut().skip(unit).step_by(units);
            self.reduce_unit(instruction, unit, |value| {
                if let Some(place) = places.next() {
                    *place = value;
                }
            });
        }
        Value::Column(column)
    }

    /// One unit of a reduction: group by group of elements that fall on the same place of the result.
    fn reduce_unit(&self, instruction: &Instruction, unit: usize, mut take: impl FnMut(f64)) {
        let Some((value, axes)) = self.operand(instruction, 0) else { return };
        let (from, to) = (self.table.shape(axes, unit), self.table.shape(instruction.axes, unit));
        let scale = self.table.scale(instruction.reduce, unit);
        let own: Cow<[f64]> = match value {
            Value::Sample(values) => Cow::Borrowed(values.get(unit).map_or(&[], Vec::as_slice)),
            Value::Input(id) if self.table.column(*id).is_none() => {
                let own = self.table.sample(*id, unit).unwrap_or_default();
                Cow::Owned(own.iter().map(|value| f64::from(*value)).collect())
            }
            _ => Cow::Owned((0..from.iter().product()).map(self.reader(value, unit)).collect()),
        };
        let mut sorted = Vec::new();
        if to == [1; 4] {
            return take(kernels::reduce(instruction.op, &own, scale, instruction.number, &mut sorted));
        }
        let mut inner = from;
        inner.iter_mut().zip(to).filter(|(_, kept)| *kept > 1).for_each(|(size, _)| *size = 1);
        let mut group = Vec::with_capacity(inner.iter().product());
        for start in offsets(to, strides(from)) {
            group.clear();
            group.extend(offsets(inner, strides(from)).filter_map(|place| own.get(start + place).copied()));
            take(kernels::reduce(instruction.op, &group, scale, instruction.number, &mut sorted));
        }
    }
}

/// An operand in one unit.
enum Own<'v> {
    /// The same for all elements.
    Same(f64),
    /// One for each.
    Each(Cow<'v, [f64]>),
}

/// How far apart neighbours along each axis stand in a value of this shape.
fn strides([_, out, inp, pos]: [usize; 4]) -> [usize; 4] {
    [out * inp * pos, inp * pos, pos, 1]
}

/// The places of all indices below `sizes`, the last axis fastest.
fn offsets(sizes: [usize; 4], strides: [usize; 4]) -> impl Iterator<Item = usize> {
    let [formats, outs, ins, places] = sizes;
    let [by_format, by_out, by_in, by_pos] = strides;
    (0..formats).flat_map(move |f| {
        (0..outs).flat_map(move |o| {
            (0..ins).flat_map(move |i| {
                (0..places).map(move |p| f * by_format + o * by_out + i * by_in + p * by_pos)
            })
        })
    })
}
