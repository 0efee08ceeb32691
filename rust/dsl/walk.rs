//! Every value of a program in full: the plain way to run it, and the one that can tell where a score broke.

use crate::dsl::axes::Axes;
use crate::dsl::kernels::{self, Operand};
use crate::dsl::ops::{Class, Op};
use crate::dsl::program::{Instruction, Program};
use crate::dsl::table::{Data, Table};

/// All elements of one value.
#[derive(Clone, Debug)]
pub enum Value {
    /// The same everywhere.
    Number(f64),
    /// [L] or format-major [F][L].
    Column(Vec<f64>),
    /// For each unit its elements in the order format, out, in, pos.
    Sample(Vec<Vec<f64>>),
}

/// All values of a program, by instruction; inputs that the table lacks are NaN.
pub fn walk(program: &Program, table: &Table) -> Vec<Value> {
    let mut values: Vec<Value> = Vec::with_capacity(program.instructions.len());
    for instruction in &program.instructions {
        let value = match instruction.op.class() {
            Class::Leaf => leaf(instruction, table),
            Class::Network => across(instruction, table, &values),
            Class::Reduction => reduction(instruction, program, table, &values),
            Class::Elementwise if instruction.axes.is_column() => columns(instruction, table, &values),
            Class::Elementwise => Value::Sample(
                (0..table.units()).map(|unit| within(instruction, program, table, &values, unit)).collect(),
            ),
        };
        values.push(value);
    }
    values
}

fn leaf(instruction: &Instruction, table: &Table) -> Value {
    if instruction.op == Op::Const {
        return Value::Number(instruction.number);
    }
    let id = instruction.args[0] as u16;
    match table.data(id) {
        Some(Data::Column(values)) => Value::Column(values.clone()),
        Some(Data::Sample { .. }) => {
            let of_unit =
                |unit| table.sample(id, unit).unwrap_or_default().iter().map(|v| f64::from(*v)).collect();
            Value::Sample((0..table.units()).map(of_unit).collect())
        }
        None => Value::Number(f64::NAN),
    }
}

/// The values of one format of a column; a column without formats is the same in all.
fn of_format<'a>(value: Option<&'a Value>, format: usize, units: usize) -> Operand<'a> {
    match value {
        Some(Value::Number(number)) => Operand::Splat(*number),
        Some(Value::Column(values)) => {
            let start = if values.len() > units { format * units } else { 0 };
            Operand::Slice(values.get(start..start + units).unwrap_or_default())
        }
        _ => Operand::Splat(f64::NAN),
    }
}

/// The values of one unit of anything, in the order format, out, in, pos.
pub(super) fn of_unit(value: &Value, unit: usize, units: usize) -> Vec<f64> {
    match value {
        Value::Number(number) => vec![*number],
        Value::Column(values) => values.iter().skip(unit).step_by(units).copied().collect(),
        Value::Sample(values) => values.get(unit).cloned().unwrap_or_default(),
    }
}

fn formats_of(axes: Axes, table: &Table) -> usize {
    if axes.contains(Axes::FORMAT) { table.formats() } else { 1 }
}

fn operand<'a>(values: &'a [Value], instruction: &Instruction, place: usize) -> Option<&'a Value> {
    values.get(*instruction.operands().get(place)? as usize)
}

fn columns(instruction: &Instruction, table: &Table, values: &[Value]) -> Value {
    let units = table.units();
    let mut column = vec![0.0; units * formats_of(instruction.axes, table)];
    for (format, out) in column.chunks_mut(units).enumerate() {
        let [a, b, c] = [0, 1, 2].map(|place| of_format(operand(values, instruction, place), format, units));
        elementwise(instruction.op, a, b, c, out);
    }
    Value::Column(column)
}

/// Any elementwise operator on operands of the output's length.
pub(super) fn elementwise(op: Op, a: Operand, b: Operand, c: Operand, out: &mut [f64]) {
    kernels::elementwise(op, [a, b, c], out);
}

fn across(instruction: &Instruction, table: &Table, values: &[Value]) -> Value {
    let units = table.units();
    let mut column = vec![0.0; units * formats_of(instruction.axes, table)];
    for (format, out) in column.chunks_mut(units).enumerate() {
        match of_format(operand(values, instruction, 0), format, units) {
            Operand::Slice(x) => kernels::network(instruction.op, x, out, &mut Vec::new()),
            Operand::Splat(x) => kernels::network(instruction.op, &vec![x; units], out, &mut Vec::new()),
        }
    }
    Value::Column(column)
}

/// One unit of an elementwise operator on samples.
fn within(
    instruction: &Instruction,
    program: &Program,
    table: &Table,
    values: &[Value],
    unit: usize,
) -> Vec<f64> {
    let shape = table.shape(instruction.axes, unit);
    let spread = |place: usize| {
        let id = instruction.operands().get(place).copied().unwrap_or(0) as usize;
        let axes = program.instructions.get(id).map_or(Axes::NONE, |operand| operand.axes);
        let own = values.get(id).map_or(Vec::new(), |value| of_unit(value, unit, table.units()));
        broadcast(&own, table.shape(axes, unit), shape)
    };
    let (a, b, c) = (spread(0), spread(1), spread(2));
    let mut out = vec![0.0; shape.iter().product()];
    elementwise(instruction.op, Operand::Slice(&a), Operand::Slice(&b), Operand::Slice(&c), &mut out);
    out
}

/// Repeat `values` of shape `from` along the axes where `from` has 1 and `to` has more.
pub(super) fn broadcast(values: &[f64], from: [usize; 4], to: [usize; 4]) -> Vec<f64> {
    if from == to {
        return values.to_vec();
    }
    places(from, to).map(|place| values.get(place).copied().unwrap_or(f64::NAN)).collect()
}

/// For each element of shape `to`, in order, the place of its value in shape `from`.
fn places(from: [usize; 4], to: [usize; 4]) -> impl Iterator<Item = usize> {
    let [_, o, i, p] = from;
    let strides = [o * i * p, i * p, p, 1];
    let step = move |axis: usize, index: usize| if from[axis] == 1 { 0 } else { index * strides[axis] };
    (0..to[0]).flat_map(move |f| {
        (0..to[1]).flat_map(move |o| {
            (0..to[2])
                .flat_map(move |i| (0..to[3]).map(move |p| step(0, f) + step(1, o) + step(2, i) + step(3, p)))
        })
    })
}

fn reduction(instruction: &Instruction, program: &Program, table: &Table, values: &[Value]) -> Value {
    let id = instruction.args[0] as usize;
    let axes = program.instructions.get(id).map_or(Axes::NONE, |operand| operand.axes);
    let units = table.units();
    let reduced: Vec<Vec<f64>> = (0..units)
        .map(|unit| {
            let own = values.get(id).map_or(Vec::new(), |value| of_unit(value, unit, units));
            reduce_unit(instruction, &own, axes, table, unit)
        })
        .collect();
    if !instruction.axes.is_column() {
        return Value::Sample(reduced);
    }
    let formats = formats_of(instruction.axes, table);
    let at = |format: usize, unit: usize| reduced.get(unit).and_then(|own| own.get(format)).copied();
    Value::Column(
        (0..formats * units).map(|place| at(place / units, place % units).unwrap_or(f64::NAN)).collect(),
    )
}

/// One unit of a reduction: groups of elements that fall on the same place of the result.
fn reduce_unit(instruction: &Instruction, own: &[f64], axes: Axes, table: &Table, unit: usize) -> Vec<f64> {
    let (from, to) = (table.shape(axes, unit), table.shape(instruction.axes, unit));
    let scale = table.scale(instruction.reduce, unit);
    let mut groups: Vec<Vec<f64>> = vec![Vec::new(); to.iter().product()];
    for (value, place) in own.iter().zip(places(to, from)) {
        if let Some(group) = groups.get_mut(place) {
            group.push(*value);
        }
    }
    let mut sorted = Vec::new();
    groups
        .iter()
        .map(|group| kernels::reduce(instruction.op, group, scale, instruction.number, &mut sorted))
        .collect()
}
