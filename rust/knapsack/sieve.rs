//! Which states of a staircase a move turns into ones that may lead to a point:
//!
//!   loss + loss of the move < cap(cost + cost of the move).
//!
//! Sixteen states are tested at once, and the places of those that pass are packed by one instruction where the
//! machine has it: to compare takes less time than to write down what came of it.

use pulp::{Arch, Simd, WithSimd};

use super::ceiling::Ceiling;
use super::state::{AFTER, Key, Shift};

/// States tested at once.
pub const BLOCK: usize = AFTER;

/// Lists the places of the states that pass; returns how many. `AFTER` ends lie behind the states; `hits` has room
/// for as many and for a block more.
pub fn sieve<K: Key>(stairs: &[K], shift: Shift, ceiling: &Ceiling, hits: &mut [u32]) -> usize {
    let sieve = Sieve { stairs, shift, ceiling, hits };
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V4::try_new() {
        return simd.vectorize(wide::Wide { sieve, simd });
    }
    Arch::new().dispatch(sieve)
}

struct Sieve<'a, K> {
    stairs: &'a [K],
    shift: Shift,
    ceiling: &'a Ceiling,
    hits: &'a mut [u32],
}

impl<K: Key> WithSimd for Sieve<'_, K> {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        self.run(Plain)
    }
}

/// Puts the places of those in a block that passed side by side.
trait Pack: Copy {
    /// Looks at the places from `first` whose bits are set in `wanted`; returns how many passed.
    fn pack(self, passed: &[u32; BLOCK], wanted: u16, first: u32, hits: &mut [u32; BLOCK]) -> usize;
    /// Whether a number is not 0.
    fn any(self, numbers: &[u32; BLOCK]) -> bool;
}

#[derive(Clone, Copy)]
struct Plain;

impl Pack for Plain {
    #[inline(always)]
    fn pack(self, passed: &[u32; BLOCK], wanted: u16, first: u32, hits: &mut [u32; BLOCK]) -> usize {
        let mut n = 0;
        for (at, passed) in (0..).zip(passed) {
            hits[n % BLOCK] = first + at;
            n += (*passed & (u32::from(wanted) >> at)) as usize;
        }
        n
    }

    #[inline(always)]
    fn any(self, numbers: &[u32; BLOCK]) -> bool {
        numbers.iter().fold(0, |any, number| any | number) != 0
    }
}

impl<K: Key> Sieve<'_, K> {
    #[inline(always)]
    fn run<P: Pack>(self, pack: P) -> usize {
        let Self { stairs, shift, ceiling, hits } = self;
        let (step, outside, (limits, narrow)) = (K::step(&shift), ceiling.outside(), ceiling.inside());
        let Some(end) = limits.len().checked_sub(1) else { return 0 };
        let len = stairs.len() - AFTER;
        let mut n = 0;
        // Ends fill up the last block.
        let (blocks, _) = stairs[..len.next_multiple_of(BLOCK)].as_chunks::<BLOCK>();
        for (block, first) in blocks.iter().zip((0..).step_by(BLOCK)) {
            let wanted = if len - first < BLOCK { (1 << (len - first)) - 1 } else { u16::MAX };
            let (mut passed, mut out) = ([0; BLOCK], [0; BLOCK]);
            for ((passed, out), key) in passed.iter_mut().zip(&mut out).zip(block) {
                let key = key.moved(step);
                *out = u32::from(key.bucket(narrow) > end);
                *passed = u32::from(key.upper() < limits[key.bucket(narrow).min(end)]);
            }
            if pack.any(&out) {
                for ((passed, out), key) in passed.iter_mut().zip(&out).zip(block) {
                    let may_return = u32::from(outside.may_return(key.moved(step)));
                    *passed = if *out == 0 { *passed } else { may_return };
                }
            }
            let Some(hits) = hits.get_mut(n..).and_then(<[u32]>::first_chunk_mut) else { break };
            n += pack.pack(&passed, wanted, first as u32, hits);
        }
        n
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use pulp::x86::V4;
    use pulp::{NullaryFnOnce, cast, u32x16};

    use super::{BLOCK, Key, Pack, Sieve};

    /// A sieve on a machine that packs.
    pub struct Wide<'a, K> {
        pub sieve: Sieve<'a, K>,
        pub simd: V4,
    }

    impl<K: Key> NullaryFnOnce for Wide<'_, K> {
        type Output = usize;

        #[inline(always)]
        fn call(self) -> usize {
            self.sieve.run(self.simd)
        }
    }

    const PLACES: u32x16 = u32x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);

    impl Pack for V4 {
        #[inline(always)]
        fn pack(self, passed: &[u32; BLOCK], wanted: u16, first: u32, hits: &mut [u32; BLOCK]) -> usize {
            let passed = self.cmp_gt_u32x16(cast(*passed), self.splat_u32x16(0)).0 & wanted;
            let places = self.wrapping_add_u32x16(PLACES, self.splat_u32x16(first));
            *hits = cast(self.avx512f._mm512_maskz_compress_epi32(passed, cast(places)));
            passed.count_ones() as usize
        }

        #[inline(always)]
        fn any(self, numbers: &[u32; BLOCK]) -> bool {
            self.cmp_gt_u32x16(cast(*numbers), self.splat_u32x16(0)).0 != 0
        }
    }
}
