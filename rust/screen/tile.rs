//! A tile of programs from text to marks: compiled, merged into one graph, run, ranked in batches.

use super::columns::Columns;
use super::graph::Graph;
use super::truth::{Judge, Mark, join};
use super::{Pair, Row, Screen};
use crate::dsl::quick::{Read, Reader, Setting};
use crate::dsl::{self, Axes, Error, Kind, Limits, Program, Schema, Scratch, Table};

/// Score tables that are ranked together.
const BATCH: usize = 16;

/// How far ahead of the text that is read another is fetched from memory.
const AHEAD: usize = 4;

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
pub struct Tiles<'a> {
    screen: &'a Screen<'a>,
    /// Pairs of one schema share reading, and the graph.
    worlds: Vec<World<'a>>,
    reader: Reader,
    compiler: dsl::Compiler,
    program: Program,
    graph: Graph,
    scratch: Scratch,
    /// Pairs of (program, the earlier one that it repeats).
    repeats: Vec<(u32, u32)>,
}

/// Pairs of one schema.
struct World<'a> {
    schema: &'a Schema,
    pairs: &'a [Pair<'a>],
    room: Room,
    /// By input id, whether it is a column that the tables of all pairs hold.
    held: Vec<bool>,
    /// The squared error of each format, when all tables hold it.
    error: Option<u16>,
    places: Vec<Place<'a>>,
}

/// What belongs to one pair.
struct Place<'a> {
    columns: Columns<'a>,
    batch: Batch<'a>,
}

impl<'a> World<'a> {
    /// For pairs of one schema, the first of which is number `first` of all.
    fn new(first: usize, pairs: &'a [Pair<'a>], limits: &Limits) -> Option<World<'a>> {
        let schema = pairs.first()?.schema;
        let is_held = |id| pairs.iter().all(|pair| pair.table.column(id).is_some());
        let place = |(at, pair): (usize, &'a Pair<'a>)| Place {
            columns: Columns::new(pair.table),
            batch: Batch::new(at, pair),
        };
        Some(World {
            schema,
            pairs,
            room: Room::new(pairs, limits),
            held: (0..schema.len()).map(|id| is_held(id as u16)).collect(),
            error: schema.id("dw2").filter(|id| is_held(*id)),
            places: (first..).zip(pairs).map(place).collect(),
        })
    }
}

impl<'a> Tiles<'a> {
    /// For the programs of one thread.
    pub fn new(screen: &'a Screen<'a>) -> Tiles<'a> {
        let (mut worlds, mut first) = (Vec::new(), 0);
        for pairs in screen.pairs.chunk_by(|a, b| a.schema == b.schema) {
            worlds.extend(World::new(first, pairs, &screen.limits));
            first += pairs.len();
        }
        Tiles {
            screen,
            worlds,
            reader: Reader::default(),
            compiler: dsl::Compiler::default(),
            program: Program::default(),
            graph: Graph::default(),
            scratch: Scratch::default(),
            repeats: Vec::new(),
        }
    }

    /// Screens programs, a tile at a time; what is to be ranked may wait until the last tile.
    pub fn run(&mut self, sources: &[&[u8]]) -> Done {
        let mut done = Done::unreached(sources.len(), self.screen.pairs.len());
        self.repeats.clear();
        let mut worlds = std::mem::take(&mut self.worlds);
        for world in &mut worlds {
            let mut first = 0;
            for sources in sources.chunks(self.screen.tile.max(1)) {
                self.tile(world, first, sources, &mut done);
                first += sources.len();
            }
            for place in &mut world.places {
                place.batch.flush(&mut done);
            }
        }
        self.worlds = worlds;
        self.finish(&mut done);
        done
    }

    /// One tile, the first program of which is number `first`.
    fn tile(&mut self, world: &mut World, first: usize, sources: &[&[u8]], done: &mut Done) {
        self.graph.clear();
        for (at, (place, source)) in (first..).zip(sources).enumerate() {
            touch(sources.get(at + AHEAD).copied().unwrap_or_default());
            if !self.quick(source, world, place, done) {
                self.careful(source, world, place, done);
            }
        }
        self.graph.settle();
        for place in &mut world.places {
            let Place { columns, batch } = place;
            columns.run(&self.graph, |owner, scores| batch.take(owner, scores.rows(), done));
        }
    }

    /// Reads a usual program straight into the graph; false when it must be compiled with care.
    #[inline(always)]
    fn quick(&mut self, source: &[u8], world: &World, place: usize, done: &mut Done) -> bool {
        let setting = Setting { schema: world.schema, limits: &self.screen.limits, held: &world.held };
        let Some(read) = self.reader.read(source, setting, &mut self.graph.pool) else { return false };
        if !world.room.fits(&read) || !self.own(read.root, world, place) {
            return false;
        }
        if let Some(row) = done.rows.get_mut(place).filter(|row| row.error.is_none()) {
            (row.hash, row.ops) = (self.graph.pool.hash(read.root).value(), read.ops);
        }
        true
    }

    /// Compiles a program; whatever is wrong with it is found here.
    #[inline(never)]
    fn careful(&mut self, source: &[u8], world: &mut World, place: usize, done: &mut Done) {
        let limits = &self.screen.limits;
        if let Err(error) = self.compiler.compile(source, world.schema, limits, &mut self.program) {
            return done.fail(place, error.kind);
        }
        if let Some(row) = done.rows.get_mut(place).filter(|row| row.error.is_none()) {
            (row.hash, row.ops) = (self.program.hash().value(), self.program.ops);
        }
        match admit(&self.program, world.pairs, limits) {
            Err(error) => done.fail(place, error.kind),
            Ok(()) if self.program.is_columns() => {
                let score = self.graph.add(&self.program);
                self.own(score, world, place);
            }
            Ok(()) => self.alone(world, place, done),
        }
    }

    /// Takes the value as the score of a program; one with the score of an earlier one only repeats it. False when it
    /// wants the error of each format, which some table lacks.
    #[inline(always)]
    fn own(&mut self, mut score: u32, world: &World, place: usize) -> bool {
        let has_formats = self.graph.pool.get(score).is_some_and(|score| score.axes.contains(Axes::FORMAT));
        if !has_formats {
            let Some(error) = world.error else { return false };
            score = self.graph.times_error(score, error, world.schema);
        }
        let owner = self.graph.own(score, place as u32);
        if owner != place as u32 {
            self.repeats.push((place as u32, owner));
        }
        true
    }

    /// Runs a program with samples by itself.
    fn alone(&mut self, world: &mut World, program: usize, done: &mut Done) {
        for place in &mut world.places {
            match scores(&self.program, place.batch.pair, &self.screen.limits, &mut self.scratch) {
                Ok(scores) => place.batch.take(program as u32, std::iter::once(scores.as_slice()), done),
                Err(kind) => done.fail(program, kind),
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

/// Reads a byte of each cache line, so that the text is near when its turn comes; texts in order lie anywhere.
#[inline(always)]
fn touch(text: &[u8]) {
    std::hint::black_box(text.iter().step_by(64).fold(0, |all, byte| all | byte));
}

/// What the largest table leaves to programs that were read quickly.
struct Room {
    /// Elements of a value: without formats, with them.
    elements: [u64; 2],
    /// Bytes that a program holds beside its values: those of none, those of one.
    beside: [u64; 2],
    work: u64,
    bytes: u64,
}

impl Room {
    fn new(pairs: &[Pair], limits: &Limits) -> Room {
        let most = |axes| pairs.iter().map(|pair| pair.table.elements(axes)).max().unwrap_or(0);
        let beside = |values| {
            let rows = |pair: &Pair| dsl::run::beside(values, pair.table) + pair.table.units() as u64 * 24;
            pairs.iter().map(rows).max().unwrap_or(0)
        };
        Room {
            elements: [most(Axes::NONE), most(Axes::FORMAT)],
            beside: [beside(0), beside(1)],
            work: limits.work,
            bytes: limits.live_bytes,
        }
    }

    /// Whether no table's limits are passed; when in doubt they may be.
    #[inline(always)]
    fn fits(&self, read: &Read) -> bool {
        let total = |counts: [u32; 2]| {
            let [plain, formats] = counts.map(u64::from);
            plain.saturating_mul(self.elements[0]).saturating_add(formats.saturating_mul(self.elements[1]))
        };
        // Operators have three operands at most, so a program of n has no more than 3 n + 1 values.
        let values = 3 * u64::from(read.ops) + 1;
        let beside = self.beside[0].saturating_add(values.saturating_mul(self.beside[1]));
        let bytes = total(read.values).saturating_mul(8).saturating_add(beside);
        total(read.cost) <= self.work && bytes <= self.bytes
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
    let finite = dsl::run::is_finite(program, pair.table, pair.schema, limits, scratch);
    if !finite.map_err(|error| error.kind)? {
        return Err(Kind::NonFinite);
    }
    let mut scores = scratch.scores().to_vec();
    if !program.axes.contains(Axes::FORMAT) {
        let error = error_of(pair.table, pair.schema).unwrap_or_default();
        scores.iter_mut().zip(error).for_each(|(score, error)| *score *= error);
    }
    Ok(scores)
}

/// Score tables of one pair that wait to be judged together.
struct Batch<'a> {
    /// The number of the pair.
    at: usize,
    pair: &'a Pair<'a>,
    size: usize,
    scores: Vec<f64>,
    owners: Vec<u32>,
    marks: Vec<Mark>,
    judge: Judge,
}

impl<'a> Batch<'a> {
    fn new(at: usize, pair: &'a Pair<'a>) -> Batch<'a> {
        Batch {
            at,
            pair,
            size: pair.table.units() * pair.table.formats(),
            scores: Vec::new(),
            owners: Vec::new(),
            marks: Vec::new(),
            judge: Judge::default(),
        }
    }

    /// Keeps the scores if they are all there and finite.
    #[inline(always)]
    fn take<'b>(&mut self, owner: u32, rows: impl Iterator<Item = &'b [f64]>, done: &mut Done) {
        let before = self.scores.len();
        let mut finite = true;
        for row in rows {
            finite &= all_finite(row);
            self.scores.extend_from_slice(row);
        }
        if !finite || self.scores.len() != before + self.size {
            self.scores.truncate(before);
            return done.fail(owner as usize, Kind::NonFinite);
        }
        self.owners.push(owner);
        if self.owners.len() == BATCH {
            self.flush(done);
        }
    }

    fn flush(&mut self, done: &mut Done) {
        self.marks.clear();
        self.marks.resize(self.owners.len(), Mark::NONE);
        self.pair.truth.mark(&self.scores, self.size, &mut self.judge, &mut self.marks);
        if let Some(marks) = done.marks.get_mut(self.at) {
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
