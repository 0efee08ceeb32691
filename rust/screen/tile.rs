//! A tile of programs from text to marks.

use super::truth::{Judge, Mark, join};
use super::{Row, Screen};
use crate::dsl::{self, Axes, Kind, Limits, Program, Scratch, Table, Verdict};

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
}

/// Runs tile after tile with the same memory.
#[derive(Default)]
pub struct Tiles {
    compiler: dsl::Compiler,
    program: Program,
    scratch: Scratch,
    scores: Vec<f64>,
    judge: Judge,
}

impl Tiles {
    /// Screens the programs of one tile.
    pub fn run<S: AsRef<[u8]>>(&mut self, screen: &Screen, sources: &[S]) -> Done {
        let mut done = Done::unreached(sources.len(), screen.pairs.len());
        for (place, source) in sources.iter().enumerate() {
            let mut marks = vec![Mark::NONE; screen.pairs.len()];
            let row = self.program(screen, source.as_ref(), &mut marks);
            for (all, mark) in done.marks.iter_mut().zip(marks) {
                if let (Some(slot), None) = (all.get_mut(place), row.error) {
                    *slot = mark;
                }
            }
            if let Some(slot) = done.rows.get_mut(place) {
                *slot = row;
            }
        }
        done
    }

    fn program(&mut self, screen: &Screen, source: &[u8], marks: &mut [Mark]) -> Row {
        let mut row = Row::default();
        for (pair, mark) in screen.pairs.iter().zip(marks) {
            if let Err(error) = self.compiler.compile(source, pair.schema, &screen.limits, &mut self.program)
            {
                return Row { error: Some(error.kind), ..row };
            }
            (row.hash, row.ops) = (self.program.hash().value(), self.program.ops);
            if let Err(kind) = self.score(pair.table, pair.schema, &screen.limits) {
                return Row { error: Some(kind), signature: 0, ..row };
            }
            let size = self.scores.len();
            pair.truth.mark(&self.scores, size, &mut self.judge, std::slice::from_mut(mark));
            row.signature = join(row.signature, mark.signature);
        }
        row
    }

    /// Scores [F][L] of the program; a score without format is multiplied by `dw2`, as `Proxy.score` does.
    fn score(&mut self, table: &Table, schema: &dsl::Schema, limits: &Limits) -> Result<(), Kind> {
        let verdict = dsl::run(&self.program, table, schema, limits, &mut self.scratch);
        if !matches!(verdict.map_err(|error| error.kind)?, Verdict::Finite) {
            return Err(Kind::NonFinite);
        }
        self.scores.clear();
        self.scores.extend_from_slice(self.scratch.scores());
        if self.program.axes.contains(Axes::FORMAT) {
            return Ok(());
        }
        let error = schema.id("dw2").and_then(|id| table.column(id)).ok_or(Kind::MissingInput)?;
        self.scores.iter_mut().zip(error).for_each(|(score, error)| *score *= error);
        if self.scores.iter().all(|score| score.is_finite()) { Ok(()) } else { Err(Kind::NonFinite) }
    }
}
