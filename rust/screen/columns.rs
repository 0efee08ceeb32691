//! The values of a graph over one table, computed in order into columns that are used again.
//!
//! A column is [L], or format-major [F][L], each row padded to a whole number of vectors, so that no loop has a rest;
//! what stands in the pads is of no matter. The whole graph is computed within one choice of the machine's vectors.

use pulp::{Arch, Simd, WithSimd};

use super::graph::{Graph, NONE, Node};
use crate::dsl::kernels::{self, Operand};
use crate::dsl::{Axes, Class, Instruction, Op, Table};

/// Numbers in the widest vector of any machine.
const LANES: usize = 8;

/// Registers: columns that nodes are computed into, each free again after its node's last use.
#[derive(Default)]
pub struct Columns {
    units: usize,
    /// Units and their pad.
    stride: usize,
    formats: usize,
    registers: Vec<Vec<f64>>,
    free: Vec<u32>,
    /// The register of each node, or `NONE`.
    held: Vec<u32>,
    order: Vec<(f64, u32)>,
    row: Vec<f64>,
    sorted: Vec<f64>,
}

/// The scores of one program as they lie in a column.
pub struct Scores<'a> {
    column: &'a [f64],
    units: usize,
    stride: usize,
}

impl Scores<'_> {
    /// The scores of all units, format after format.
    #[inline(always)]
    pub fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.column.chunks_exact(self.stride).filter_map(|row| row.get(..self.units))
    }
}

impl Columns {
    /// Computes the nodes that some score needs; `score` gets the values of those that are scores, with their owners.
    pub fn run(&mut self, graph: &Graph, table: &Table, score: impl FnMut(u32, Scores)) {
        self.units = table.units();
        self.stride = table.units().next_multiple_of(LANES);
        self.formats = table.formats();
        self.free.clear();
        self.free.extend((0..self.registers.len() as u32).rev());
        self.held.clear();
        self.held.resize(graph.nodes().len(), NONE);
        Arch::new().dispatch(Run { columns: self, graph, table, score });
    }

    #[inline(always)]
    fn run_here(&mut self, graph: &Graph, table: &Table, mut score: impl FnMut(u32, Scores)) {
        for (place, node) in graph.nodes().iter().enumerate() {
            let instruction = node.instruction;
            if !node.live {
                continue;
            }
            if instruction.op != Op::Const {
                self.compute(graph, table, place, instruction);
            }
            if node.owner != NONE
                && let Operand::Slice(column) = self.operand(graph, place as u32)
            {
                score(node.owner, Scores { column, units: self.units, stride: self.stride });
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
        let length = self.stride * if instruction.axes.contains(Axes::FORMAT) { self.formats } else { 1 };
        if out.len() != length {
            out.resize(length, 0.0);
        }
        match instruction.op.class() {
            Class::Leaf => self.input(table, instruction.args[0] as u16, &mut out),
            Class::Elementwise => self.elementwise(graph, instruction, &mut out),
            Class::Network => self.network(graph, instruction, &mut out),
            Class::Reduction => self.reduction(graph, table, instruction, &mut out),
        }
        if let Some(slot) = self.registers.get_mut(register as usize) {
            *slot = out;
        }
        if let Some(slot) = self.held.get_mut(place) {
            *slot = register;
        }
    }

    /// The values of a node that was computed.
    #[inline(always)]
    fn operand(&self, graph: &Graph, node: u32) -> Operand<'_> {
        match graph.nodes().get(node as usize) {
            Some(Node { instruction, .. }) if instruction.op == Op::Const => {
                Operand::Splat(instruction.number)
            }
            _ => {
                let register = self.held.get(node as usize).and_then(|at| self.registers.get(*at as usize));
                register.map_or(Operand::Splat(f64::NAN), |column| Operand::Slice(column))
            }
        }
    }

    /// The part of one format; a column without formats is the same in all.
    #[inline(always)]
    fn of_format<'a>(&self, operand: Operand<'a>, format: usize) -> Operand<'a> {
        match operand {
            Operand::Slice(column) if column.len() > self.stride => {
                let row = column.get(format * self.stride..(format + 1) * self.stride);
                Operand::Slice(row.unwrap_or_default())
            }
            operand => operand,
        }
    }

    fn input(&self, table: &Table, id: u16, out: &mut [f64]) {
        let Some(column) = table.column(id) else { return out.fill(f64::NAN) };
        for (row, out) in column.chunks_exact(self.units).zip(out.chunks_exact_mut(self.stride)) {
            out.iter_mut().zip(row).for_each(|(to, from)| *to = *from);
        }
    }

    #[inline(always)]
    fn elementwise(&self, graph: &Graph, instruction: Instruction, out: &mut [f64]) {
        let count = instruction.op.operands();
        let mut operands = [Operand::Splat(0.0); 3];
        let mut fits = true;
        for (operand, id) in operands.iter_mut().zip(instruction.args).take(count) {
            *operand = self.operand(graph, id);
            fits &= !matches!(operand, Operand::Slice(column) if column.len() != out.len());
        }
        // Where some operand lacks the formats that another has, each format goes by itself.
        let rows = if fits { out.len() } else { self.stride };
        for (format, out) in out.chunks_exact_mut(rows).enumerate() {
            let operands =
                if fits { operands } else { operands.map(|operand| self.of_format(operand, format)) };
            kernels::elementwise_here(instruction.op, operands, out);
        }
    }

    #[inline(always)]
    fn network(&mut self, graph: &Graph, instruction: Instruction, out: &mut [f64]) {
        let (mut order, mut row) = (std::mem::take(&mut self.order), std::mem::take(&mut self.row));
        let operand = self.operand(graph, instruction.args[0]);
        for (format, out) in out.chunks_exact_mut(self.stride).enumerate() {
            let column = match self.of_format(operand, format) {
                Operand::Slice(column) => column,
                Operand::Splat(value) => {
                    row.clear();
                    row.resize(self.units, value);
                    &row
                }
            };
            if let (Some(column), Some(out)) = (column.get(..self.units), out.get_mut(..self.units)) {
                kernels::network_here(instruction.op, column, out, &mut order);
            }
        }
        (self.order, self.row) = (order, row);
    }

    /// A reduction of formats, unit by unit: columns have no other axis.
    fn reduction(&mut self, graph: &Graph, table: &Table, instruction: Instruction, out: &mut [f64]) {
        let (mut row, mut sorted) = (std::mem::take(&mut self.row), std::mem::take(&mut self.sorted));
        if let Operand::Slice(column) = self.operand(graph, instruction.args[0]) {
            for (unit, out) in out.iter_mut().enumerate().take(self.units) {
                row.clear();
                row.extend(column.iter().skip(unit).step_by(self.stride));
                let scale = table.scale(instruction.reduce, unit);
                *out = kernels::reduce(instruction.op, &row, scale, instruction.number, &mut sorted);
            }
        } else {
            out.fill(f64::NAN);
        }
        (self.row, self.sorted) = (row, sorted);
    }
}

struct Run<'a, F> {
    columns: &'a mut Columns,
    graph: &'a Graph,
    table: &'a Table,
    score: F,
}

impl<F: FnMut(u32, Scores)> WithSimd for Run<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.columns.run_here(self.graph, self.table, self.score);
    }
}
