//! The scale of each row that makes its error on a grid of integers small: `min over s of |w - s q|^2`.
//!
//! For codes q the best scale is `<w, q> / <q, q>` and the gain over the zero weight `<w, q>^2 / <q, q>`. All steps of
//! a ladder of scales are tried, with the values put into bins of a histogram; the best go on with the values
//! themselves by exchanges of codes and scale. Python holds the ladders, and the slow twin of this search.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::Misfit;
use super::lookup::Lookup;
use super::products::{largest, places, products};

/// Scales that are tried side by side.
const TOGETHER: usize = 4;
/// Steps of the lookup that cost as much as one point of one scale.
const LOOKUP: usize = 16;
/// Elements that a thread takes at once.
const LARGE: usize = 1 << 15;
const LARGEST_HALF: u32 = 128;
const MOST_BINS: usize = 1 << 16;
const MOST_EXCHANGES: usize = 1 << 10;

/// Scales to try, as parts of the largest magnitude of a row, and how the search goes on from the best.
#[derive(Clone)]
pub struct Ladder {
    steps: Vec<f32>,
    half: u32,
    bins: usize,
    starts: usize,
    exchanges: usize,
}

impl Ladder {
    /// Codes run from `-half` to `half - 1`; so many of the best steps go on, for so many exchanges.
    ///
    /// All steps are tried on a histogram of `bins` bins, on the values themselves where there are none.
    ///
    /// # Errors
    /// More codes or bins than there is room for, bins that are not in pairs, or a step that is 0 or not finite.
    pub fn new(
        steps: &[f32],
        half: u32,
        bins: usize,
        (starts, exchanges): (usize, usize),
    ) -> Result<Ladder, Misfit> {
        if !(1..=LARGEST_HALF).contains(&half) {
            return Err(Misfit("codes have 1 to 8 bits"));
        }
        if !bins.is_multiple_of(2) || bins > MOST_BINS {
            return Err(Misfit("bins come in pairs, at most 65536"));
        }
        if steps.iter().any(|step| !step.is_finite() || *step == 0.0 || step.recip().is_infinite()) {
            return Err(Misfit("every step is finite and not 0"));
        }
        Ok(Ladder {
            steps: steps.to_vec(),
            half,
            bins,
            starts: starts.min(steps.len()),
            exchanges: exchanges.min(MOST_EXCHANGES),
        })
    }

    /// The scale of each row of `columns` values, on so many threads (0: all cores).
    pub fn fit(&self, rows: &[f32], columns: usize, threads: usize) -> Vec<f32> {
        let columns = columns.max(1);
        let mut scales = vec![1.0; rows.len() / columns];
        let each = LARGE.div_ceil(columns);
        if threads != 1
            && scales.len() > each
            && let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(threads).build()
        {
            let parts = rows.par_chunks(each * columns).zip(scales.par_chunks_mut(each));
            pool.install(|| parts.for_each(|(rows, scales)| self.fit_here(rows, columns, scales)));
        } else {
            self.fit_here(rows, columns, &mut scales);
        }
        scales
    }

    fn fit_here(&self, rows: &[f32], columns: usize, scales: &mut [f32]) {
        Arch::new().dispatch(Fit { search: Search::new(self, columns), rows, columns, scales });
    }
}

struct Fit<'a> {
    search: Search<'a>,
    rows: &'a [f32],
    columns: usize,
    scales: &'a mut [f32],
}

impl WithSimd for Fit<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for (row, scale) in self.rows.chunks_exact(self.columns).zip(self.scales) {
            *scale = self.search.row(simd, row);
        }
    }
}

/// The search and its memory, which serves one row after the other.
struct Search<'a> {
    ladder: &'a Ladder,
    half: f32,
    half_bins: f32,
    /// One over each scale, in places of bins; without bins, of the row at hand.
    inverses: Vec<f32>,
    lookup: Option<Lookup>,
    places: Vec<f32>,
    found: Vec<(f64, f64)>,
}

impl<'a> Search<'a> {
    fn new(ladder: &'a Ladder, columns: usize) -> Search<'a> {
        let (half_bins, half) = (ladder.bins / 2, ladder.half);
        let unit = half_bins.max(1) as f32;
        let inverses: Vec<f32> = ladder.steps.iter().map(|step| (step * unit).recip()).collect();
        let tries = columns.saturating_mul(inverses.len());
        let cheaper = Lookup::steps(half, ladder.bins, inverses.len()).saturating_mul(LOOKUP) < tries;
        Search {
            ladder,
            half: half as f32,
            half_bins: half_bins as f32,
            lookup: (half_bins > 0 && cheaper).then(|| Lookup::new(&inverses, half, half_bins as u32)),
            inverses,
            places: vec![0.0; columns],
            found: Vec::new(),
        }
    }

    /// The scale of one row.
    #[inline(always)]
    fn row<S: Simd>(&mut self, simd: S, row: &[f32]) -> f32 {
        let largest = largest(simd, row);
        let plain = largest / (self.half - 0.5);
        let plain = if plain > 0.0 { plain } else { 1.0 };
        let top = if largest > 0.0 { largest } else { 1.0 };
        self.climb(simd, row, top);
        let (mut best, mut gain) = self.exchange(simd, row, plain);
        for _ in 0..self.ladder.starts {
            let Some(step) = self.next_start() else { break };
            let mut scale = top * step;
            for _ in 0..self.ladder.exchanges {
                let reached;
                (scale, reached) = self.exchange(simd, row, scale);
                if reached > gain {
                    (best, gain) = (scale, reached);
                }
            }
        }
        best
    }

    /// Fill `found` with the products of each step of the ladder.
    #[inline(always)]
    fn climb<S: Simd>(&mut self, simd: S, row: &[f32], top: f32) {
        let points = if self.ladder.bins > 0 {
            places(simd, row, top, self.half_bins, &mut self.places);
            self.places.as_slice()
        } else {
            for (inverse, step) in self.inverses.iter_mut().zip(&self.ladder.steps) {
                *inverse = (top * step).recip();
            }
            row
        };
        if let Some(lookup) = &mut self.lookup {
            lookup.products(points, &mut self.found);
            return;
        }
        self.found.clear();
        let (groups, rest) = self.inverses.as_chunks::<TOGETHER>();
        for group in groups {
            self.found.extend(products(simd, points, group, self.half));
        }
        for inverse in rest {
            self.found.extend(products(simd, points, &[*inverse], self.half));
        }
    }

    /// The step of the largest gain, the first among equals, which is then out of the race.
    fn next_start(&mut self) -> Option<f32> {
        let mut best: Option<(usize, f64)> = None;
        for (place, &(along, norm)) in self.found.iter().enumerate() {
            let gain = if norm > 0.0 { along * along / norm } else { 0.0 };
            if norm >= 0.0 && best.is_none_or(|(_, most)| gain > most) {
                best = Some((place, gain));
            }
        }
        let (place, _) = best?;
        if let Some(taken) = self.found.get_mut(place) {
            *taken = (0.0, -1.0);
        }
        self.ladder.steps.get(place).copied()
    }

    /// The best scale for the codes on the grid of `scale`, and its gain.
    #[inline(always)]
    fn exchange<S: Simd>(&self, simd: S, row: &[f32], scale: f32) -> (f32, f64) {
        let inverse = scale.recip();
        if !inverse.is_finite() {
            return (scale, 0.0);
        }
        let [(along, norm)] = products(simd, row, &[inverse], self.half);
        let fitted = (along / norm) as f32;
        if norm > 0.0 && fitted != 0.0 { (fitted, along * along / norm) } else { (scale, 0.0) }
    }
}
