//! Scores of units to predicted losses of configurations: the sum of the scores that each one's units have.
//!
//! Score tables stand side by side, one a lane, so that a step adds the same unit's score for all of them; four
//! configurations go at a time, since their sums do not wait for each other. Each sum is taken in the order of the
//! units, whatever stands beside it.

use pulp::{Arch, Simd, WithSimd};

/// Score tables that are read together.
pub const LANES: usize = 16;
/// Configurations that are summed together.
const TOGETHER: usize = 4;

/// Where the scores of configurations stand in a score table.
pub struct Places {
    count: usize,
    units: usize,
    /// For each four configurations, unit by unit, the place of each one's score; the last ones are repeated.
    fours: Vec<[u32; TOGETHER]>,
}

impl Places {
    /// `places` holds `units` places for each configuration, one configuration after the other.
    pub fn new(units: usize, places: &[u32]) -> Places {
        let rows: Vec<&[u32]> = places.chunks_exact(units.max(1)).collect();
        let mut fours = Vec::with_capacity(rows.len().div_ceil(TOGETHER) * units);
        for group in rows.chunks(TOGETHER) {
            for unit in 0..units {
                let of = |member: usize| group.get(member).or(group.last()).and_then(|row| row.get(unit));
                fours.push([0, 1, 2, 3].map(|member| of(member).copied().unwrap_or(0)));
            }
        }
        Places { count: rows.len(), units, fours }
    }

    /// Number of configurations.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Predicted losses for each table of `size` scores in `scores`, table after table.
    pub fn predict(&self, scores: &[f64], size: usize, side: &mut Vec<[f64; LANES]>, out: &mut Vec<f64>) {
        let size = size.max(1);
        out.clear();
        out.resize(scores.len() / size * self.count, 0.0);
        let whole = LANES * self.count.max(1);
        for (scores, out) in scores.chunks(LANES * size).zip(out.chunks_mut(whole)) {
            Arch::new().dispatch(Predict { places: self, scores, size, side, out });
        }
    }
}

struct Predict<'a> {
    places: &'a Places,
    scores: &'a [f64],
    size: usize,
    side: &'a mut Vec<[f64; LANES]>,
    out: &'a mut [f64],
}

impl WithSimd for Predict<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Predict { places, scores, size, side, out } = self;
        side.clear();
        side.resize(size, [0.0; LANES]);
        for (lane, scores) in scores.chunks_exact(size).enumerate().take(LANES) {
            for (lanes, score) in side.iter_mut().zip(scores) {
                lanes[lane] = *score;
            }
        }
        for (group, units) in places.fours.chunks_exact(places.units.max(1)).enumerate() {
            let mut sums = [[0.0; LANES]; TOGETHER];
            for four in units {
                for (sum, place) in sums.iter_mut().zip(four) {
                    let Some(scores) = side.get(*place as usize) else { continue };
                    for lane in 0..LANES {
                        sum[lane] += scores[lane];
                    }
                }
            }
            for (configuration, sum) in (group * TOGETHER..places.count).zip(&sums) {
                let rows = out.iter_mut().skip(configuration).step_by(places.count);
                rows.zip(sum).for_each(|(out, sum)| *out = *sum);
            }
        }
    }
}
