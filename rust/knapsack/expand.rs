//! Closes the gap of one-budget problems: dynamic programming over a core of classes that grows outwards
//! from the relaxed solution, with dominance and bounds (after Pisinger 1995).
//!
//! With price `p` and relaxed value `D`, every choice has
//!
//!   loss = D + sum over classes of excess + p * slack,   excess = (loss change) + p * (cost change) >= 0
//!
//! counted from the base item of its class. So a choice better than the incumbent, `D + cut`, has excesses
//! below `cut`; most classes keep only their base item and never enter the core. A state is a choice inside the
//! classes entered so far: (slack, excess). The classes still outside move the slack at no less than `up`
//! (spending it) or `down` (winning it back) excess per cost, which bounds what a state can become. All
//! quantities are non-negative and small, so rounding stays far below the gap; `error` bounds it.

use super::bound::Relaxation;
use super::outcome::Meter;
use super::reduce::Reduced;

/// A step away from the base item of a class.
#[derive(Clone, Copy, Debug)]
struct Move {
    cost: i64,
    excess: f64,
    item: u32,
}

/// A class with at least one move that may improve the incumbent.
#[derive(Clone, Copy, Debug)]
struct CoreClass {
    rate: f64,
    from: u32,
    to: u32,
}

/// A choice inside the entered classes, all others at their base.
#[derive(Clone, Copy, Debug)]
struct State {
    slack: i64,
    excess: f64,
    /// Last entry of its trace plus one; 0 is the base everywhere.
    trace: u32,
}

/// One step of a trace.
#[derive(Clone, Copy, Debug)]
struct Step {
    before: u32,
    item: u32,
}

/// Where the source of one merged list stands.
#[derive(Clone, Copy, Debug)]
struct Head {
    at: usize,
    slack: i64,
    excess: f64,
}

/// Buffers of the search, reused from call to call.
#[derive(Clone, Debug, Default)]
pub struct Expansion {
    moves: Vec<Move>,
    core: Vec<CoreClass>,
    up: Vec<f64>,
    down: Vec<f64>,
    now: Vec<State>,
    next: Vec<State>,
    heads: Vec<Head>,
    steps: Vec<Step>,
    best: Best,
    /// Whether equal losses are compared by cost.
    thrifty: bool,
    error: f64,
}

/// The incumbent: its value above `D` and where it comes from.
#[derive(Clone, Copy, Debug, Default)]
struct Best {
    value: f64,
    slack: i64,
    /// Trace, as in `State`.
    trace: u32,
    /// Up to two single moves, used before the search has states.
    single: [Option<u32>; 2],
}

/// How far the incumbent may be from the optimum.
#[derive(Clone, Copy, Debug)]
pub struct Closed {
    /// Incumbent minus proven bound; 0 when the search is complete.
    pub distance: f64,
    /// Bound on the rounding error of `distance`.
    pub error: f64,
}

const EPS: f64 = f64::EPSILON;

impl Expansion {
    /// Searches from `relaxed`, turning its base into the best choice found. With `thrifty`, choices of equal
    /// loss are compared by cost as well.
    pub fn close(
        &mut self,
        reduced: &Reduced,
        relaxed: &mut Relaxation,
        thrifty: bool,
        meter: &mut Meter,
    ) -> Closed {
        self.thrifty = thrifty;
        self.steps.clear();
        self.error = 0.0;
        self.seek_single_moves(reduced, relaxed);
        self.select_core(reduced, relaxed);
        let distance = self.expand(relaxed.price, relaxed.slack, meter);
        self.write_best(reduced, relaxed);
        Closed { distance, error: self.error }
    }

    /// First incumbent: the base, one move from it, or the split edge with one move that makes room for it.
    fn seek_single_moves(&mut self, reduced: &Reduced, relaxed: &Relaxation) {
        let Relaxation { price, ref base, slack, split } = *relaxed;
        self.best = Best { value: price * slack as f64, slack, trace: 0, single: [None; 2] };
        let split_slack = split.map_or(i64::MIN, |(class, to)| {
            slack - (reduced.cost[to as usize] - reduced.cost[base[class as usize] as usize])
        });
        let split_class = split.map_or(u32::MAX, |(class, _)| class);
        for (class, &base) in base.iter().enumerate() {
            for item in reduced.items_of(class) {
                let step = step(reduced, price, base, item);
                if step.cost <= slack {
                    let value = step.excess + price * (slack - step.cost) as f64;
                    self.offer(value, slack - step.cost, [Some(item as u32), None]);
                }
                if step.cost <= split_slack && class as u32 != split_class {
                    let value = step.excess + price * (split_slack - step.cost) as f64;
                    let moves = [Some(item as u32), split.map(|(_, to)| to)];
                    self.offer(value, split_slack - step.cost, moves);
                }
            }
        }
    }

    #[inline]
    fn offer(&mut self, value: f64, slack: i64, single: [Option<u32>; 2]) {
        if value < self.best.value {
            self.best = Best { value, slack, trace: 0, single };
        }
    }

    /// Keeps the moves that may still improve the incumbent and orders their classes by excess per cost.
    fn select_core(&mut self, reduced: &Reduced, relaxed: &Relaxation) {
        let price = relaxed.price;
        self.moves.clear();
        self.core.clear();
        let mut spread = price * relaxed.slack as f64;
        for (class, &base) in relaxed.base.iter().enumerate() {
            let from = self.moves.len();
            let (mut rate, mut largest) = (f64::INFINITY, 0.0f64);
            for item in reduced.items_of(class) {
                let step = step(reduced, price, base, item);
                if step.cost == 0 {
                    continue;
                }
                let size = 2.0 * price * step.cost.unsigned_abs() as f64 + step.excess;
                if self.is_beaten(step.excess - 4.0 * EPS * size) {
                    continue;
                }
                rate = rate.min(step.excess / step.cost.unsigned_abs() as f64);
                largest = largest.max(size);
                self.moves.push(step);
            }
            if self.moves.len() > from {
                self.core.push(CoreClass { rate, from: from as u32, to: self.moves.len() as u32 });
                spread += largest;
            }
        }
        self.error = 8.0 * EPS * spread + EPS * self.core.len() as f64 * self.best.value;
        self.core.sort_unstable_by(|a, b| a.rate.total_cmp(&b.rate).then(a.from.cmp(&b.from)));
        self.fill_rates(price);
    }

    fn fill_rates(&mut self, price: f64) {
        let n = self.core.len();
        self.up.clear();
        self.up.resize(n + 1, price);
        self.down.clear();
        self.down.resize(n + 1, f64::INFINITY);
        for at in (0..n).rev() {
            let (mut up, mut down) = (self.up[at + 1], self.down[at + 1]);
            let class = self.core[at];
            for step in &self.moves[class.from as usize..class.to as usize] {
                let rate = step.excess / step.cost.unsigned_abs() as f64;
                if step.cost > 0 { up = up.min(rate) } else { down = down.min(rate) }
            }
            (self.up[at], self.down[at]) = (up, down);
        }
    }

    /// Whether nothing of lower bound `value` is wanted any more.
    #[inline]
    fn is_beaten(&self, value: f64) -> bool {
        if self.thrifty { value > self.best.value + self.error } else { value >= self.best.value }
    }

    /// Enters the core class by class; returns how far the incumbent may be from the optimum.
    fn expand(&mut self, price: f64, slack: i64, meter: &mut Meter) -> f64 {
        self.now.clear();
        self.now.push(State { slack, excess: 0.0, trace: 0 });
        for at in 0..self.core.len() {
            if self.now.is_empty() {
                break;
            }
            if self.enter(at, price, meter) {
                let rates = (self.up[at], self.down[at]);
                let least = self.now.iter().map(|state| floor(state.slack, state.excess, rates));
                return (self.best.value - least.fold(f64::INFINITY, f64::min)).max(0.0);
            }
            std::mem::swap(&mut self.now, &mut self.next);
        }
        0.0
    }

    /// Merges one class into the states, by falling slack, without the dominated and the beaten; true when a
    /// limit is passed, which leaves `now` as it was.
    fn enter(&mut self, at: usize, price: f64, meter: &mut Meter) -> bool {
        let class = self.core[at];
        let rates = (self.up[at + 1], self.down[at + 1]);
        let n_moves = (class.to - class.from) as usize;
        self.next.clear();
        self.heads.clear();
        for source in 0..=n_moves {
            let head = self.advance(class.from as usize, source, 0, rates);
            self.heads.push(head);
        }
        let mut least = f64::INFINITY;
        loop {
            let mut source = 0;
            for other in 1..=n_moves {
                if self.heads[other].slack > self.heads[source].slack {
                    source = other;
                }
            }
            let head = self.heads[source];
            if head.slack == i64::MIN {
                return false;
            }
            let value = head.excess + price * head.slack as f64;
            if value < least {
                least = value;
                self.keep(class.from as usize, source, head, value);
                if meter.spend(1) {
                    return true;
                }
            }
            self.heads[source] = self.advance(class.from as usize, source, head.at + 1, rates);
        }
    }

    /// Next state of `now`, at or after `at`, that move `source` (0: none) turns into one that may win.
    #[inline]
    fn advance(&self, first: usize, source: usize, mut at: usize, rates: (f64, f64)) -> Head {
        let (cost, excess) = match source {
            0 => (0, 0.0),
            source => (self.moves[first + source - 1].cost, self.moves[first + source - 1].excess),
        };
        while at < self.now.len() {
            let state = self.now[at];
            let (slack, excess) = (state.slack - cost, state.excess + excess);
            if !self.is_beaten(floor(slack, excess, rates)) {
                return Head { at, slack, excess };
            }
            at += 1;
        }
        Head { at, slack: i64::MIN, excess: 0.0 }
    }

    /// Adds the state of `head` to `next`, replacing one of the same slack, and remembers it if it is the best.
    #[inline]
    fn keep(&mut self, first: usize, source: usize, head: Head, value: f64) {
        let before = self.now[head.at].trace;
        let trace = if source == 0 {
            before
        } else {
            self.steps.push(Step { before, item: self.moves[first + source - 1].item });
            self.steps.len() as u32
        };
        let state = State { slack: head.slack, excess: head.excess, trace };
        match self.next.last_mut() {
            Some(last) if last.slack == head.slack => *last = state,
            _ => self.next.push(state),
        }
        if head.slack < 0 {
            return;
        }
        let tie = if self.thrifty { self.error } else { 0.0 };
        if value < self.best.value - tie
            || (self.thrifty && value <= self.best.value + tie && head.slack > self.best.slack)
        {
            self.best =
                Best { value: value.min(self.best.value), slack: head.slack, trace, single: [None; 2] };
        }
    }

    fn write_best(&self, reduced: &Reduced, relaxed: &mut Relaxation) {
        let mut place = |item: u32| {
            relaxed.base[reduced.class_of(item)] = item;
        };
        self.best.single.into_iter().flatten().for_each(&mut place);
        let mut trace = self.best.trace;
        while trace > 0 {
            let step = self.steps[trace as usize - 1];
            place(step.item);
            trace = step.before;
        }
        relaxed.slack = self.best.slack;
    }
}

#[inline]
fn step(reduced: &Reduced, price: f64, base: u32, item: usize) -> Move {
    let cost = reduced.cost[item] - reduced.cost[base as usize];
    let change = reduced.loss[item] - reduced.loss[base as usize];
    Move { cost, excess: (change + price * cost as f64).max(0.0), item: item as u32 }
}

/// Least value that a state can reach once the outer classes move its slack to zero.
#[inline]
fn floor(slack: i64, excess: f64, rates: (f64, f64)) -> f64 {
    let slack = slack as f64;
    if slack >= 0.0 { excess + rates.0 * slack } else { excess - rates.1 * slack }
}
