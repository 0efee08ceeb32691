//! Finds the Pareto points between two neighbouring supported points of one cost against the loss.
//!
//! The two ends lie on a line of slope -p. Counted from the cheaper end, with x the cost change of a choice,
//!
//!   loss change = excess - p * x,   excess = sum over classes of (loss change + p * cost change) >= 0.
//!
//! States that no other beats in cost and loss form a staircase; a new point must lie below it. Classes enter
//! one by one, those whose smallest move is largest first, so that fine steps come last; a state is dropped
//! when the classes still outside, which move x at no less than so much excess per cost and only so far,
//! cannot bring it below a stair (`ceiling`; two phases after Ulungu and Teghem 1995).

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
    /// Smallest cost change.
    least: u64,
    from: u32,
    to: u32,
}

/// A choice, counted from the base.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// Cost change in grid steps.
    pub cost: i64,
    /// Loss change.
    pub loss: f64,
    /// Last entry of its trace plus one; 0 is the base.
    pub trace: u32,
}

impl State {
    /// The base of an interval.
    const BASE: Self = Self { cost: 0, loss: 0.0, trace: 0 };

    #[inline]
    fn after(&self, step: &Move) -> Self {
        Self { cost: self.cost + step.cost, loss: self.loss + step.loss, trace: self.trace }
    }
}

/// One step of a trace.
#[derive(Clone, Copy, Debug)]
struct Step {
    before: u32,
    item: u32,
}

/// Steps that led to the states of all intervals so far.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    steps: Vec<Step>,
}

impl Traces {
    /// Reduced items of a state that differ from the base of its interval.
    pub fn moves(&self, mut trace: u32) -> impl Iterator<Item = u32> {
        std::iter::from_fn(move || {
            let step = self.steps.get((trace as usize).checked_sub(1)?)?;
            trace = step.before;
            Some(step.item)
        })
    }

    /// The trace that goes on from `before`.
    #[inline]
    fn add(&mut self, before: u32, item: u32) -> u32 {
        self.steps.push(Step { before, item });
        self.steps.len() as u32
    }
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

impl Span<'_> {
    #[inline]
    fn holds(&self, cost: i64) -> bool {
        cost >= 0 && cost < self.cost
    }
}

const EPS: f64 = f64::EPSILON;

/// Fresh states of one move, by rising cost: those still to be joined.
#[derive(Clone, Copy, Debug)]
struct Run {
    cost: i64,
    loss: f64,
    from: usize,
    to: usize,
}

/// Buffers of the search, reused from interval to interval.
#[derive(Clone, Debug, Default)]
pub struct Interval {
    moves: Vec<Move>,
    core: Vec<CoreClass>,
    rest: Vec<Rest>,
    /// States that no other beats, by rising cost and falling loss.
    stairs: Vec<State>,
    merged: Vec<State>,
    /// Points known from the start.
    known: Vec<State>,
    /// States of the class that enters, each with the item that led to it.
    fresh: Vec<(State, u32)>,
    /// Where the states of each move lie in `fresh`.
    runs: Vec<Run>,
    passed: Vec<u32>,
    ceiling: Ceiling,
    /// What led to the states, kept from interval to interval.
    pub traces: Traces,
}

impl Interval {
    /// Searches the interval above `base`; true when a limit is passed. The points are read with `points`.
    pub fn search(&mut self, reduced: &Reduced, base: &[u32], span: &Span, meter: &mut Meter) -> bool {
        self.select_core(reduced, base, span);
        self.stairs.clear();
        self.stairs.push(State::BASE);
        let mut most = 0.0;
        for at in 0..self.core.len() {
            // Caps of an earlier class hold, if a little too high: every second class saves more than it costs.
            if at % 2 == 0 {
                most = self.ceiling.fill(&self.stairs, &self.rest[at + 1]);
            }
            self.enter(self.core[at], span, most);
            self.raise_stairs(span);
            let is_full = self.traces.steps.len() >= u32::MAX as usize - self.fresh.len();
            if meter.spend(1 + self.fresh.len() as u64) || is_full {
                return true;
            }
        }
        false
    }

    /// Points from the base up to, not including, the dearer end: by rising cost and falling loss.
    pub fn points(&self, span: &Span) -> impl Iterator<Item = &State> {
        self.stairs.iter().filter(move |state| span.holds(state.cost))
    }

    /// Keeps the moves that may lead to a point and orders their classes.
    fn select_core(&mut self, reduced: &Reduced, base: &[u32], span: &Span) {
        self.moves.clear();
        self.core.clear();
        self.seek_single_moves(reduced, base, span);
        let most = self.ceiling.begin(&self.known, span);
        let mut spread = span.price * span.cost as f64;
        for (class, &base) in base.iter().enumerate() {
            let from = self.moves.len();
            let (mut least, mut largest) = (u64::MAX, 0.0f64);
            for item in reduced.items_of(class).filter(|&item| item != base as usize) {
                let step = step(reduced, span.price, base, item);
                let size = 2.0 * span.price * step.cost.unsigned_abs() as f64 + step.excess;
                if step.excess - 4.0 * EPS * size > most {
                    continue;
                }
                least = least.min(step.cost.unsigned_abs());
                largest = largest.max(size);
                self.moves.push(step);
            }
            if self.moves.len() > from {
                self.core.push(CoreClass { least, from: from as u32, to: self.moves.len() as u32 });
                spread += largest;
            }
        }
        self.ceiling.allow(8.0 * EPS * spread);
        self.core.sort_unstable_by(|a, b| b.least.cmp(&a.least).then(a.from.cmp(&b.from)));
        self.fill_rest();
    }

    fn fill_rest(&mut self) {
        self.rest.clear();
        self.rest.resize(self.core.len() + 1, Rest { rates: [f64::INFINITY; 2], reach: [0; 2] });
        for at in (0..self.core.len()).rev() {
            let (mut rest, mut reach) = (self.rest[at + 1], [0; 2]);
            for step in &self.moves[self.core[at].from as usize..self.core[at].to as usize] {
                let (side, size) = (usize::from(step.cost < 0), step.cost.abs());
                rest.rates[side] = rest.rates[side].min(step.excess / size as f64);
                reach[side] = reach[side].max(size);
            }
            rest.reach = [rest.reach[0] + reach[0], rest.reach[1] + reach[1]];
            self.rest[at] = rest;
        }
    }

    /// Collects the base and the points one move away from either end.
    fn seek_single_moves(&mut self, reduced: &Reduced, base: &[u32], span: &Span) {
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
        self.known.clear();
        self.known.push(State::BASE);
        let mut least = 0.0f64;
        for &state in &self.merged {
            if state.loss < least {
                least = state.loss;
                self.known.push(state);
            }
        }
    }

    /// Collects what the moves of a class make of the states; no state above `most` is of use.
    fn enter(&mut self, class: CoreClass, span: &Span, most: f64) {
        let Self { moves, stairs, fresh, runs, passed, ceiling, .. } = self;
        fresh.clear();
        runs.clear();
        passed.resize(stairs.len().max(passed.len()), 0);
        let (limits, shift) = ceiling.inside();
        let moves = &moves[class.from as usize..class.to as usize];
        for step in moves.iter().filter(|step| step.excess < most) {
            let first = fresh.len();
            let from = stairs.partition_point(|state| state.cost + step.cost < 0);
            let to = from + stairs[from..].partition_point(|state| state.cost + step.cost < span.cost);
            let outside = |states: &[State], fresh: &mut Vec<(State, u32)>| {
                let states = states.iter().map(|state| state.after(step));
                let states = states.filter(|state| ceiling.admits(state.cost, state.loss));
                fresh.extend(states.map(|state| (state, step.item)));
            };
            outside(&stairs[..from], fresh);
            // Without a branch on the outcome: one state in six passes.
            let (mut n, passed) = (0, passed.as_mut_slice());
            for (at, state) in stairs[from..to].iter().enumerate() {
                let bucket = ((state.cost + step.cost) >> shift) as usize;
                let limit = limits.get(bucket).copied().unwrap_or(f64::NEG_INFINITY);
                passed[n] = (from + at) as u32;
                n += usize::from(state.loss + step.loss < limit);
            }
            fresh.extend(passed[..n].iter().map(|&at| (stairs[at as usize].after(step), step.item)));
            outside(&stairs[to..], fresh);
            if let Some((State { cost, loss, .. }, _)) = fresh.get(first) {
                runs.push(Run { cost: *cost, loss: *loss, from: first, to: fresh.len() });
            }
        }
    }

    /// Joins the fresh states into the staircase; forgets those outside the interval that cannot come back.
    fn raise_stairs(&mut self, span: &Span) {
        let Self { stairs, merged, fresh, runs, traces, ceiling, .. } = self;
        if fresh.is_empty() {
            return;
        }
        merged.clear();
        let mut least = f64::INFINITY;
        let mut old = stairs.iter().peekable();
        let keep = |state: &State, least: &mut f64, merged: &mut Vec<State>| {
            if state.loss < *least {
                *least = state.loss;
                if span.holds(state.cost) || ceiling.admits(state.cost, state.loss) {
                    merged.push(*state);
                }
            }
        };
        while let Some((state, item)) = next(runs, fresh) {
            while let Some(ahead) =
                old.next_if(|old| old.cost < state.cost || (old.cost == state.cost && old.loss <= state.loss))
            {
                keep(ahead, &mut least, merged);
            }
            if state.loss < least {
                least = state.loss;
                let trace = traces.add(state.trace, item);
                merged.push(State { trace, ..state });
            }
        }
        old.for_each(|ahead| keep(ahead, &mut least, merged));
        std::mem::swap(stairs, merged);
    }
}

/// Takes the cheapest state of all runs, of equal ones that of least loss.
#[inline]
fn next(runs: &mut Vec<Run>, fresh: &[(State, u32)]) -> Option<(State, u32)> {
    let mut at = 0;
    let mut least = *runs.first()?;
    for (other, run) in runs.iter().enumerate().skip(1) {
        if run.cost < least.cost || (run.cost == least.cost && run.loss < least.loss) {
            (at, least) = (other, *run);
        }
    }
    let run = &mut runs[at];
    run.from += 1;
    if run.from < run.to {
        let (State { cost, loss, .. }, _) = fresh[run.from];
        (run.cost, run.loss) = (cost, loss);
    } else {
        runs.swap_remove(at);
    }
    fresh.get(least.from).copied()
}

#[inline]
fn step(reduced: &Reduced, price: f64, base: u32, item: usize) -> Move {
    let cost = reduced.cost[item] - reduced.cost[base as usize];
    let loss = reduced.loss[item] - reduced.loss[base as usize];
    Move { cost, loss, excess: (loss + price * cost as f64).max(0.0), item: item as u32 }
}
