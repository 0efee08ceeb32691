//! Finds the Pareto points between two neighbouring supported points of one cost against the loss.
//!
//! The two ends lie on a line of slope -p. Counted from the cheaper end, with x the cost change of a choice,
//!
//!   loss change = excess - p * x,   excess = sum over classes of (loss change + p * cost change) >= 0.
//!
//! States that no other beats in cost and loss form a staircase; a new point must lie below it, which caps its
//! excess by the corners of the stairs between the ends. Classes enter one by one, cheapest first, as in
//! `expand`; a state is dropped when the classes still outside, which move x at no less than `up` or `down`
//! excess per cost, cannot bring it below a corner (`ceiling`; two phases after Ulungu and Teghem 1995).

use super::ceiling::{Ceiling, Rest};
use super::outcome::Meter;
use super::reduce::{Edge, Reduced};

/// A step away from the base item of a class.
#[derive(Clone, Copy, Debug)]
struct Move {
    cost: i64,
    loss: f64,
    excess: f64,
    item: u32,
}

#[derive(Clone, Copy, Debug)]
struct CoreClass {
    /// Largest cost change.
    reach: u64,
    from: u32,
    to: u32,
}

/// A choice, counted from the base: its cost, its loss and the last entry of its trace plus one.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// Cost change in grid steps.
    pub cost: i64,
    /// Loss change.
    pub loss: f64,
    trace: u32,
}

impl State {
    #[inline]
    fn excess(&self, price: f64) -> f64 {
        self.loss + price * self.cost as f64
    }
}

#[derive(Clone, Copy, Debug)]
struct Step {
    before: u32,
    item: u32,
}

/// One interval: where it starts and what it spans.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// Hull edges from the cheaper to the dearer end.
    pub edges: &'a [Edge],
    /// Loss saved per cost along the line.
    pub price: f64,
    /// Cost of the dearer end, positive.
    pub cost: i64,
    /// Loss change of the dearer end.
    pub loss: f64,
}

const EPS: f64 = f64::EPSILON;

/// Buffers of the search, reused from interval to interval.
#[derive(Clone, Debug, Default)]
pub struct Interval {
    moves: Vec<Move>,
    core: Vec<CoreClass>,
    rest: Vec<Rest>,
    /// States that the classes outside may still improve.
    active: Vec<State>,
    /// All states that no other beats, by rising cost and falling loss.
    stairs: Vec<State>,
    /// States of the class that enters, each with the item that led to it.
    fresh: Vec<(State, u32)>,
    /// Points known to exist that no visited state beats yet.
    unseen: Vec<State>,
    known: Vec<State>,
    merged: Vec<State>,
    steps: Vec<Step>,
    ceiling: Ceiling,
    error: f64,
}

impl Interval {
    /// Searches the interval above `base`; true when a limit is passed. The points are read with `points`.
    pub fn search(&mut self, reduced: &Reduced, base: &[u32], span: &Span, meter: &mut Meter) -> bool {
        self.steps.clear();
        self.select_core(reduced, base, span);
        self.active.clear();
        self.active.push(State { cost: 0, loss: 0.0, trace: 0 });
        let mut most = 0.0;
        for at in 0..self.core.len() {
            let rest = self.rest[at + 1];
            // While the staircase stays as it was, caps of an earlier class hold, if a little too high.
            if at % 4 == 0 || !self.fresh.is_empty() {
                self.fill_known();
                let known = if self.unseen.is_empty() { &self.stairs } else { &self.known };
                most = self.ceiling.fill(known, span, rest, self.error);
                self.ceiling.beat(&self.stairs);
            }
            self.enter(self.core[at], span.price, most);
            self.raise_stairs();
            self.select_active(span, most - rest.least);
            if meter.spend(1 + self.fresh.len() as u64) {
                return true;
            }
        }
        false
    }

    /// Points from the base up to, not including, the dearer end: by rising cost and falling loss.
    pub fn points(&self, span: &Span) -> impl Iterator<Item = &State> {
        self.stairs.iter().filter(move |state| state.cost >= 0 && state.cost < span.cost)
    }

    /// Writes the reduced items of a point that differ from the base.
    pub fn write_moves(&self, point: &State, moves: &mut Vec<u32>) {
        let mut trace = point.trace;
        while trace > 0 {
            let step = self.steps[trace as usize - 1];
            moves.push(step.item);
            trace = step.before;
        }
    }

    /// Keeps the moves that may lead to a point and orders their classes by excess per cost.
    fn select_core(&mut self, reduced: &Reduced, base: &[u32], span: &Span) {
        self.moves.clear();
        self.core.clear();
        let most = self.seek_single_moves(reduced, base, span);
        let mut spread = span.price * span.cost as f64;
        for (class, &base) in base.iter().enumerate() {
            let from = self.moves.len();
            let (mut reach, mut largest) = (0, 0.0f64);
            for item in reduced.items_of(class).filter(|&item| item != base as usize) {
                let step = step(reduced, span.price, base, item);
                let size = 2.0 * span.price * step.cost.unsigned_abs() as f64 + step.excess;
                if step.excess - 4.0 * EPS * size > most {
                    continue;
                }
                reach = reach.max(step.cost.unsigned_abs());
                largest = largest.max(size);
                self.moves.push(step);
            }
            if self.moves.len() > from {
                self.core.push(CoreClass { reach, from: from as u32, to: self.moves.len() as u32 });
                spread += largest;
            }
        }
        self.error = 8.0 * EPS * spread;
        self.stairs.truncate(1);
        self.core.sort_unstable_by(|a, b| b.reach.cmp(&a.reach).then(a.from.cmp(&b.from)));
        self.rest.clear();
        self.rest
            .resize(self.core.len() + 1, Rest { up: span.price, down: f64::INFINITY, least: f64::INFINITY });
        for at in (0..self.core.len()).rev() {
            let mut rest = self.rest[at + 1];
            for step in &self.moves[self.core[at].from as usize..self.core[at].to as usize] {
                let rate = step.excess / step.cost.unsigned_abs() as f64;
                if step.cost > 0 {
                    rest.up = rest.up.min(rate)
                } else {
                    rest.down = rest.down.min(rate)
                }
                rest.least = rest.least.min(step.excess);
            }
            self.rest[at] = rest;
        }
    }

    /// Begins the staircase with the base and collects the points one move away from either end; returns the
    /// largest excess of a point below these.
    fn seek_single_moves(&mut self, reduced: &Reduced, base: &[u32], span: &Span) -> f64 {
        self.merged.clear();
        let mut dear = base.to_vec();
        span.edges.iter().for_each(|edge| dear[edge.class as usize] = edge.to);
        for (items, from, saved) in [(base, 0, 0.0), (&dear, span.cost, span.loss)] {
            for (class, &base) in items.iter().enumerate() {
                for item in reduced.items_of(class) {
                    let step = step(reduced, span.price, base, item);
                    let (cost, loss) = (from + step.cost, saved + step.loss);
                    if cost > 0 && cost < span.cost && loss < 0.0 {
                        self.merged.push(State { cost, loss, trace: 0 });
                    }
                }
            }
        }
        self.merged.sort_unstable_by(|a, b| a.cost.cmp(&b.cost).then(a.loss.total_cmp(&b.loss)));
        self.stairs.clear();
        self.stairs.push(State { cost: 0, loss: 0.0, trace: 0 });
        self.unseen.clear();
        let (mut most, mut least) = (0.0f64, 0.0f64);
        for &state in &self.merged {
            if state.loss < least {
                most = most.max(least + span.price * state.cost as f64);
                least = state.loss;
                self.unseen.push(state);
            }
        }
        most.max(least + span.price * span.cost as f64)
    }

    /// The staircase with the unseen points in it; forgets those that it has reached.
    fn fill_known(&mut self) {
        let Self { stairs, unseen, known, error, .. } = self;
        known.clear();
        if unseen.is_empty() {
            return;
        }
        let mut from = 0;
        unseen.retain(|&state| {
            let to = from + stairs[from..].partition_point(|old| old.cost <= state.cost);
            known.extend_from_slice(&stairs[from..to]);
            from = to;
            let is_new = known.last().is_none_or(|last| last.loss > state.loss + *error);
            if is_new {
                known.push(state);
                from += stairs[from..].partition_point(|old| old.loss >= state.loss);
            }
            is_new
        });
        known.extend_from_slice(&stairs[from..]);
    }

    /// Collects what the moves of a class make of the active states; no state above `most` is of use.
    fn enter(&mut self, class: CoreClass, price: f64, most: f64) {
        self.fresh.clear();
        for step in &self.moves[class.from as usize..class.to as usize] {
            let room = most - step.excess;
            for state in &self.active {
                let (cost, loss) = (state.cost + step.cost, state.loss + step.loss);
                let excess = state.excess(price);
                if excess < room && self.ceiling.admits(cost, loss, excess + step.excess) {
                    self.fresh.push((State { cost, loss, trace: state.trace }, step.item));
                }
            }
        }
        self.fresh.sort_by(|(a, _), (b, _)| a.cost.cmp(&b.cost).then(a.loss.total_cmp(&b.loss)));
    }

    /// Joins the fresh states into the staircase.
    fn raise_stairs(&mut self) {
        if self.fresh.is_empty() {
            return;
        }
        self.merged.clear();
        let mut from = 0;
        for &(mut state, item) in &self.fresh {
            let ahead = |old: &State| (old.cost, old.loss) <= (state.cost, state.loss);
            let to = from + self.stairs[from..].partition_point(ahead);
            self.merged.extend_from_slice(&self.stairs[from..to]);
            from = to;
            let beaten = self.merged.last().filter(|last| last.loss <= state.loss);
            if beaten.is_some() {
                continue;
            }
            self.steps.push(Step { before: state.trace, item });
            state.trace = self.steps.len() as u32;
            self.merged.push(state);
            from += self.stairs[from..].partition_point(|old| old.loss >= state.loss);
        }
        self.merged.extend_from_slice(&self.stairs[from..]);
        std::mem::swap(&mut self.stairs, &mut self.merged);
    }

    /// Lists the states that another move may improve, of excess below `room`; forgets those outside that it cannot.
    fn select_active(&mut self, span: &Span, room: f64) {
        let Self { stairs, active, ceiling, .. } = self;
        active.clear();
        stairs.retain(|state| {
            let excess = state.excess(span.price);
            let is_active = excess < room && ceiling.admits(state.cost, f64::NEG_INFINITY, excess);
            if is_active {
                active.push(*state);
            }
            is_active || (state.cost >= 0 && state.cost < span.cost)
        });
    }
}

#[inline]
fn step(reduced: &Reduced, price: f64, base: u32, item: usize) -> Move {
    let cost = reduced.cost[item] - reduced.cost[base as usize];
    let loss = reduced.loss[item] - reduced.loss[base as usize];
    Move { cost, loss, excess: (loss + price * cost as f64).max(0.0), item: item as u32 }
}
