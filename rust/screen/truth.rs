//! What scores are judged by: measured sensitivities, or whole configurations that were measured.

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
    Sensitivity(Sensitivity),
    Configurations(Configurations),
}

/// Measured loss of each unit in each format.
struct Sensitivity {
    /// Where the score of each measured value stands, format-major [F][L]; none when they stand in that order.
    places: Option<Vec<u32>>,
    target: Target,
}

/// Measured loss of whole configurations, in the order of their strata.
struct Configurations {
    /// Where the scores of each configuration stand, `units` for each.
    places: Vec<u32>,
    units: usize,
    strata: Vec<Target>,
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
        let kind = Kind::Sensitivity(Sensitivity { places: (!in_order).then(|| places.to_vec()), target });
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
        let mut truth = Configurations { places: Vec::new(), units, strata: Vec::new() };
        for members in order.chunk_by(|a, b| stratum.get(*a) == stratum.get(*b)) {
            let values: Vec<f64> = members.iter().filter_map(|m| loss.get(*m).copied()).collect();
            let target = Target::new(&values);
            if !target.is_usable() {
                continue;
            }
            for m in members {
                truth.places.extend(places.get(m * units..(m + 1) * units).unwrap_or_default());
            }
            truth.strata.push(target);
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

    /// Judges tables of scores, format-major, one after the other; `judge` is memory to use again.
    pub(super) fn mark(&self, scores: &[f64], size: usize, judge: &mut Judge, marks: &mut [Mark]) {
        for (scores, mark) in scores.chunks_exact(size.max(1)).zip(marks) {
            let mut values = std::mem::take(&mut judge.values);
            *mark = match &self.kind {
                Kind::Sensitivity(Sensitivity { places: None, target }) => {
                    judge.against(scores, std::slice::from_ref(target))
                }
                Kind::Sensitivity(Sensitivity { places: Some(places), target }) => {
                    values.clear();
                    values.extend(places.iter().map(|&place| at(scores, place)));
                    judge.against(&values, std::slice::from_ref(target))
                }
                Kind::Configurations(truth) => {
                    truth.predict(scores, &mut values);
                    judge.against(&values, &truth.strata)
                }
            };
            judge.values = values;
        }
    }
}

impl Configurations {
    /// Predicted loss of each configuration: the sum of its scores, in the order of the units.
    fn predict(&self, scores: &[f64], predicted: &mut Vec<f64>) {
        predicted.clear();
        predicted.extend(
            self.places
                .chunks_exact(self.units)
                .map(|row| row.iter().map(|&place| at(scores, place)).sum::<f64>()),
        );
    }
}

#[inline(always)]
fn at(scores: &[f64], place: u32) -> f64 {
    scores.get(place as usize).copied().unwrap_or(f64::NAN)
}

fn largest(places: &[u32]) -> usize {
    places.iter().max().map_or(0, |place| *place as usize)
}

/// Memory of judging.
#[derive(Default)]
pub(super) struct Judge {
    ranker: Ranker,
    values: Vec<f64>,
}

impl Judge {
    /// Means over the targets, whose rows stand one after the other.
    fn against(&mut self, rows: &[f64], targets: &[Target]) -> Mark {
        let mut mark = Mark { spearman: 0.0, kendall: 0.0, regret: f64::NAN, signature: 0 };
        let mut rest = rows;
        for target in targets {
            let (row, after) = rest.split_at(target.len().min(rest.len()));
            rest = after;
            let mut found = [Agreement { spearman: f64::NAN, kendall: f64::NAN, signature: 0 }];
            self.ranker.agree(row, target, &mut found);
            let [found] = found;
            mark.spearman += found.spearman;
            mark.kendall += found.kendall;
            mark.signature = join(mark.signature, found.signature);
        }
        mark.spearman /= targets.len() as f64;
        mark.kendall /= targets.len() as f64;
        mark
    }
}

/// One signature of two, in order.
pub(super) fn join(left: u64, right: u64) -> u64 {
    left.rotate_left(23).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ right
}
