//! The values of a graph over one table, computed in order into columns that are used again.
//!
//! A column is [L], or format-major [F][L], each row padded to a whole number of vectors, so that no loop has a rest;
//! what stands in the pads is of no matter. The whole graph is computed within one choice of the machine's vectors.
//! A value with a NaN whose numbers no score needs is not gone on with: every score that it leads to has a NaN.

use pulp::{Arch, Simd, WithSimd};

use super::graph::{Graph, ITSELF, NONE, Use, keeps_nan, makes_nan};
use crate::dsl::kernels::{self, Operand};
use crate::dsl::{Axes, Class, Instruction, Op, Table};

/// Numbers in the widest vector of any machine.
const LANES: usize = 8;
/// In place of a register: the value has a NaN, and no score needs its numbers.
const SPOILT: u32 = u32::MAX - 1;

/// Registers: the inputs of one table, and columns that nodes are computed into, each free again after its last use.
pub struct Columns<'a> {
    table: &'a Table,
    units: usize,
    /// Units and their pad.
    stride: usize,
    formats: usize,
    /// How many registers are inputs, each in that of its id; empty where the table holds no such column.
    inputs: u32,
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
        let ids = (0..=u16::MAX).take_while(|id| usize::from(*id) < table.inputs());
        let registers: Vec<Vec<f64>> = ids.map(padded).collect();
        Columns {
            table,
            units,
            stride,
            formats: table.formats(),
            inputs: registers.len() as u32,
            registers,
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
        self.free.extend((self.inputs..self.registers.len() as u32).rev());
        self.held.clear();
        self.held.resize(graph.values().len(), NONE);
        Arch::new().dispatch(Run { columns: self, graph, score });
    }

    /// Not compiled for the vectors of `simd`, so that the loops that are stay apart.
    #[inline(never)]
    fn run_here<S: Simd>(&mut self, simd: S, graph: &Graph, mut score: impl FnMut(u32, Scores)) {
        for (place, (instruction, used)) in graph.values().iter().zip(graph.uses()).enumerate() {
            if !used.live {
                continue;
            }
            let register = match instruction.op {
                Op::Input if instruction.args[0] < self.inputs => instruction.args[0],
                Op::Input => NONE,
                _ => self.compute(simd, instruction, *used),
            };
            if let Some(held) = self.held.get_mut(place) {
                *held = register;
            }
            if used.owner != NONE {
                let column = self.registers.get(register as usize).map_or(&[][..], |column| column);
                score(used.owner, Scores { column, units: self.units, stride: self.stride });
            }
            if used.ends != 0 {
                for (at, operand) in instruction.operands().iter().enumerate() {
                    if used.ends >> at & 1 == 1 {
                        self.release(self.register(*operand));
                    }
                }
                if used.ends >> ITSELF == 1 {
                    self.release(register);
                }
            }
        }
    }

    /// The register of a node.
    #[inline(always)]
    fn register(&self, node: u32) -> u32 {
        self.held.get(node as usize).copied().unwrap_or(NONE)
    }

    /// Frees the register of a node that nothing reads any more.
    #[inline(always)]
    fn release(&mut self, register: u32) {
        if register < SPOILT && register >= self.inputs {
            self.free.push(register);
        }
    }

    /// Computes a node into a register, or finds that it is spoilt.
    #[inline(always)]
    fn compute<S: Simd>(&mut self, simd: S, instruction: &Instruction, used: Use) -> u32 {
        let operands = instruction.args.map(|node| self.register(node));
        let spoilt = operands.iter().take(instruction.op.operands()).any(|register| *register == SPOILT);
        if spoilt && !used.exact && keeps_nan(instruction.op) {
            return SPOILT;
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
            Class::Elementwise => self.elementwise(simd, instruction.op, operands, &mut out),
            Class::Network => self.network(simd, instruction.op, operands[0], &mut out),
            Class::Reduction => self.reduction(instruction, operands[0], &mut out),
        }
        let spoilt = !used.exact && makes_nan(instruction.op) && self.has_nan(&out);
        if let Some(slot) = self.registers.get_mut(register as usize) {
            *slot = out;
        }
        if spoilt {
            self.free.push(register);
            return SPOILT;
        }
        register
    }

    /// Whether some unit's number is a NaN.
    #[inline(always)]
    fn has_nan(&self, column: &[f64]) -> bool {
        let row_has = |row: &[f64]| row.iter().take(self.units).fold(false, |nan, v| nan | v.is_nan());
        if column.len() == self.stride {
            return row_has(column);
        }
        column.chunks_exact(self.stride).any(row_has)
    }

    #[inline(always)]
    fn column(&self, register: u32) -> &[f64] {
        self.registers.get(register as usize).map_or(&[], |column| column)
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
    fn elementwise<S: Simd>(&self, simd: S, op: Op, registers: [u32; 3], out: &mut [f64]) {
        let operands = registers.map(|register| self.column(register));
        // Where some operand lacks the formats that another has, each format goes by itself.
        let used = operands.iter().take(op.operands());
        let fits = self.formats == 1 || used.fold(true, |fits, operand| fits & (operand.len() == out.len()));
        if fits {
            return kernels::elementwise_by(simd, op, operands.map(Operand::Slice), out);
        }
        for (format, out) in out.chunks_exact_mut(self.stride.max(1)).enumerate() {
            let operands = operands.map(|operand| Operand::Slice(self.of_format(operand, format)));
            kernels::elementwise_by(simd, op, operands, out);
        }
    }

    #[inline(always)]
    fn network<S: Simd>(&mut self, simd: S, op: Op, register: u32, out: &mut [f64]) {
        let mut order = std::mem::take(&mut self.order);
        let operand = self.column(register);
        for (format, out) in out.chunks_exact_mut(self.stride.max(1)).enumerate() {
            kernels::network_by(simd, op, self.of_format(operand, format), out, self.units, &mut order);
        }
        self.order = order;
    }

    /// A reduction of formats, unit by unit: columns have no other axis.
    #[inline(never)]
    fn reduction(&mut self, instruction: &Instruction, register: u32, out: &mut [f64]) {
        let (mut row, mut sorted) = (std::mem::take(&mut self.row), std::mem::take(&mut self.sorted));
        let column = self.column(register);
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
    fn with_simd<S: Simd>(self, simd: S) {
        self.columns.run_here(simd, self.graph, self.score);
    }
}
