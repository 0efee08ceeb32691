//! The values of a graph over one table, computed in order into columns that are used again.
//!
//! A column is [L], or format-major [F][L], each row padded to a whole number of vectors, so that no loop has a rest;
//! what stands in the pads is of no matter. The whole graph is computed within one choice of the machine's vectors.
//! A value with a NaN whose numbers no score needs is not gone on with: every score that it leads to has a NaN.

use pulp::{Arch, Simd, WithSimd};

use super::graph::{Graph, NONE, Use, keeps_nan, makes_nan};
use crate::dsl::kernels::{self, Operand};
use crate::dsl::{Axes, Class, Instruction, Op, Table};

/// Numbers in the widest vector of any machine.
const LANES: usize = 8;
/// In place of a register: the value has a NaN, and no score needs its numbers.
const SPOILT: u32 = u32::MAX - 1;

/// One table's inputs, and registers: columns that nodes are computed into, each free again after its last use.
pub struct Columns<'a> {
    table: &'a Table,
    units: usize,
    /// Units and their pad.
    stride: usize,
    formats: usize,
    /// By input id; empty for what is no column.
    inputs: Vec<Vec<f64>>,
    registers: Vec<Vec<f64>>,
    free: Vec<u32>,
    /// The register of each node, `NONE` or `SPOILT`.
    held: Vec<u32>,
    order: Vec<(f64, u32)>,
    sorted: Vec<f64>,
    row: Vec<f64>,
}

/// The scores of one program as they lie in a column.
pub struct Scores<'a> {
    column: &'a [f64],
    units: usize,
    stride: usize,
}

impl Scores<'_> {
    /// The scores of all units, format after format; nothing when they are known to hold a NaN.
    #[inline(always)]
    pub fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.column.chunks_exact(self.stride).filter_map(|row| row.get(..self.units))
    }
}

impl<'a> Columns<'a> {
    /// For programs that read columns of `table`.
    pub fn new(table: &'a Table) -> Columns<'a> {
        let (units, stride) = (table.units(), table.units().next_multiple_of(LANES));
        let padded = |id| {
            let rows = table.column(id).unwrap_or_default().chunks_exact(units.max(1));
            rows.flat_map(|row| row.iter().copied().chain((units..stride).map(|_| 0.0))).collect()
        };
        Columns {
            table,
            units,
            stride,
            formats: table.formats(),
            inputs: (0..=u16::MAX).take_while(|id| usize::from(*id) < table.inputs()).map(padded).collect(),
            registers: Vec::new(),
            free: Vec::new(),
            held: Vec::new(),
            order: Vec::new(),
            sorted: Vec::new(),
            row: Vec::new(),
        }
    }

    /// Computes the nodes that some score needs; `score` gets the values of those that are scores, with their owners.
    pub fn run(&mut self, graph: &Graph, score: impl FnMut(u32, Scores)) {
        self.free.clear();
        self.free.extend((0..self.registers.len() as u32).rev());
        self.held.clear();
        self.held.resize(graph.values().len(), NONE);
        Arch::new().dispatch(Run { columns: self, graph, score });
    }

    #[inline(always)]
    fn run_here(&mut self, graph: &Graph, mut score: impl FnMut(u32, Scores)) {
        for (place, (instruction, used)) in graph.values().iter().zip(graph.uses()).enumerate() {
            if !used.live {
                continue;
            }
            if instruction.op != Op::Input {
                self.compute(graph, place, instruction, *used);
            }
            if used.owner != NONE {
                let column = self.operand(graph, place as u32);
                score(used.owner, Scores { column, units: self.units, stride: self.stride });
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
        let is_last = graph.uses().get(node as usize).is_some_and(|used| used.last == place);
        if let Some(register) =
            self.held.get_mut(node as usize).filter(|register| is_last && **register < SPOILT)
        {
            self.free.push(*register);
            *register = NONE;
        }
    }

    #[inline(always)]
    fn compute(&mut self, graph: &Graph, place: usize, instruction: &Instruction, used: Use) {
        let spoilt = |node: &u32| self.held.get(*node as usize) == Some(&SPOILT);
        if !used.exact && keeps_nan(instruction.op) && instruction.operands().iter().any(spoilt) {
            self.hold(place, SPOILT);
            return;
        }
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
            Class::Leaf => out.fill(instruction.number),
            Class::Elementwise => self.elementwise(graph, instruction, &mut out),
            Class::Network => self.network(graph, instruction, &mut out),
            Class::Reduction => self.reduction(graph, instruction, &mut out),
        }
        let spoilt = !used.exact && makes_nan(instruction.op) && self.has_nan(&out);
        if let Some(slot) = self.registers.get_mut(register as usize) {
            *slot = out;
        }
        if spoilt {
            self.free.push(register);
        }
        self.hold(place, if spoilt { SPOILT } else { register });
    }

    #[inline(always)]
    fn hold(&mut self, place: usize, register: u32) {
        if let Some(slot) = self.held.get_mut(place) {
            *slot = register;
        }
    }

    /// Whether some unit's number is a NaN.
    #[inline(always)]
    fn has_nan(&self, column: &[f64]) -> bool {
        let row_has = |row: &[f64]| row.iter().take(self.units).fold(false, |nan, v| nan | v.is_nan());
        column.chunks_exact(self.stride).any(row_has)
    }

    /// The values of a node that was computed; empty for one that is spoilt.
    #[inline(always)]
    fn operand(&self, graph: &Graph, node: u32) -> &[f64] {
        let column = match graph.values().get(node as usize) {
            Some(instruction) if instruction.op == Op::Input => self.inputs.get(instruction.args[0] as usize),
            _ => self.held.get(node as usize).and_then(|at| self.registers.get(*at as usize)),
        };
        column.map_or(&[], |column| column)
    }

    /// The part of one format; a column without formats is the same in all.
    #[inline(always)]
    fn of_format<'b>(&self, column: &'b [f64], format: usize) -> &'b [f64] {
        if column.len() > self.stride {
            column.get(format * self.stride..(format + 1) * self.stride).unwrap_or_default()
        } else {
            column
        }
    }

    #[inline(always)]
    fn elementwise(&self, graph: &Graph, instruction: &Instruction, out: &mut [f64]) {
        let count = instruction.op.operands();
        let mut operands: [&[f64]; 3] = [&[]; 3];
        let mut fits = true;
        for (operand, id) in operands.iter_mut().zip(instruction.args).take(count) {
            *operand = self.operand(graph, id);
            fits &= operand.len() == out.len();
        }
        // Where some operand lacks the formats that another has, each format goes by itself.
        let rows = if fits { out.len() } else { self.stride };
        for (format, out) in out.chunks_exact_mut(rows.max(1)).enumerate() {
            let operands =
                if fits { operands } else { operands.map(|operand| self.of_format(operand, format)) };
            kernels::elementwise_here(instruction.op, operands.map(Operand::Slice), out);
        }
    }

    #[inline(always)]
    fn network(&mut self, graph: &Graph, instruction: &Instruction, out: &mut [f64]) {
        let mut order = std::mem::take(&mut self.order);
        let operand = self.operand(graph, instruction.args[0]);
        for (format, out) in out.chunks_exact_mut(self.stride.max(1)).enumerate() {
            let column = self.of_format(operand, format);
            if let (Some(column), Some(out)) = (column.get(..self.units), out.get_mut(..self.units)) {
                kernels::network_here(instruction.op, column, out, &mut order);
            }
        }
        self.order = order;
    }

    /// A reduction of formats, unit by unit: columns have no other axis.
    fn reduction(&mut self, graph: &Graph, instruction: &Instruction, out: &mut [f64]) {
        let (mut row, mut sorted) = (std::mem::take(&mut self.row), std::mem::take(&mut self.sorted));
        let column = self.operand(graph, instruction.args[0]);
        for (unit, out) in out.iter_mut().enumerate().take(self.units) {
            row.clear();
            row.extend(column.iter().skip(unit).step_by(self.stride));
            let scale = self.table.scale(instruction.reduce, unit);
            *out = kernels::reduce(instruction.op, &row, scale, instruction.number, &mut sorted);
        }
        (self.row, self.sorted) = (row, sorted);
    }
}

struct Run<'a, 'b, F> {
    columns: &'a mut Columns<'b>,
    graph: &'a Graph,
    score: F,
}

impl<F: FnMut(u32, Scores)> WithSimd for Run<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.columns.run_here(self.graph, self.score);
    }
}
