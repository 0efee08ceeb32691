//! Largest excess with which a state between two supported points may still lead to a new point, by its cost.
//!
//! A point that costs x' must lie below the staircase, so its excess is below that of the next corner. To get
//! from x to x' a state pays `up` or `down` for each unit of cost. The cap at x is the largest corner once
//! that is paid; it is tabulated in buckets of equal width, rounded up.

use super::interval::{Span, State};

/// What the classes that have not entered yet can do.
#[derive(Clone, Copy, Debug)]
pub struct Rest {
    /// Least excess per cost added.
    pub up: f64,
    /// Least excess per cost taken away.
    pub down: f64,
    /// Least excess of any move.
    pub least: f64,
}

/// The caps for one staircase and one rest.
#[derive(Clone, Debug, Default)]
pub struct Ceiling {
    corners: Vec<f64>,
    /// Largest excess and largest loss in each bucket.
    inside: Vec<[f64; 2]>,
    /// At the ends of the interval, before what lies outside is paid.
    ends: [f64; 2],
    rates: [f64; 2],
    span: i64,
    per_cost: f64,
}

impl Ceiling {
    /// Tabulates the caps, all raised by `error`; returns the largest.
    pub fn fill(&mut self, stairs: &[State], span: &Span, rest: Rest, error: f64) -> f64 {
        let buckets = stairs.len().next_power_of_two().clamp(16, 2048);
        let per_cost = buckets as f64 / span.cost as f64;
        self.corners.clear();
        self.corners.resize(buckets, f64::NEG_INFINITY);
        let ends = stairs.iter().skip(1).map(|stair| stair.cost.min(span.cost)).chain([span.cost]);
        for (stair, end) in stairs.iter().zip(ends).filter(|(stair, end)| *end > 0 && stair.cost < *end) {
            let bucket = ((end as f64 * per_cost) as usize).min(buckets - 1);
            let excess = stair.loss + span.price * end as f64 + error;
            self.corners[bucket] = self.corners[bucket].max(excess);
        }
        (self.rates, self.span, self.per_cost) = ([rest.up, rest.down], span.cost, per_cost);
        self.inside.clear();
        self.inside.extend(self.corners.iter().map(|&corner| [corner, f64::INFINITY]));
        let (mut reach, step) = (f64::NEG_INFINITY, rest.up / per_cost);
        for (inside, corner) in self.inside.iter_mut().zip(&self.corners).rev() {
            inside[0] = inside[0].max(reach);
            reach = corner.max(reach - step);
        }
        self.ends[0] = reach;
        let (mut reach, step) = (f64::NEG_INFINITY, rest.down / per_cost);
        for (inside, corner) in self.inside.iter_mut().zip(&self.corners) {
            inside[0] = inside[0].max(reach);
            reach = corner.max(reach - step);
        }
        self.ends[1] = reach;
        self.corners.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// Caps the loss as well, by the states of a staircase that cost no more than the bucket.
    pub fn beat(&mut self, stairs: &[State]) {
        let mut stairs = stairs.iter().peekable();
        let (mut least, width) = (f64::INFINITY, 1.0 / self.per_cost);
        for (at, inside) in self.inside.iter_mut().enumerate() {
            let from = at as f64 * width * (1.0 - 1e-15);
            while let Some(stair) = stairs.next_if(|stair| stair.cost as f64 <= from) {
                least = stair.loss;
            }
            inside[1] = least;
        }
    }

    /// Whether a state of this cost and excess may lead to a new point.
    #[inline]
    pub fn admits(&self, cost: i64, loss: f64, excess: f64) -> bool {
        if cost < 0 {
            excess < self.ends[0] + self.rates[0] * cost as f64
        } else if cost >= self.span {
            excess < self.ends[1] - self.rates[1] * (cost - self.span) as f64
        } else {
            let bucket = (cost as f64 * self.per_cost) as usize;
            self.inside
                .get(bucket)
                .or(self.inside.last())
                .is_some_and(|&[cap, least]| excess < cap && loss < least)
        }
    }
}
