//! The values of a graph over one table, computed in order into columns that are used again.

use super::graph::{Graph, NONE, Node};
use crate::dsl::kernels::{self, Operand};
use crate::dsl::{Axes, Class, Instruction, Op, Table};

/// Registers: columns that nodes are computed into, each free again after its node's last use.
#[derive(Default)]
pub struct Columns {
    registers: Vec<Vec<f64>>,
    free: Vec<u32>,
    /// The register of each node, or `NONE`.
    held: Vec<u32>,
    order: Vec<(f64, u32)>,
    row: Vec<f64>,
    sorted: Vec<f64>,
}

impl Columns {
    /// Computes every node of the graph; `score` gets the values of those that are scores, with their owners.
    ///
    /// Columns are [L], or format-major [F][L] where the node has formats.
    pub fn run(&mut self, graph: &Graph, table: &Table, mut score: impl FnMut(u32, &[f64])) {
        self.free.clear();
        self.free.extend((0..self.registers.len() as u32).rev());
        self.held.clear();
        self.held.resize(graph.nodes().len(), NONE);
        let (units, formats) = (table.units(), table.formats());
        let mut whole = Vec::new();
        for (place, node) in graph.nodes().iter().enumerate() {
            let instruction = node.instruction;
            if instruction.op.class() != Class::Leaf {
                self.compute(graph, table, place, instruction);
            }
            if node.owner != NONE {
                let column = match self.operand(graph, table, place as u32) {
                    Operand::Slice(column) => column,
                    Operand::Splat(number) => {
                        whole.clear();
                        whole.resize(units * formats, number);
                        &whole
                    }
                };
                score(node.owner, column);
            }
            for operand in instruction.operands() {
                self.release(graph, *operand, place as u32);
            }
            self.release(graph, place as u32, place as u32);
        }
    }

    /// Frees the register of a node whose last use was at `place`.
    #[inline(always)]
    fn release(&mut self, graph: &Graph, node: u32, place: u32) {
        let is_last = graph.nodes().get(node as usize).is_some_and(|node| node.last_use == place);
        if let Some(register) =
            self.held.get_mut(node as usize).filter(|register| is_last && **register != NONE)
        {
            self.free.push(*register);
            *register = NONE;
        }
    }

    #[inline(always)]
    fn compute(&mut self, graph: &Graph, table: &Table, place: usize, instruction: Instruction) {
        let register = self.free.pop().unwrap_or_else(|| {
            self.registers.push(Vec::new());
            self.registers.len() as u32 - 1
        });
        let mut out = self.registers.get_mut(register as usize).map(std::mem::take).unwrap_or_default();
        let length = length_of(instruction.axes, table);
        if out.len() != length {
            out.clear();
            out.resize(length, 0.0);
        }
        match instruction.op.class() {
            Class::Leaf => {}
            Class::Elementwise => self.elementwise(graph, table, instruction, &mut out),
            Class::Network => self.network(graph, table, instruction, &mut out),
            Class::Reduction => self.reduction(graph, table, instruction, &mut out),
        }
        if let Some(slot) = self.registers.get_mut(register as usize) {
            *slot = out;
        }
        if let Some(slot) = self.held.get_mut(place) {
            *slot = register;
        }
    }

    /// The values of a node that was computed, or that the table holds.
    #[inline(always)]
    fn operand<'a>(&'a self, graph: &Graph, table: &'a Table, node: u32) -> Operand<'a> {
        let Some(Node { instruction, .. }) = graph.nodes().get(node as usize) else {
            return Operand::Splat(f64::NAN);
        };
        match instruction.op {
            Op::Const => Operand::Splat(instruction.number),
            Op::Input => {
                table.column(instruction.args[0] as u16).map_or(Operand::Splat(f64::NAN), Operand::Slice)
            }
            _ => {
                let register = self.held.get(node as usize).and_then(|at| self.registers.get(*at as usize));
                register.map_or(Operand::Splat(f64::NAN), |column| Operand::Slice(column))
            }
        }
    }

    #[inline(always)]
    fn elementwise(&self, graph: &Graph, table: &Table, instruction: Instruction, out: &mut [f64]) {
        let [a, b, c] = instruction.args;
        let count = instruction.op.operands();
        let a = self.operand(graph, table, a);
        let b = if count > 1 { self.operand(graph, table, b) } else { Operand::Splat(0.0) };
        let c = if count > 2 { self.operand(graph, table, c) } else { Operand::Splat(0.0) };
        let fits =
            |operand: &Operand| !matches!(operand, Operand::Slice(column) if column.len() != out.len());
        if fits(&a) && fits(&b) && fits(&c) {
            return apply(instruction.op, count, [a, b, c], out);
        }
        // Some operand lacks the formats that another has.
        for (format, out) in out.chunks_exact_mut(table.units()).enumerate() {
            apply(
                instruction.op,
                count,
                [a, b, c].map(|operand| of_format(operand, format, table.units())),
                out,
            );
        }
    }

    fn network(&mut self, graph: &Graph, table: &Table, instruction: Instruction, out: &mut [f64]) {
        let mut order = std::mem::take(&mut self.order);
        let units = table.units();
        let number;
        let column = match self.operand(graph, table, instruction.args[0]) {
            Operand::Slice(column) => column,
            Operand::Splat(value) => {
                number = vec![value; out.len()];
                &number
            }
        };
        for (column, out) in column.chunks_exact(units).zip(out.chunks_exact_mut(units)) {
            kernels::network(instruction.op, column, out, &mut order);
        }
        self.order = order;
    }

    /// A reduction of formats, unit by unit: columns have no other axis.
    fn reduction(&mut self, graph: &Graph, table: &Table, instruction: Instruction, out: &mut [f64]) {
        let (mut row, mut sorted) = (std::mem::take(&mut self.row), std::mem::take(&mut self.sorted));
        if let Operand::Slice(column) = self.operand(graph, table, instruction.args[0]) {
            for (unit, out) in out.iter_mut().enumerate() {
                row.clear();
                row.extend(column.iter().skip(unit).step_by(table.units()));
                let scale = table.scale(instruction.reduce, unit);
                *out = kernels::reduce(instruction.op, &row, scale, instruction.number, &mut sorted);
            }
        } else {
            out.fill(f64::NAN);
        }
        (self.row, self.sorted) = (row, sorted);
    }
}

fn length_of(axes: Axes, table: &Table) -> usize {
    table.units() * if axes.contains(Axes::FORMAT) { table.formats() } else { 1 }
}

/// The part of one format; a column without formats is the same in all.
#[inline(always)]
fn of_format(operand: Operand, format: usize, units: usize) -> Operand {
    match operand {
        Operand::Slice(column) if column.len() > units => {
            Operand::Slice(column.get(format * units..(format + 1) * units).unwrap_or_default())
        }
        operand => operand,
    }
}

#[inline(always)]
fn apply(op: Op, count: usize, [a, b, c]: [Operand; 3], out: &mut [f64]) {
    match (count, a) {
        (1, Operand::Slice(column)) => kernels::unary(op, column, out),
        (1, Operand::Splat(number)) => out.fill(kernels::scalar(op, [number, 0.0, 0.0])),
        (2, _) => kernels::binary(op, a, b, out),
        _ => kernels::ternary(op, a, b, c, out),
    }
}
