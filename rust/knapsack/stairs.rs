//! Staircases: states by rising cost and falling loss, none of them beaten by another.
//!
//! A class enters in three steps: each of its moves shifts the staircase, of which `sift` keeps what may lead to a
//! point; `join` merges the shifted ones and then these with the old. Which state is kept and which list comes
//! next is as good as random, so the loops count truth values instead of branching on them; they are
//! functions of their own, so that registers suffice.

use std::hint::select_unpredictable;
use std::ops::Deref;

use pulp::{Arch, Simd, WithSimd};

use super::ceiling::Ceiling;
use super::sieve::{BLOCK, sieve};
use super::state::{Key, Shift, State};

/// Steps that led to the states of all intervals so far: the trace before in the lower half, the item in the upper.
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
    /// The states and two ends behind them.
    room: Vec<State<K>>,
    from: usize,
    to: usize,
    /// Places in a staircase whose shifted states are kept.
    hits: Vec<u32>,
}

impl<K> Deref for Stairs<K> {
    type Target = [State<K>];

    fn deref(&self) -> &[State<K>] {
        &self.room[self.from..self.to]
    }
}

impl<K: Key> Stairs<K> {
    /// Becomes the base alone.
    pub fn restart(&mut self) {
        self.clear(1);
        self.room[0] = State::base();
        self.close(1);
    }

    /// Forgets all states and makes room for so many.
    pub fn clear(&mut self, len: usize) {
        if self.room.len() < len + 2 {
            self.room.resize((len + 2).next_power_of_two(), State::end());
        }
        self.close(0);
    }

    /// Ends behind so many states.
    fn close(&mut self, to: usize) {
        (self.from, self.to) = (0, to);
        self.room[to..to + 2].fill(State::end());
    }

    /// Becomes the states that a move makes of a staircase and that may lead to a point, with their traces;
    /// false when they cannot be numbered.
    pub fn sift(
        &mut self,
        stairs: &[State<K>],
        shift: Shift,
        ceiling: &Ceiling,
        traces: &mut Traces,
    ) -> bool {
        if self.hits.len() < stairs.len() + BLOCK {
            self.hits.resize((stairs.len() + BLOCK).next_power_of_two(), 0);
        }
        let n = sieve(stairs, shift, ceiling, &mut self.hits);
        self.clear(n);
        if traces.steps.len() + n >= u32::MAX as usize {
            return false;
        }
        let (first, item) = (traces.steps.len() as u32 + 1, u64::from(shift.item) << 32);
        let hits_and_room = self.hits[..n].iter().zip(&mut self.room).zip(first..);
        traces.steps.extend(hits_and_room.map(|((&hit, slot), number)| {
            let state = &stairs[hit as usize];
            *slot = state.moved(&shift, number);
            u64::from(state.trace()) | item
        }));
        self.close(n);
        true
    }

    /// Becomes what two staircases make together.
    pub fn join(&mut self, left: &Self, right: &Self) {
        let total = left.len() + right.len();
        self.clear(total);
        let room = &mut self.room[..total];
        let (left, right) = (&left.room[left.from..left.to + 1], &right.room[right.from..right.to + 1]);
        let n = Arch::new().dispatch(Join { left, right, room });
        self.close(n);
    }

    /// Drops the states outside the ends that cannot come back.
    pub fn trim(&mut self, span: i64, ceiling: &Ceiling) {
        let outside = ceiling.outside();
        let stays = |state: &State<K>| outside.may_return(state.key);
        let cheaper = self.iter().take_while(|state| state.cost() < 0).count();
        let dearer = self.iter().rev().take_while(|state| state.cost() >= span).count();
        let (mut from, mut to) = (self.from + cheaper, self.to - dearer);
        for at in (self.from..from).rev() {
            let state = self.room[at];
            if stays(&state) {
                from -= 1;
                self.room[from] = state;
            }
        }
        let dearer = to..self.to;
        for at in dearer {
            let state = self.room[at];
            if stays(&state) {
                self.room[to] = state;
                to += 1;
            }
        }
        self.close(to);
        self.from = from;
    }
}

/// Merges two staircases, each with an end behind it, into `room`; the output is how many states remain.
struct Join<'a, K> {
    left: &'a [State<K>],
    right: &'a [State<K>],
    room: &'a mut [State<K>],
}

impl<K: Key> WithSimd for Join<'_, K> {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        let Join { mut left, mut right, room } = self;
        let (mut a, mut b) = (left[0].key, right[0].key);
        let (mut n, mut least) = (0, u64::MAX);
        while let ([one, after, ..], [other, behind, ..]) = (left, right) {
            // Both next keys are read before it is known which is needed: nothing waits for memory.
            let is_left = a <= b;
            let state = *select_unpredictable(is_left, one, other);
            a = select_unpredictable(is_left, after.key, a);
            b = select_unpredictable(is_left, b, behind.key);
            left = &left[usize::from(is_left)..];
            right = &right[usize::from(!is_left)..];
            let loss = state.loss();
            room[n] = state;
            n += usize::from(loss < least);
            least = least.min(loss);
        }
        let rest = if left.len() > 1 { left } else { right };
        let rest = &rest[..rest.len() - 1];
        let rest = &rest[rest.iter().take_while(|state| state.loss() >= least).count()..];
        room[n..n + rest.len()].copy_from_slice(rest);
        n + rest.len()
    }
}
