//! What scores are judged by: measured sensitivities, or whole configurations that were measured.

use super::predict::{LANES, Places};
use super::regret::{Ladder, of_stratum};
use crate::knapsack::OneBudget;
use crate::rank::{Agreement, Ranker, Target};

/// How the scores of one program agree with one truth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// Spearman's rho: pooled over units and formats for a sensitivity, the mean over strata for configurations.
    pub spearman: f64,
    /// Kendall's tau-b, of the same.
    pub kendall: f64,
    /// Loss given away by deciding with these scores, see `regret`; NaN when it was not asked for.
    pub regret: f64,
    /// Scores with equal rankings share it.
    pub signature: u64,
}

impl Mark {
    /// The mark of a program without scores.
    pub const NONE: Mark = Mark { spearman: f64::NAN, kendall: f64::NAN, regret: f64::NAN, signature: 0 };
}

/// A truth that cannot be: what does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit(pub String);

/// The truth of one table's units and formats.
pub struct Truth {
    kind: Kind,
    /// The largest place in the score table that is read.
    last: usize,
}

enum Kind {
    Sensitivity(Box<Sensitivity>),
    Configurations(Configurations),
}

/// Measured loss of each unit in each format.
struct Sensitivity {
    /// Where the score of each measured value stands, format-major [F][L]; none when they stand in that order.
    places: Option<Vec<u32>>,
    target: Target,
    ladder: Option<Ladder>,
}

/// Measured loss of whole configurations.
struct Configurations {
    strata: Vec<Stratum>,
}

/// Configurations of equal bytes.
struct Stratum {
    /// Where their scores stand.
    places: Places,
    /// Their losses.
    target: Target,
    least: f64,
    mean: f64,
}

impl Truth {
    /// Measured sensitivities; `places` says where the score of each stands, format-major [F][L].
    pub fn sensitivity(values: &[f64], places: &[u32]) -> Result<Truth, Misfit> {
        if values.len() != places.len() {
            return Err(Misfit(format!("{} values and {} places", values.len(), places.len())));
        }
        let target = Target::new(values);
        if !target.is_usable() {
            return Err(Misfit("the sensitivities are all equal, or one is not a number".into()));
        }
        let in_order = places.iter().zip(0..).all(|(place, at)| *place == at);
        let places_apart = (!in_order).then(|| places.to_vec());
        let kind = Kind::Sensitivity(Box::new(Sensitivity { places: places_apart, target, ladder: None }));
        Ok(Truth { kind, last: largest(places) })
    }

    /// Configurations of `units` units: where their scores stand, `units` for each; the measured loss and the stratum of
    /// each. A stratum whose losses are all equal, or that has one member, says nothing and is left out.
    pub fn configurations(
        units: usize,
        places: &[u32],
        loss: &[f64],
        stratum: &[i64],
    ) -> Result<Truth, Misfit> {
        if units == 0 || places.len() != loss.len() * units || stratum.len() != loss.len() {
            let counts = (places.len(), loss.len(), stratum.len());
            return Err(Misfit(format!(
                "{} choices, {} losses and {} strata of {units} units",
                counts.0, counts.1, counts.2
            )));
        }
        let mut order: Vec<usize> = (0..loss.len()).collect();
        order.sort_by_key(|&m| stratum.get(m).copied());
        let mut truth = Configurations { strata: Vec::new() };
        for members in order.chunk_by(|a, b| stratum.get(*a) == stratum.get(*b)) {
            let values: Vec<f64> = members.iter().filter_map(|m| loss.get(*m).copied()).collect();
            let target = Target::new(&values);
            if !target.is_usable() {
                continue;
            }
            let rows = members.iter().filter_map(|m| places.get(m * units..(m + 1) * units));
            let places = Places::new(units, &rows.flatten().copied().collect::<Vec<u32>>());
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            truth.strata.push(Stratum { places, target, least, mean });
        }
        if truth.strata.is_empty() {
            return Err(Misfit("no stratum holds two configurations with different losses".into()));
        }
        Ok(Truth { kind: Kind::Configurations(truth), last: largest(places) })
    }

    /// Whether every place lies within a score table of this size.
    pub fn fits(&self, size: usize) -> bool {
        self.last < size
    }

    /// Adds regret over a ladder of budgets to a sensitivity: integer costs and budgets, `costs` in the order of the
    /// values, which must be format-major [F][L].
    pub fn with_budgets(mut self, formats: usize, costs: &[i64], budgets: &[i64]) -> Result<Truth, Misfit> {
        let Kind::Sensitivity(truth) = &mut self.kind else {
            return Err(Misfit("configurations have their budgets in their strata".into()));
        };
        let values = truth.target.values();
        if formats == 0 || costs.len() != values.len() || !costs.len().is_multiple_of(formats) {
            return Err(Misfit(format!(
                "{} costs for {} values in {formats} formats",
                costs.len(),
                values.len()
            )));
        }
        let (mut by_unit, mut costs_by_unit) = (Vec::new(), Vec::new());
        to_units(values, formats, &mut by_unit);
        to_units(costs, formats, &mut costs_by_unit);
        truth.ladder = Some(Ladder::new(formats, &by_unit, &costs_by_unit, budgets)?);
        Ok(self)
    }

    /// The marks of tables of scores [N][F][L] of `size` each; of those that are not finite, `Mark::NONE`.
    pub fn marks(&self, scores: &[f64], size: usize) -> Vec<Mark> {
        let mut judge = Judge::default();
        let mark = |scores: &[f64]| {
            let mut mark = [Mark::NONE];
            if scores.iter().all(|score| score.is_finite()) {
                self.mark(scores, size, &mut judge, &mut mark);
            }
            mark[0]
        };
        scores.chunks_exact(size.max(1)).map(mark).collect()
    }

    /// Judges tables of scores, format-major, one after the other; `judge` is memory to use again.
    pub(super) fn mark(&self, scores: &[f64], size: usize, judge: &mut Judge, marks: &mut [Mark]) {
        match &self.kind {
            Kind::Sensitivity(truth) => truth.mark(scores, size, judge, marks),
            Kind::Configurations(truth) => truth.mark(scores, size, judge, marks),
        }
    }
}

impl Sensitivity {
    fn mark(&self, scores: &[f64], size: usize, judge: &mut Judge, marks: &mut [Mark]) {
        let mut values = std::mem::take(&mut judge.values);
        let rows = match &self.places {
            None => scores,
            Some(places) => {
                values.clear();
                for scores in scores.chunks_exact(size.max(1)) {
                    values.extend(places.iter().map(|&place| at(scores, place)));
                }
                &values
            }
        };
        judge.begin(marks);
        judge.add(rows, &self.target, marks);
        if let Some(ladder) = &self.ladder {
            let solver = judge.solver.get_or_insert_with(|| ladder.solver());
            for (row, mark) in rows.chunks_exact(self.target.len().max(1)).zip(marks) {
                to_units(row, ladder.formats(), &mut judge.row);
                mark.regret = ladder.regret(solver, &judge.row);
            }
        }
        judge.values = values;
    }
}

impl Configurations {
    fn mark(&self, scores: &[f64], size: usize, judge: &mut Judge, marks: &mut [Mark]) {
        let mut values = std::mem::take(&mut judge.values);
        judge.begin(marks);
        marks.iter_mut().for_each(|mark| mark.regret = 0.0);
        for stratum in &self.strata {
            stratum.places.predict(scores, size, &mut judge.side, &mut values);
            judge.add(&values, &stratum.target, marks);
            for (predicted, mark) in values.chunks_exact(stratum.places.len().max(1)).zip(marks.iter_mut()) {
                mark.regret += of_stratum(predicted, stratum.target.values(), stratum.least, stratum.mean);
            }
        }
        for mark in marks {
            mark.spearman /= self.strata.len() as f64;
            mark.kendall /= self.strata.len() as f64;
            mark.regret /= self.strata.len() as f64;
        }
        judge.values = values;
    }
}

/// A format-major table [F][L] as [L][F].
fn to_units<T: Copy>(table: &[T], formats: usize, by_unit: &mut Vec<T>) {
    let units = table.len().checked_div(formats).unwrap_or(0);
    by_unit.clear();
    for unit in 0..units {
        by_unit.extend(table.iter().skip(unit).step_by(units));
    }
}

#[inline(always)]
fn at(scores: &[f64], place: u32) -> f64 {
    scores.get(place as usize).copied().unwrap_or(f64::NAN)
}

fn largest(places: &[u32]) -> usize {
    places.iter().max().map_or(0, |place| *place as usize)
}

/// Memory of judging by one truth.
#[derive(Default)]
pub(super) struct Judge {
    ranker: Ranker,
    found: Vec<Agreement>,
    values: Vec<f64>,
    row: Vec<f64>,
    /// Score tables side by side.
    side: Vec<[f64; LANES]>,
    solver: Option<OneBudget>,
}

impl Judge {
    fn begin(&mut self, marks: &mut [Mark]) {
        marks.fill(Mark { spearman: 0.0, kendall: 0.0, regret: f64::NAN, signature: 0 });
        self.found.clear();
        self.found.resize(marks.len(), Agreement::NONE);
    }

    /// Adds what one target says of the rows.
    fn add(&mut self, rows: &[f64], target: &Target, marks: &mut [Mark]) {
        self.ranker.agree(rows, target, &mut self.found);
        for (mark, found) in marks.iter_mut().zip(&self.found) {
            mark.spearman += found.spearman;
            mark.kendall += found.kendall;
            mark.signature = join(mark.signature, found.signature);
        }
    }
}

/// One signature of two, in order.
pub(super) fn join(left: u64, right: u64) -> u64 {
    left.rotate_left(23).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ right
}
