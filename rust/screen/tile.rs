//! A tile of programs from text to marks: compiled, merged into one graph, run, ranked in batches.

use super::columns::Columns;
use super::graph::Graph;
use super::truth::{Judge, Mark, join};
use super::{Pair, Row, Screen};
use crate::dsl::{self, Axes, Error, Kind, Limits, Program, Schema, Scratch, Table, Verdict};

/// Score tables that are ranked together.
const BATCH: usize = 16;

/// Rows and marks of one tile.
pub struct Done {
    pub rows: Vec<Row>,
    pub marks: Vec<Vec<Mark>>,
}

impl Done {
    /// A tile that was not reached.
    pub fn unreached(programs: usize, pairs: usize) -> Done {
        Done { rows: vec![Row::default(); programs], marks: vec![vec![Mark::NONE; programs]; pairs] }
    }

    fn fail(&mut self, program: usize, kind: Kind) {
        if let Some(row) = self.rows.get_mut(program) {
            row.error = row.error.or(Some(kind));
        }
    }
}

/// Runs tile after tile with the same memory.
#[derive(Default)]
pub struct Tiles {
    compiler: dsl::Compiler,
    program: Program,
    graph: Graph,
    columns: Columns,
    scratch: Scratch,
    batch: Batch,
    /// Pairs of (program, the earlier one that it repeats).
    repeats: Vec<(u32, u32)>,
}

impl Tiles {
    /// Screens the programs of one tile.
    pub fn run<S: AsRef<[u8]>>(&mut self, screen: &Screen, sources: &[S]) -> Done {
        let mut done = Done::unreached(sources.len(), screen.pairs.len());
        self.repeats.clear();
        let mut first = 0;
        for pairs in screen.pairs.chunk_by(|a, b| a.schema == b.schema) {
            self.with_schema(first, pairs, &screen.limits, sources, &mut done);
            first += pairs.len();
        }
        self.finish(&mut done);
        done
    }

    /// Everything for pairs of one schema, the first of which is number `first`.
    fn with_schema<S: AsRef<[u8]>>(
        &mut self,
        first: usize,
        pairs: &[Pair],
        limits: &Limits,
        sources: &[S],
        done: &mut Done,
    ) {
        let Some(schema) = pairs.first().map(|pair| pair.schema) else { return };
        self.graph.clear();
        for (place, source) in sources.iter().enumerate() {
            if let Err(error) = self.compiler.compile(source.as_ref(), schema, limits, &mut self.program) {
                done.fail(place, error.kind);
                continue;
            }
            if let Some(row) = done.rows.get_mut(place).filter(|row| row.error.is_none()) {
                (row.hash, row.ops) = (self.program.hash().value(), self.program.ops);
            }
            match admit(&self.program, pairs, limits) {
                Err(error) => done.fail(place, error.kind),
                Ok(()) if self.program.is_columns() => self.add(schema, place),
                Ok(()) => self.alone(first, pairs, limits, place, done),
            }
        }
        self.graph.settle();
        for (at, pair) in (first..).zip(pairs) {
            self.batch.begin(pair);
            let (batch, columns) = (&mut self.batch, &mut self.columns);
            columns.run(&self.graph, pair.table, |owner, scores| {
                batch.take(pair, at, owner, scores.rows(), done)
            });
            self.batch.flush(pair, at, done);
        }
    }

    /// Adds a program of columns to the graph; one with the score of an earlier one only repeats it.
    fn add(&mut self, schema: &Schema, place: usize) {
        let mut score = self.graph.add(&self.program);
        if !self.program.axes.contains(Axes::FORMAT)
            && let Some(error) = schema.id("dw2")
        {
            score = self.graph.times_error(score, error, self.program.hash());
        }
        let owner = self.graph.own(score, place as u32);
        if owner != place as u32 {
            self.repeats.push((place as u32, owner));
        }
    }

    /// Runs a program with samples by itself.
    fn alone(&mut self, first: usize, pairs: &[Pair], limits: &Limits, place: usize, done: &mut Done) {
        for (at, pair) in (first..).zip(pairs) {
            match scores(&self.program, pair, limits, &mut self.scratch) {
                Ok(scores) => {
                    self.batch.begin(pair);
                    self.batch.take(pair, at, place as u32, std::iter::once(scores.as_slice()), done);
                    self.batch.flush(pair, at, done);
                }
                Err(kind) => done.fail(place, kind),
            }
        }
    }

    /// Fills in the repeats, and takes the marks of programs that failed on any table.
    fn finish(&mut self, done: &mut Done) {
        for &(repeat, owner) in &self.repeats {
            let error = done.rows.get(owner as usize).and_then(|row| row.error);
            if let Some(row) = done.rows.get_mut(repeat as usize) {
                row.error = row.error.or(error);
            }
            for marks in &mut done.marks {
                let mark = marks.get(owner as usize).copied();
                if let (Some(slot), Some(mark)) = (marks.get_mut(repeat as usize), mark) {
                    *slot = mark;
                }
            }
        }
        for (place, row) in done.rows.iter_mut().enumerate() {
            for slot in done.marks.iter_mut().filter_map(|marks| marks.get_mut(place)) {
                match row.error {
                    None => row.signature = join(row.signature, slot.signature),
                    Some(_) => *slot = Mark::NONE,
                }
            }
        }
    }
}

/// Refuses a program that some table cannot run.
fn admit(program: &Program, pairs: &[Pair], limits: &Limits) -> Result<(), Error> {
    pairs.iter().try_for_each(|pair| {
        dsl::run::admit(program, pair.table, pair.schema, limits)?;
        let lacks_error = !program.axes.contains(Axes::FORMAT) && error_of(pair.table, pair.schema).is_none();
        if lacks_error {
            return Err(Error::new(
                Kind::MissingInput,
                dsl::Span::default(),
                "the table does not hold `dw2`",
            ));
        }
        Ok(())
    })
}

/// The squared error of each unit in each format, which a score without formats is multiplied by.
fn error_of<'a>(table: &'a Table, schema: &Schema) -> Option<&'a [f64]> {
    table.column(schema.id("dw2")?)
}

/// Scores [F][L] of one program, as `Proxy.score` gives them.
fn scores(program: &Program, pair: &Pair, limits: &Limits, scratch: &mut Scratch) -> Result<Vec<f64>, Kind> {
    let verdict = dsl::run(program, pair.table, pair.schema, limits, scratch);
    if !matches!(verdict.map_err(|error| error.kind)?, Verdict::Finite) {
        return Err(Kind::NonFinite);
    }
    let mut scores = scratch.scores().to_vec();
    if !program.axes.contains(Axes::FORMAT) {
        let error = error_of(pair.table, pair.schema).unwrap_or_default();
        scores.iter_mut().zip(error).for_each(|(score, error)| *score *= error);
    }
    Ok(scores)
}

/// Score tables that wait to be judged together.
#[derive(Default)]
struct Batch {
    size: usize,
    scores: Vec<f64>,
    owners: Vec<u32>,
    marks: Vec<Mark>,
    /// One for each pair, since they keep what belongs to one truth.
    judges: Vec<Judge>,
}

impl Batch {
    fn begin(&mut self, pair: &Pair) {
        self.size = pair.table.units() * pair.table.formats();
        self.scores.clear();
        self.owners.clear();
    }

    /// Keeps the scores if they are finite.
    #[inline(always)]
    fn take<'a>(
        &mut self,
        pair: &Pair,
        at: usize,
        owner: u32,
        rows: impl Iterator<Item = &'a [f64]>,
        done: &mut Done,
    ) {
        let before = self.scores.len();
        let mut finite = true;
        for row in rows {
            finite &= all_finite(row);
            self.scores.extend_from_slice(row);
        }
        if !finite {
            self.scores.truncate(before);
            return done.fail(owner as usize, Kind::NonFinite);
        }
        self.owners.push(owner);
        if self.owners.len() == BATCH {
            self.flush(pair, at, done);
        }
    }

    fn flush(&mut self, pair: &Pair, at: usize, done: &mut Done) {
        self.marks.clear();
        self.marks.resize(self.owners.len(), Mark::NONE);
        if self.judges.len() <= at {
            self.judges.resize_with(at + 1, Judge::default);
        }
        if let Some(judge) = self.judges.get_mut(at) {
            pair.truth.mark(&self.scores, self.size, judge, &mut self.marks);
        }
        if let Some(marks) = done.marks.get_mut(at) {
            for (owner, mark) in self.owners.iter().zip(&self.marks) {
                if let Some(slot) = marks.get_mut(*owner as usize) {
                    *slot = *mark;
                }
            }
        }
        self.scores.clear();
        self.owners.clear();
    }
}

/// Whether no value is infinite or a NaN; without a branch for each.
#[inline(always)]
fn all_finite(values: &[f64]) -> bool {
    values.iter().fold(true, |finite, value| finite & (value.abs() < f64::INFINITY))
}
