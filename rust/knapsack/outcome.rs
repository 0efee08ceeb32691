//! What a solver may spend, and what it says when it stops.

use std::time::{Duration, Instant};

/// Limits of one solve. A limit ends the search early and shows in the status, never in its meaning.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest number of search states; the same input and limit give the same answer on any machine.
    pub nodes: u64,
    /// Largest wall time.
    pub time: Option<Duration>,
}

impl Default for Limits {
    /// Fifty million states (a few seconds, under 2 GB) and no clock.
    fn default() -> Self {
        Self { nodes: 50_000_000, time: None }
    }
}

/// What is proven about the choice that is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// No choice has a smaller objective.
    Optimal,
    /// A limit ended the search: the choice fits the budgets, and `bound` says how much better one may be.
    Feasible,
    /// A limit ended the search before any choice that fits was found; none is proven impossible.
    Limit,
}

/// The answer of a solver.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What is proven.
    pub status: Status,
    /// Format of each unit; empty with `Status::Limit`.
    pub choice: Vec<u32>,
    /// Objective of the choice, summed anew from the raw losses; infinite with `Status::Limit`.
    pub objective: f64,
    /// No choice that fits the budgets has a smaller objective.
    pub bound: f64,
    /// Loss saved per unit of budget at the margin, for each constraint: the multipliers of the bound.
    pub prices: Vec<f64>,
    /// Search states visited.
    pub nodes: u64,
}

impl Outcome {
    /// Distance of objective and bound, relative to `scale` (the sum of the absolute chosen losses).
    pub fn gap(&self, scale: f64) -> f64 {
        match self.objective - self.bound {
            distance if distance <= 0.0 => 0.0,
            distance => distance / scale,
        }
    }
}

/// Counts states against the limits; the clock is read once in a few thousand states.
#[derive(Clone, Debug)]
pub struct Meter {
    /// States so far.
    pub nodes: u64,
    limit: u64,
    deadline: Option<Instant>,
    next_look: u64,
    spent: bool,
}

const LOOK_EVERY: u64 = 4096;

impl Meter {
    /// Starts counting now.
    pub fn new(limits: &Limits) -> Self {
        let deadline = limits.time.and_then(|time| Instant::now().checked_add(time));
        Self { nodes: 0, limit: limits.nodes, deadline, next_look: 0, spent: false }
    }

    /// States that are left.
    pub fn left(&self) -> u64 {
        self.limit.saturating_sub(self.nodes)
    }

    /// Counts `states` more and says whether a limit is passed; once passed it stays so.
    #[inline]
    pub fn spend(&mut self, states: u64) -> bool {
        self.nodes += states;
        if self.nodes >= self.next_look { self.look() } else { self.spent }
    }

    #[cold]
    fn look(&mut self) -> bool {
        let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        self.spent = self.spent || late || self.nodes > self.limit;
        self.next_look = (self.nodes + LOOK_EVERY).min(self.limit.saturating_add(1)).max(self.nodes + 1);
        self.spent
    }
}

/// A sum with one correction term (Neumaier), so that the order of the units hardly matters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    value: f64,
    lost: f64,
}

impl Sum {
    /// Adds one value.
    #[inline]
    pub fn add(&mut self, value: f64) {
        let next = self.value + value;
        self.lost += if self.value.abs() >= value.abs() {
            (self.value - next) + value
        } else {
            (value - next) + self.value
        };
        self.value = next;
    }

    /// The sum with one more value.
    #[inline]
    pub fn with(mut self, value: f64) -> f64 {
        self.add(value);
        self.value + self.lost
    }
}

/// Corrected sum of all values.
pub fn exact_sum(values: impl Iterator<Item = f64>) -> f64 {
    let mut sum = Sum::default();
    values.for_each(|value| sum.add(value));
    sum.with(0.0)
}
