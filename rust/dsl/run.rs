//! A program over a table: scores of each unit in each format, or which operator made them not finite.

use crate::dsl::axes::Axes;
use crate::dsl::error::{Error, Kind, Span};
use crate::dsl::fused::{self, Fused};
use crate::dsl::limits::Limits;
use crate::dsl::ops::{Class, Op};
use crate::dsl::program::Program;
use crate::dsl::schema::Schema;
use crate::dsl::table::Table;
use crate::dsl::walk::{self, Value};

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

/// Run `program` over `table`. An error says that it may not run: a limit, or an input that is missing.
pub fn run(
    program: &Program,
    table: &Table,
    schema: &Schema,
    limits: &Limits,
    scratch: &mut Scratch,
) -> Result<Verdict, Error> {
    admit(program, table, schema, limits)?;
    let (units, formats) = (table.units(), table.formats());
    scratch.scores.clear();
    if fused::fits(program) {
        let score = scratch.fused.run(program, table);
        let copies = if program.axes.contains(Axes::FORMAT) { 1 } else { formats };
        (0..copies).for_each(|_| scratch.scores.extend_from_slice(score));
    } else {
        let values = walk::walk(program, table);
        let score = values.last();
        for format in 0..formats {
            let own = |unit| score.map_or(Vec::new(), |score| walk::of_unit(score, unit, units));
            let at = |own: Vec<f64>| own.get(format).or(own.first()).copied().unwrap_or(f64::NAN);
            scratch.scores.extend((0..units).map(|unit| at(own(unit))));
        }
    }
    if scratch.scores.iter().all(|score| score.is_finite()) {
        return Ok(Verdict::Finite);
    }
    Ok(Verdict::NonFinite(diagnose(program, table, &walk::walk(program, table))))
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

    /// A bound on the bytes of all values that one run holds at once.
    pub fn live_bytes(&self, table: &Table) -> u64 {
        self.instructions
            .iter()
            .filter(|value| value.op.class() != Class::Leaf)
            .fold(0u64, |sum, value| sum.saturating_add(table.elements(value.axes).saturating_mul(8)))
    }
}

/// Go back from the first score that is not finite, unit by unit, to where finite values broke.
fn diagnose(program: &Program, table: &Table, values: &[Value]) -> NonFinite {
    let units = table.units();
    let broken = |id: usize, unit: usize| {
        values.get(id).is_some_and(|value| walk::of_unit(value, unit, units).iter().any(|v| !v.is_finite()))
    };
    let score = program.instructions.len().saturating_sub(1);
    let unit = (0..units).find(|unit| broken(score, *unit)).unwrap_or(0);
    let mut seen = vec![false; program.instructions.len() * units];
    let mut waiting = vec![(score, unit)];
    let mut found = score;
    while let Some((id, unit)) = waiting.pop() {
        let Some(seen) = seen.get_mut(id * units + unit) else { continue };
        if std::mem::replace(seen, true) {
            continue;
        }
        let Some(instruction) = program.instructions.get(id) else { continue };
        let before = waiting.len();
        for operand in instruction.operands() {
            let network = instruction.op.class() == Class::Network;
            let reads = if network { 0..units } else { unit..unit + 1 };
            waiting
                .extend(reads.map(|unit| (*operand as usize, unit)).filter(|(id, unit)| broken(*id, *unit)));
        }
        if waiting.len() == before {
            found = found.min(id);
        }
    }
    let op = program.instructions.get(found).map_or(Op::Const, |instruction| instruction.op);
    let span = program.spans.get(found).copied().unwrap_or_default();
    NonFinite { unit, value: found as u32, op, span }
}
