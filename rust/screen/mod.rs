//! Many programs, a few tables with their truths: each program compiled, run, ranked and judged.
//!
//! In reading order: `distinct` and `together` (each text once, those that begin alike side by side), `truth` (what
//! scores are compared with, by `predict` and `regret`), `graph` (the programs of a tile as shared values), `columns`
//! (computing them), `tile` (from text to marks), and here the threads over tiles. Results do not depend on the number
//! of threads or the size of a tile.

mod columns;
mod distinct;
mod graph;
mod predict;
mod regret;
mod tile;
mod together;
mod truth;

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use crate::dsl::{Kind, Limits, Schema, Table};

pub use truth::{Mark, Misfit, Truth};

/// Programs that one thread takes at a time, rounded up to whole tiles.
const PIECE: usize = 512;

/// One table that programs run on, and the truth that their scores are judged by.
pub struct Pair<'a> {
    /// Statistics of the units.
    pub table: &'a Table,
    /// The inputs that the table was filled for.
    pub schema: &'a Schema,
    /// The truth of the same units and formats.
    pub truth: &'a Truth,
}

/// What every program is judged on.
pub struct Screen<'a> {
    /// Tables with their truths, at least one.
    pub pairs: Vec<Pair<'a>>,
    /// Bounds of the language.
    pub limits: Limits,
    /// Programs in one tile, whose equal values are computed once; at least 1.
    pub tile: usize,
}

/// What is known of one program, whatever the tables.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Row {
    /// Why it has no scores; none when it has.
    pub error: Option<Kind>,
    /// Canonical identity; 0 when it does not compile.
    pub hash: u128,
    /// Operators after equal subexpressions are merged.
    pub ops: u32,
    /// Programs with equal rankings on all tables share it; 0 without scores.
    pub signature: u64,
}

/// One row a program, and its marks on each pair.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Screening {
    /// One for each program.
    pub rows: Vec<Row>,
    /// `marks[pair][program]`; all NaN where the program has no scores.
    pub marks: Vec<Vec<Mark>>,
    /// False when the stop flag ended the work; rows not reached are as `Row::default()` with NaN marks.
    pub complete: bool,
}

impl Screening {
    /// The screening of a list whose entry i is entry `places[i]` of this one.
    fn spread(&self, places: &[u32]) -> Screening {
        let none = || Mark::NONE;
        Screening {
            rows: places
                .iter()
                .map(|&place| self.rows.get(place as usize).copied().unwrap_or_default())
                .collect(),
            marks: self
                .marks
                .iter()
                .map(|marks| {
                    places
                        .iter()
                        .map(|&place| marks.get(place as usize).copied().unwrap_or_else(none))
                        .collect()
                })
                .collect(),
            complete: self.complete,
        }
    }
}

impl Screen<'_> {
    /// Screens the programs on `threads` threads (0: all cores). `stop` ends the work between tiles.
    ///
    /// A text that comes again is screened once; so is, within a tile, a formula that does. Texts that begin alike
    /// share tiles, wherever they stand in the list.
    pub fn run<S: AsRef<[u8]>>(&self, sources: &[S], threads: usize, stop: &AtomicBool) -> Screening {
        let (texts, places) = distinct::texts(sources);
        if texts.len() > self.tile && self.tile > 1 {
            let (texts, places) = together::together(&texts, &places);
            return self.run_texts(&texts, threads, stop).spread(&places);
        }
        let found = self.run_texts(&texts, threads, stop);
        if texts.len() == sources.len() { found } else { found.spread(&places) }
    }

    fn run_texts(&self, texts: &[&[u8]], threads: usize, stop: &AtomicBool) -> Screening {
        // Whole tiles, enough of them that what is done once for each piece of work is little.
        let size = self.tile.max(1) * PIECE.div_ceil(self.tile.max(1));
        let work = |tiles: &mut tile::Tiles, texts: &[&[u8]]| {
            if stop.load(Ordering::Relaxed) {
                tile::Done::unreached(texts.len(), self.pairs.len())
            } else {
                tiles.run(texts)
            }
        };
        let here = || {
            let mut tiles = tile::Tiles::new(self);
            texts.chunks(size).map(|texts| work(&mut tiles, texts)).collect()
        };
        let done: Vec<tile::Done> = if threads == 1 || texts.len() <= size {
            here()
        } else {
            match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
                Ok(pool) => pool
                    .install(|| texts.par_chunks(size).map_init(|| tile::Tiles::new(self), work).collect()),
                Err(_) => here(),
            }
        };
        self.collect(done, stop)
    }

    fn collect(&self, done: Vec<tile::Done>, stop: &AtomicBool) -> Screening {
        let mut screening = Screening {
            rows: Vec::new(),
            marks: vec![Vec::new(); self.pairs.len()],
            complete: !stop.load(Ordering::Relaxed),
        };
        for tile in done {
            screening.rows.extend(tile.rows);
            for (all, part) in screening.marks.iter_mut().zip(tile.marks) {
                all.extend(part);
            }
        }
        screening
    }
}
