//! Staircases: states by rising cost and falling loss, none of them beaten by another.
//!
//! A class enters in three steps: each of its moves shifts the staircase, of which `sift` keeps what may lead to a
//! point (`sieve`); `join` merges the shifted ones and then these with the old. Which state is kept and which list
//! comes next is as good as random, so the loops count truth values instead of branching on them. Keys lie apart
//! from the lower halves of the losses, since most tests read keys alone.

use pulp::{Arch, Simd, WithSimd};

use super::ceiling::Ceiling;
use super::join::{View, join};
use super::sieve::{BLOCK, sieve};
use super::state::{AFTER, Key, Shift, State};

/// View that led to the states of all intervals so far: the trace before in the lower half, the item in the upper.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    steps: Vec<u64>,
}

impl Traces {
    /// Reduced items of a state that differ from the base of its interval.
    pub fn moves(&self, mut trace: u32) -> impl Iterator<Item = u32> {
        std::iter::from_fn(move || {
            let step = self.steps.get((trace as usize).checked_sub(1)?)?;
            trace = *step as u32;
            Some((step >> 32) as u32)
        })
    }

    /// Makes room for so many steps.
    pub fn reserve(&mut self, steps: usize) {
        self.steps.reserve(steps);
    }
}

/// A staircase in memory that is kept: to fill it anew each time would take a tenth of the work.
#[derive(Clone, Debug, Default)]
pub struct Stairs<K> {
    /// Keys of the states and `AFTER` ends behind them.
    keys: Vec<K>,
    /// The lower halves of their losses, with their traces.
    lows: Vec<u64>,
    from: usize,
    to: usize,
    /// Places in a staircase whose shifted states are kept.
    hits: Vec<u32>,
    /// Order of the states of two staircases.
    order: Vec<u8>,
}

impl<K: Key> Stairs<K> {
    /// Number of states.
    pub fn len(&self) -> usize {
        self.to - self.from
    }

    /// Keys of the states.
    pub fn keys(&self) -> &[K] {
        &self.keys[self.from..self.to]
    }

    /// Keys and lower halves of the states that cost at least 0 and less than `end`, one of each cost.
    pub fn settle(&mut self, end: i64) -> (&[K], &[u64]) {
        let from = self.from + self.keys().partition_point(|key| key.cost() < 0);
        let mut to = self.from + self.keys().partition_point(|key| key.cost() < end);
        // Losses that differ by less than a coarse tick may leave several of one cost: the last loses least.
        let behind = self.keys.get(from + 1..to).unwrap_or_default();
        let twins = self.keys[from..to].iter().zip(behind).filter(|(key, after)| key.cost() == after.cost());
        if twins.count() > 0 {
            let last = to;
            to = from;
            for at in from..last {
                if at + 1 == last || self.keys[at].cost() < self.keys[at + 1].cost() {
                    self.copy(at, to);
                    to += 1;
                }
            }
        }
        (&self.keys[from..to], &self.lows[from..to])
    }

    fn view(&self) -> View<'_, K> {
        let range = self.from - 1..self.to + AFTER;
        View { keys: &self.keys[range.clone()], lows: &self.lows[range] }
    }

    /// Becomes the base alone.
    pub fn restart(&mut self) {
        self.clear(1);
        let State { key, low } = State::base();
        (self.keys[1], self.lows[1]) = (key, low);
        self.close(1);
    }

    /// Forgets all states and makes room for so many.
    pub fn clear(&mut self, len: usize) {
        if self.keys.len() < len + AFTER + 1 {
            let len = (len + AFTER + 1).next_power_of_two();
            self.keys.resize(len, K::END);
            self.lows.resize(len, u64::MAX);
        }
        self.close(0);
    }

    /// Holds so many states.
    fn close(&mut self, len: usize) {
        self.bound(1, 1 + len);
    }

    /// Holds the states of a range, which gets one end before it and `AFTER` behind.
    fn bound(&mut self, from: usize, to: usize) {
        (self.from, self.to) = (from, to);
        (self.keys[from - 1], self.lows[from - 1]) = (K::END, u64::MAX);
        self.keys[to..to + AFTER].fill(K::END);
        self.lows[to..to + AFTER].fill(u64::MAX);
    }

    /// Becomes the states that a move makes of a staircase and that may lead to a point, with their traces;
    /// false when they cannot be numbered.
    pub fn sift(&mut self, stairs: &Self, shift: Shift, ceiling: &Ceiling, traces: &mut Traces) -> bool {
        let stairs = stairs.view();
        if self.hits.len() < stairs.keys.len() + BLOCK {
            self.hits.resize((stairs.keys.len() + BLOCK).next_power_of_two(), 0);
        }
        let n = sieve(stairs.keys(), shift, ceiling, &mut self.hits);
        self.clear(n);
        if traces.steps.len() + n >= u32::MAX as usize {
            return false;
        }
        let first = traces.steps.len() as u32 + 1;
        let (keys, lows) = (&mut self.keys[1..=n], &mut self.lows[1..=n]);
        let hits = &self.hits[..n];
        Arch::new().dispatch(Move { stairs, hits, shift, first, keys, lows, steps: &mut traces.steps });
        self.close(n);
        true
    }

    /// Becomes what two staircases make together.
    pub fn join(&mut self, left: &Self, right: &Self) {
        self.clear(left.len() + right.len());
        let room = (&mut self.keys[1..], &mut self.lows[1..]);
        let n = join(left.view(), right.view(), &mut self.order, room);
        self.close(n);
    }

    /// Drops the states outside the ends that cannot come back.
    pub fn trim(&mut self, span: i64, ceiling: &Ceiling) {
        let outside = ceiling.outside();
        let cheaper = self.keys().iter().take_while(|key| key.cost() < 0).count();
        let dearer = self.keys().iter().rev().take_while(|key| key.cost() >= span).count();
        let (mut from, mut to) = (self.from + cheaper, self.to - dearer);
        for at in (self.from..from).rev() {
            if outside.may_return(self.keys[at]) {
                from -= 1;
                self.copy(at, from);
            }
        }
        let dearer = to..self.to;
        for at in dearer {
            if outside.may_return(self.keys[at]) {
                self.copy(at, to);
                to += 1;
            }
        }
        self.bound(from, to);
    }

    fn copy(&mut self, at: usize, to: usize) {
        self.keys[to] = self.keys[at];
        self.lows[to] = self.lows[at];
    }
}

/// Writes what a move makes of the states at the places in `hits`, and their traces from number `first`.
struct Move<'a, K> {
    stairs: View<'a, K>,
    hits: &'a [u32],
    shift: Shift,
    first: u32,
    keys: &'a mut [K],
    lows: &'a mut [u64],
    steps: &'a mut Vec<u64>,
}

impl<K: Key> WithSimd for Move<'_, K> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { stairs, hits, shift, first, keys, lows, steps } = self;
        let (from_keys, from_lows) = (stairs.keys(), stairs.lows());
        let Some(last) = from_keys.len().checked_sub(1) else { return };
        let from_lows = &from_lows[..=last];
        for ((key, low), &hit) in keys.iter_mut().zip(&mut *lows).zip(hits) {
            let at = (hit as usize).min(last);
            (*key, *low) = (from_keys[at], from_lows[at]);
        }
        let item = u64::from(shift.item) << 32;
        steps.extend(lows.iter().map(|&low| u64::from(low as u32) | item));
        for ((key, low), number) in keys.iter_mut().zip(lows).zip(first..) {
            let state = State { key: *key, low: *low }.moved(&shift, number);
            (*key, *low) = (state.key, state.low);
        }
    }
}
