//! Finds the Pareto points between two neighbouring supported points of one cost against the loss.
//!
//! The two ends lie on a line of slope -p. Counted from the cheaper end, with x the cost change of a choice,
//!
//!   loss change = excess - p * x,   excess = sum over classes of (loss change + p * cost change) >= 0.
//!
//! States that no other beats in cost and loss form a staircase (`stairs`); a new point must lie below it. Classes
//! enter one by one, those of few and large moves first, so that fine steps come last; a state is dropped when the
//! classes still outside, which move x at no less than so much excess per cost and only so far, cannot bring it
//! below a stair (`ceiling`; two phases after Ulungu and Teghem 1995).

use super::ceiling::{Ceiling, Rest};
use super::outcome::Meter;
use super::reduce::{Edge, Reduced};
use super::stairs::{Stairs, Traces};
use super::state::{Key, Shift, State};

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
    /// Smallest cost change over the square of the number of moves: the more of them, the finer their sums.
    size: f64,
    from: u32,
    to: u32,
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
/// Tests between two tables of caps: so many, and so many for each state.
const FIXED: i64 = 256;
const EACH: i64 = 12;
/// Ticks of a unit of loss, whose size is a power of two of at least twice the largest loss.
const TICKS: f64 = (1u64 << 61) as f64;

/// Buffers of the search, reused from interval to interval.
#[derive(Clone, Debug, Default)]
pub struct Interval<K> {
    moves: Vec<Move>,
    core: Vec<CoreClass>,
    rest: Vec<Rest>,
    /// States that no other beats, by rising cost and falling loss.
    stairs: Stairs<K>,
    merged: Stairs<K>,
    /// Points known from the start.
    known: Vec<(i64, f64)>,
    /// Cost and loss one move away from either end.
    single: Vec<(i64, f64)>,
    /// New states of the class that enters.
    fresh: Stairs<K>,
    /// New states of one move.
    shifted: Stairs<K>,
    ceiling: Ceiling,
    /// A unit of loss.
    unit: f64,
    /// What led to the states, kept from interval to interval.
    pub traces: Traces,
}

/// Points of an interval from its base up to, not including, the dearer end, by rising cost.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a, K> {
    keys: &'a [K],
    lows: &'a [u64],
    /// Loss of a tick, a power of two.
    tick: f64,
}

impl<'a, K: Key> Points<'a, K> {
    /// Cost and loss, counted from the base, and trace of each.
    #[inline(always)]
    pub fn iter(self) -> impl ExactSizeIterator<Item = (i64, f64, u32)> + 'a {
        let states = self.keys.iter().zip(self.lows).map(|(&key, &low)| State { key, low });
        states.map(move |state| (state.cost(), state.ticks() as f64 * self.tick, state.trace()))
    }
}

impl<K: Key> Interval<K> {
    /// Searches the interval above `base`; true when a limit is passed. The points are read with `points`.
    pub fn search(&mut self, reduced: &Reduced, base: &[u32], span: &Span, meter: &mut Meter) -> bool {
        self.select_core(reduced, base, span);
        self.stairs.restart();
        let (mut most, mut due) = (0.0, 0);
        for at in 0..self.core.len() {
            // Caps of an earlier class hold, if a little too high: new ones have to save more than they cost.
            let is_due = due <= 0;
            if is_due {
                most = self.ceiling.fill(self.stairs.keys(), &self.rest[at + 1]);
                due = FIXED + EACH * self.stairs.len() as i64;
            }
            let Some(seen) = self.enter(self.core[at], most) else { return true };
            if is_due {
                self.stairs.trim(span.cost, &self.ceiling);
            }
            due -= self.stairs.len() as i64 * i64::from(self.core[at].to - self.core[at].from);
            if meter.spend(1 + seen as u64) {
                return true;
            }
        }
        false
    }

    /// The points that were found.
    pub fn points(&mut self, span: &Span) -> Points<'_, K> {
        let (keys, lows) = self.stairs.settle(span.cost);
        Points { keys, lows, tick: self.unit / TICKS }
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
                let size = least as f64 / ((self.moves.len() - from) as f64).powi(2);
                self.core.push(CoreClass { size, from: from as u32, to: self.moves.len() as u32 });
                spread += largest;
            }
        }
        self.unit = 4.0 * f64::from_bits(spread.max(f64::MIN_POSITIVE).to_bits() >> 52 << 52);
        self.ceiling.count(1.0 / self.unit, 8.0 * EPS * spread);
        self.core.sort_unstable_by(|a, b| b.size.total_cmp(&a.size).then(a.from.cmp(&b.from)));
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
        self.single.clear();
        let mut dear = base.to_vec();
        span.edges.iter().for_each(|edge| dear[edge.class as usize] = edge.to);
        // Items of a class lie by rising cost: those too far from its own end the search.
        for (class, (&base, &dear)) in base.iter().zip(&dear).enumerate() {
            let items = reduced.items_of(class);
            for item in base as usize + 1..items.end {
                let step = step(reduced, span.price, base, item);
                if step.cost >= span.cost {
                    break;
                }
                if step.loss < 0.0 {
                    self.single.push((step.cost, step.loss));
                }
            }
            for item in (items.start..dear as usize).rev() {
                let step = step(reduced, span.price, dear, item);
                let (cost, loss) = (span.cost + step.cost, span.loss + step.loss);
                if cost <= 0 {
                    break;
                }
                if loss < 0.0 {
                    self.single.push((cost, loss));
                }
            }
        }
        self.single.sort_unstable_by_key(|&(cost, _)| cost);
        self.known.clear();
        self.known.push((0, 0.0));
        let mut least = 0.0f64;
        for &(cost, loss) in &self.single {
            if loss < least {
                least = loss;
                self.known.push((cost, loss));
            }
        }
    }

    /// Joins what the moves of a class make of the states into the staircase; no state above `most` is of use.
    /// Returns how many new states there were, or nothing when they cannot be numbered.
    fn enter(&mut self, class: CoreClass, most: f64) -> Option<usize> {
        let Self { moves, stairs, merged, fresh, shifted, traces, ceiling, unit, .. } = self;
        let mut seen = 0;
        fresh.clear(0);
        for step in moves[class.from as usize..class.to as usize].iter().filter(|step| step.excess < most) {
            let shift = Shift { cost: step.cost, ticks: (step.loss / *unit * TICKS) as i64, item: step.item };
            if !shifted.sift(stairs, shift, ceiling, traces) {
                return None;
            }
            seen += shifted.len();
            if fresh.len() == 0 {
                std::mem::swap(fresh, shifted);
            } else if shifted.len() > 0 {
                merged.join(fresh, shifted);
                std::mem::swap(fresh, merged);
            }
        }
        if seen > 0 {
            merged.join(stairs, fresh);
            std::mem::swap(stairs, merged);
        }
        Some(seen)
    }
}

#[inline]
fn step(reduced: &Reduced, price: f64, base: u32, item: usize) -> Move {
    let cost = reduced.cost[item] - reduced.cost[base as usize];
    let loss = reduced.loss[item] - reduced.loss[base as usize];
    Move { cost, loss, excess: (loss + price * cost as f64).max(0.0), item: item as u32 }
}
