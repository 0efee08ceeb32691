//! Staircases: states by rising cost and falling loss, none of them beaten by another.
//!
//! A class enters in three steps: each of its moves shifts the staircase, of which `sift` keeps what may lead to a
//! point; `join` merges the shifted ones and then these with the old. Which state is kept and which list comes
//! next is as good as random, so the loops count truth values where they can instead of branching on them; they are
//! functions of their own, so that registers suffice.

use std::ops::{Deref, DerefMut};

use super::ceiling::Ceiling;

/// A choice, counted from the base of an interval.
#[derive(Clone, Copy, Debug, Default)]
pub struct State {
    /// Cost change in grid steps.
    pub cost: i64,
    /// Loss change.
    pub loss: f64,
    /// Trace of a numbered state, 0 of the base; of a new one its last step, as it is kept in the traces.
    pub origin: u64,
}

/// A move of the class that enters.
#[derive(Clone, Copy, Debug)]
pub struct Shift {
    /// Cost change in grid steps.
    pub cost: i64,
    /// Loss change.
    pub loss: f64,
    /// Reduced item that it leads to.
    pub item: u32,
}

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

    /// Keeps the last steps of new states, which get their numbers; false when there are none left.
    pub fn number(&mut self, fresh: &mut [State]) -> bool {
        if self.steps.len() + fresh.len() > u32::MAX as usize {
            return false;
        }
        let first = self.steps.len() as u64 + 1;
        self.steps.extend(fresh.iter().map(|state| state.origin));
        fresh.iter_mut().zip(first..).for_each(|(state, number)| state.origin = number);
        true
    }
}

/// A staircase in memory that is kept: to fill it anew each time would take a tenth of the work.
#[derive(Clone, Debug, Default)]
pub struct Stairs {
    room: Vec<State>,
    len: usize,
}

impl Deref for Stairs {
    type Target = [State];

    fn deref(&self) -> &[State] {
        &self.room[..self.len]
    }
}

impl DerefMut for Stairs {
    fn deref_mut(&mut self) -> &mut [State] {
        &mut self.room[..self.len]
    }
}

impl Stairs {
    /// Becomes the base alone.
    pub fn restart(&mut self) {
        self.grow(1);
        self.room[0] = State::default();
        self.len = 1;
    }

    /// Forgets all states.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    fn grow(&mut self, len: usize) {
        if self.room.len() < len {
            self.room.resize(len.next_power_of_two(), State::default());
        }
    }

    /// Becomes the states that a move makes of a staircase and that may lead to a point.
    #[inline(never)]
    pub fn sift(&mut self, stairs: &[State], shift: Shift, ceiling: &Ceiling) {
        self.grow(stairs.len());
        let (limits, narrow) = ceiling.inside();
        let (mut n, room) = (0, self.room.as_mut_slice());
        let item = u64::from(shift.item) << 32;
        for state in stairs {
            let (cost, loss) = (state.cost + shift.cost, state.loss + shift.loss);
            let limit = match limits.get((cost >> narrow) as usize) {
                Some(&limit) => limit,
                None => ceiling.outside(cost),
            };
            room[n] = State { cost, loss, origin: state.origin | item };
            n += usize::from(loss < limit);
        }
        self.len = n;
    }

    /// Becomes what two staircases make together.
    #[inline(never)]
    pub fn join(&mut self, left: &[State], right: &[State]) {
        self.grow(left.len() + right.len());
        let mut out = Writer { room: &mut self.room, n: 0, last: i64::MIN, least: i64::MAX };
        let first = |states: &[State]| states.first().map_or(0, |state| state.cost);
        let (mut i, mut j, mut a, mut b) = (0, 0, first(left), first(right));
        // Both next costs are read before it is known which is needed: nothing waits for memory.
        while i + 1 < left.len() && j + 1 < right.len() {
            let ahead = (left[i + 1].cost, right[j + 1].cost);
            let is_left = a <= b;
            out.write(if is_left { &left[i] } else { &right[j] });
            a = if is_left { ahead.0 } else { a };
            b = if is_left { b } else { ahead.1 };
            i += usize::from(is_left);
            j += usize::from(!is_left);
        }
        while i < left.len() && j < right.len() {
            let is_left = left[i].cost <= right[j].cost;
            out.write(if is_left { &left[i] } else { &right[j] });
            i += usize::from(is_left);
            j += usize::from(!is_left);
        }
        self.len = out.finish(if i < left.len() { &left[i..] } else { &right[j..] });
    }

    /// Drops the states outside the ends that cannot come back.
    pub fn trim(&mut self, span: i64, ceiling: &Ceiling) {
        let stays = |state: &State| state.loss < ceiling.outside(state.cost);
        let mut cheaper = self.iter().take_while(|state| state.cost < 0);
        let mut dearer = self.iter().rev().take_while(|state| state.cost >= span);
        if cheaper.all(stays) && dearer.all(stays) {
            return;
        }
        let mut n = 0;
        for at in 0..self.len {
            let state = self.room[at];
            self.room[n] = state;
            n += usize::from((0..span).contains(&state.cost) || stays(&state));
        }
        self.len = n;
    }
}

/// Writes states by rising cost without those that are beaten.
struct Writer<'a> {
    room: &'a mut [State],
    /// Number of states so far, and the cost and the key of the last.
    n: usize,
    last: i64,
    least: i64,
}

impl Writer<'_> {
    #[inline(always)]
    fn write(&mut self, state: &State) {
        let key = key(state.loss);
        let stays = key < self.least;
        // One that costs the same and loses less takes the place of the last.
        let n = self.n - usize::from(stays & (state.cost == self.last));
        self.room[n] = *state;
        self.n = n + usize::from(stays);
        self.last = if stays { state.cost } else { self.last };
        self.least = self.least.min(key);
    }

    /// Writes the rest of a staircase; returns how many states there are.
    fn finish(self, rest: &[State]) -> usize {
        let rest = &rest[rest.iter().take_while(|state| key(state.loss) >= self.least).count()..];
        let n = self.n - usize::from(rest.first().is_some_and(|state| state.cost == self.last));
        self.room[n..n + rest.len()].copy_from_slice(rest);
        n + rest.len()
    }
}

/// An integer that rises with the loss: unlike losses, integers are compared without branches.
#[inline(always)]
fn key(loss: f64) -> i64 {
    let bits = loss.to_bits() as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}
