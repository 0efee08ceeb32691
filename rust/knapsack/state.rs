//! States of an interval: cost, loss and trace in two numbers that are ordered by cost and then by loss.
//!
//! Losses are counted in whole ticks, so that sums do not depend on the order of their parts; the upper half of a
//! number of ticks counts coarse ones. Costs that fit 32 bits make keys of 64, so that a state takes 16 bytes; all
//! others take keys of 128.

/// The cost above, the upper half of the loss below.
pub trait Key: Copy + Ord + Default {
    /// Behind the keys of all states.
    const END: Self;
    /// The key of a cost change and the upper half of a loss.
    fn new(cost: i64, upper: i32) -> Self;
    /// Cost change in grid steps.
    fn cost(self) -> i64;
    /// Upper half of the loss.
    fn upper(self) -> i32;
    /// What a move adds to a key, its loss rounded down.
    fn step(shift: &Shift) -> Self;
    /// The key once moved by a step.
    fn moved(self, step: Self) -> Self;
    /// Number of the bucket of 2^width of cost that the key falls into.
    fn bucket(self, width: u32) -> usize;
    /// The keys, if they are of 64 bits.
    fn narrow(keys: &[Self]) -> Option<&[i64]>;
    /// The keys, if they are of 64 bits.
    fn narrow_mut(keys: &mut [Self]) -> Option<&mut [i64]>;
}

macro_rules! key {
    ($number:ty, $narrow:expr, $narrow_mut:expr) => {
        impl Key for $number {
            const END: Self = Self::MAX;
            #[inline(always)]
            fn new(cost: i64, upper: i32) -> Self {
                (Self::from(cost) << 32) | Self::from(upper)
            }
            #[inline(always)]
            fn cost(self) -> i64 {
                (self >> 32) as i64
            }
            #[inline(always)]
            fn upper(self) -> i32 {
                self as i32
            }
            #[inline(always)]
            fn step(shift: &Shift) -> Self {
                (Self::from(shift.cost) << 32) + Self::from(shift.ticks >> 32)
            }
            #[inline(always)]
            fn moved(self, step: Self) -> Self {
                self.wrapping_add(step)
            }
            #[inline(always)]
            fn bucket(self, width: u32) -> usize {
                (self >> (32 + width)) as usize
            }
            #[inline(always)]
            fn narrow(keys: &[Self]) -> Option<&[i64]> {
                $narrow(keys)
            }
            #[inline(always)]
            fn narrow_mut(keys: &mut [Self]) -> Option<&mut [i64]> {
                $narrow_mut(keys)
            }
        }
    };
}

key!(i64, Some, Some);
key!(i128, |_| None, |_| None);

/// A move of the class that enters.
#[derive(Clone, Copy, Debug)]
pub struct Shift {
    /// Cost change in grid steps.
    pub cost: i64,
    /// Loss change in ticks.
    pub ticks: i64,
    /// Reduced item that it leads to.
    pub item: u32,
}

/// A choice, counted from the base of an interval.
#[derive(Clone, Copy, Debug, Default)]
pub struct State<K> {
    /// Cost change and the upper half of the loss.
    pub key: K,
    /// Lower half of the loss, then the trace: 0 of the base.
    pub low: u64,
}

/// Ends behind the states of a staircase, so that whole blocks can be read.
pub const AFTER: usize = 16;

/// Loss of the base: others lie within half of that, so that upper halves are positive.
const ZERO: u64 = 1 << 62;

impl<K: Key> State<K> {
    /// The base of an interval.
    pub fn base() -> Self {
        Self::new(0, ZERO, 0)
    }

    #[inline(always)]
    fn new(cost: i64, loss: u64, trace: u32) -> Self {
        Self { key: K::new(cost, (loss >> 32) as i32), low: (loss << 32) | u64::from(trace) }
    }

    /// Cost change in grid steps.
    #[inline(always)]
    pub fn cost(&self) -> i64 {
        self.key.cost()
    }

    /// A number that rises with the loss.
    #[inline(always)]
    pub fn loss(&self) -> u64 {
        ((self.key.upper() as u64) << 32) | (self.low >> 32)
    }

    /// Loss change in ticks.
    pub fn ticks(&self) -> i64 {
        self.loss().wrapping_sub(ZERO) as i64
    }

    /// Number of its last step.
    #[inline(always)]
    pub fn trace(&self) -> u32 {
        self.low as u32
    }

    /// What a move makes of the state.
    #[inline(always)]
    pub fn moved(&self, shift: &Shift, trace: u32) -> Self {
        let (low, carry) = (self.low >> 32 << 32).overflowing_add((shift.ticks as u64) << 32);
        let key = self.key.moved(K::step(shift)).moved(K::new(0, i32::from(carry)));
        Self { key, low: low | u64::from(trace) }
    }
}

/// Coarse ticks that no loss has.
const FAR: f64 = (1 << 29) as f64 + 1e3;

/// Upper half of a loss above all others.
pub const MOST: i32 = (3 << 29) - 2;

/// Turns the upper half of a loss into a loss in coarse ticks, rounded down.
#[inline(always)]
pub fn coarse(upper: i32) -> f64 {
    f64::from(upper) - f64::from(1 << 30)
}

/// Turns a loss in coarse ticks into an upper half, rounded up; far ones are cut.
#[inline(always)]
pub fn upper(loss: f64) -> i32 {
    loss.clamp(-FAR, FAR) as i32 + (1 + (1 << 30))
}
