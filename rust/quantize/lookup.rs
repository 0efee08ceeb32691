//! Inner products of a histogram with the codes of its bins, from sums over all bins above a place.
//!
//! The codes of a scale rise with the place k of the bin, one step at each threshold t_j, the lowest place whose code
//! is j or more. With N_j the count and M_j the sum of places from t_j on, over the codes j above the lowest one:
//! `sum k q = low M + sum_j M_j` and `sum q q = low^2 N + sum_j (2 j - 1) N_j`, all in integers. A negative scale
//! turns the places round: then `high M - sum_j M_j` and `high^2 N - sum_j (2 j - 1) N_j`, with sums above -t_j.

use super::products::INTEGERS;

/// The thresholds of some scales, the same for all rows.
pub struct Lookup {
    half_bins: i64,
    low: i64,
    high: i64,
    /// Whether each scale is negative, and its thresholds as places in `above`.
    scales: Vec<(bool, Vec<u32>)>,
    /// Count and sum of places of all bins from one on.
    above: Vec<(i64, i64)>,
    counts: Vec<u32>,
}

impl Lookup {
    /// For codes from `-half` to `half - 1` of places times each of `inverses`, with `half_bins` bins on either side.
    pub fn new(inverses: &[f32], half: u32, half_bins: u32) -> Lookup {
        let (half, half_bins) = (i64::from(half), i64::from(half_bins));
        let (low, high) = (-half, half - 1);
        let bins = 2 * half_bins as usize + 1;
        let of_scale = |&inverse: &f32| {
            let (negative, size) = (inverse < 0.0, inverse.abs());
            let place = |code| {
                let place = threshold(code, size, half_bins);
                (if negative { 1 - place } else { place } + half_bins).clamp(0, bins as i64) as u32
            };
            (negative, (low + 1..=high).map(place).collect())
        };
        let scales = inverses.iter().map(of_scale).collect();
        Lookup { half_bins, low, high, scales, above: vec![(0, 0); bins + 1], counts: vec![0; bins] }
    }

    /// How many steps one row of `columns` points takes.
    pub fn steps(half: u32, bins: usize, scales: usize) -> usize {
        bins.saturating_mul(2).saturating_add(scales.saturating_mul(2 * half as usize))
    }

    /// `sum k q` and `sum q q` of points at `places`, for each scale.
    pub fn products(&mut self, places: &[f32], out: &mut Vec<(f64, f64)>) {
        self.count(places);
        let (count, sum) = self.above.first().copied().unwrap_or_default();
        let (low, high) = (self.low, self.high);
        out.clear();
        out.extend(self.scales.iter().map(|(negative, thresholds)| {
            let (mut along, mut norm, mut weight) = (0, 0, 2 * low + 1);
            for &place in thresholds {
                let (count, sum) = self.above.get(place as usize).copied().unwrap_or_default();
                along += sum;
                norm += weight * count;
                weight += 2;
            }
            let (along, norm) = if *negative {
                (high * sum - along, high * high * count - norm)
            } else {
                (low * sum + along, low * low * count + norm)
            };
            (along as f64, norm as f64)
        }));
    }

    /// Fill `above` from the places of the points.
    fn count(&mut self, places: &[f32]) {
        self.counts.fill(0);
        // A place that is added to INTEGERS stands in the last bits of the sum.
        let first = INTEGERS.to_bits().wrapping_sub(self.half_bins as u32);
        for place in places {
            let bin = (place + INTEGERS).to_bits().wrapping_sub(first);
            if let Some(count) = self.counts.get_mut(bin as usize) {
                *count += 1;
            }
        }
        let (mut count, mut sum, mut place) = (0, 0, self.half_bins);
        for (above, &here) in self.above.iter_mut().rev().skip(1).zip(self.counts.iter().rev()) {
            count += i64::from(here);
            sum += place * i64::from(here);
            place -= 1;
            *above = (count, sum);
        }
    }
}

/// The lowest place from `-bins` to `bins + 1` whose code `round(place * inverse)`, half to even, is `code` or more.
fn threshold(code: i64, inverse: f32, bins: i64) -> i64 {
    let enough = |place: i64| (place as f32 * inverse).round_ties_even() >= code as f32;
    let guess = ((code as f64 - 0.5) / f64::from(inverse)).ceil();
    let guess = guess.clamp(-(bins as f64), bins as f64 + 1.0) as i64;
    [guess - 1, guess].into_iter().find(|place| enough(*place)).unwrap_or(guess + 1).clamp(-bins, bins + 1)
}
