//! A program over a table: scores of each unit in each format, or which operator made them not finite.

use crate::dsl::axes::Axes;
use crate::dsl::broken::Broken;
use crate::dsl::error::{Error, Kind, Span};
use crate::dsl::fused::{self, Fused};
use crate::dsl::limits::Limits;
use crate::dsl::ops::Op;
use crate::dsl::program::Program;
use crate::dsl::schema::Schema;
use crate::dsl::table::Table;
use crate::dsl::walk;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All scores are finite; `Scratch::scores` holds them.
    Finite,
    /// Some score is not.
    NonFinite(NonFinite),
}

/// Where a score stopped being finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonFinite {
    /// The first unit whose score is not finite.
    pub unit: usize,
    /// The first value on the way to that score that is not finite though all it was computed from are.
    pub value: u32,
    /// Its operator; `Op::Input` when the table itself holds it.
    pub op: Op,
    /// Where it stands in the source.
    pub span: Span,
}

impl NonFinite {
    /// As an error that names unit and operator.
    pub fn error(&self, program: &Program, schema: &Schema, units: &[String]) -> Error {
        let unit = units.get(self.unit).map_or_else(|| format!("{}", self.unit), |name| format!("'{name}'"));
        let input = program.instructions.get(self.value as usize).map_or(0, |value| value.args[0] as u16);
        let (cause, hint) = match self.op {
            Op::Input => (
                format!("the input `{}` is not finite there", schema.name(input)),
                "collect the table again, or leave this input out".to_string(),
            ),
            Op::Log | Op::Log2 | Op::Log10 => {
                (self.cause(), "keep the argument above 0: log(v + eps)".into())
            }
            Op::Div | Op::Recip => (self.cause(), "keep the divisor away from 0: a / (b + eps)".into()),
            Op::Sqrt | Op::Pow => (self.cause(), "keep the base above 0: sqrt(abs(v))".into()),
            Op::Zscore | Op::Minmax => {
                (self.cause(), "the value is the same in every unit; scale something that varies".into())
            }
            _ => (self.cause(), "keep the values in range, for example by log1p or tanh".into()),
        };
        let message = format!("the score of unit {unit} is not finite: {cause}");
        Error::new(Kind::NonFinite, self.span, message).hint(hint)
    }

    fn cause(&self) -> String {
        format!("`{}` is the first to leave the finite numbers", self.op.name())
    }
}

/// Bytes for each value beside its numbers: headers of lists, flags, and lists of places.
const LIST_BYTES: u64 = 128;

/// Memory that runs use again.
#[derive(Debug, Default)]
pub struct Scratch {
    scores: Vec<f64>,
    fused: Fused,
}

impl Scratch {
    /// Scores of the last finite run, format-major [F][L]; those without formats are repeated.
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }
}

/// Run `program` over `table`. An error says that it may not run: a limit, or an input that is missing. A run whose
/// score is not finite is repeated once to find where it broke.
pub fn run(
    program: &Program,
    table: &Table,
    schema: &Schema,
    limits: &Limits,
    scratch: &mut Scratch,
) -> Result<Verdict, Error> {
    if is_finite(program, table, schema, limits, scratch)? {
        return Ok(Verdict::Finite);
    }
    let broken = if fused::fits(program) {
        scratch.fused.find_broken(program, table)
    } else {
        let mut broken = Broken::new(program, table.units());
        walk::walk(program, table, Some(&mut broken));
        broken
    };
    let (unit, value) = broken.first(program);
    let op = program.instructions.get(value).map_or(Op::Const, |instruction| instruction.op);
    let span = program.spans.get(value).copied().unwrap_or_default();
    Ok(Verdict::NonFinite(NonFinite { unit, value: value as u32, op, span }))
}

/// As `run`, without the search for what broke: whether all scores are finite.
pub fn is_finite(
    program: &Program,
    table: &Table,
    schema: &Schema,
    limits: &Limits,
    scratch: &mut Scratch,
) -> Result<bool, Error> {
    admit(program, table, schema, limits)?;
    let Scratch { scores, fused } = scratch;
    let own;
    let score = if fused::fits(program) {
        fused.run(program, table)
    } else {
        own = walk::walk(program, table, None);
        &own
    };
    let copies = if program.axes.contains(Axes::FORMAT) { 1 } else { table.formats() };
    scores.clear();
    scores.reserve_exact(score.len() * copies);
    (0..copies).for_each(|_| scores.extend_from_slice(score));
    Ok(scores.iter().all(|score| score.is_finite()))
}

/// Refuse a run whose inputs are missing, or that would pass a limit.
pub fn admit(program: &Program, table: &Table, schema: &Schema, limits: &Limits) -> Result<(), Error> {
    for id in &program.inputs {
        if table.data(*id).is_none() {
            return Err(missing(program, *id, table, schema));
        }
    }
    let work = program.work(table);
    if work > limits.work {
        let message = format!("the run needs {work} element-operations; at most {} are allowed", limits.work);
        return Err(Error::new(Kind::LimitWork, Span::default(), message)
            .hint("collect smaller samples, use fewer operators on samples, or raise the limit"));
    }
    let bytes = program.live_bytes(table);
    if bytes > limits.live_bytes {
        let message = format!("the run needs {bytes} bytes; at most {} are allowed", limits.live_bytes);
        return Err(Error::new(Kind::LimitMemory, Span::default(), message)
            .hint("collect smaller samples, or raise the limit"));
    }
    Ok(())
}

fn missing(program: &Program, id: u16, table: &Table, schema: &Schema) -> Error {
    let read = |value: &crate::dsl::Instruction| value.op == Op::Input && value.args[0] == u32::from(id);
    let place = program.instructions.iter().position(read).unwrap_or(0);
    let span = program.spans.get(place).copied().unwrap_or_default();
    let held: Vec<&str> = schema
        .names()
        .zip(0u16..)
        .filter(|(_, id)| table.data(*id).is_some())
        .map(|(name, _)| name)
        .collect();
    Error::new(Kind::MissingInput, span, format!("the table does not hold `{}`", schema.name(id)))
        .hint(format!("collect it, or use what the table holds: {}", held.join(", ")))
}

impl Program {
    /// Element-operations of one run over `table`, weighted by the cost of each operator.
    pub fn work(&self, table: &Table) -> u64 {
        let axes = (0..Axes::COUNT as u8).map(Axes::from_bits);
        self.cost.iter().zip(axes).fold(0u64, |sum, (cost, axes)| {
            sum.saturating_add(u64::from(*cost).saturating_mul(table.elements(axes)))
        })
    }

    /// A bound on the bytes that a run holds at once: its values, the scores, and what finding a broken value takes.
    pub fn live_bytes(&self, table: &Table) -> u64 {
        let values = if fused::fits(self) { fused::bytes(self, table) } else { walk::bytes(self, table) };
        values.saturating_add(beside(self.instructions.len() as u64, table))
    }
}

/// A bound on the bytes that a run of so many values holds beside them: the scores, lists, and what finding a broken
/// value takes.
pub fn beside(values: u64, table: &Table) -> u64 {
    let scores = table.elements(Axes::FORMAT).saturating_mul(8);
    let lists = values.saturating_mul(LIST_BYTES);
    scores.saturating_add(lists).saturating_add(Broken::bytes(values, table.units()))
}
