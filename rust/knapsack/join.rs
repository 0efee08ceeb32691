//! Merges two staircases into one: the states of both by rising key, of equal ones the left first, without those
//! whose loss is not below that of all before.
//!
//! On a machine that packs, eight states of either side are looked at at once. A right one comes behind so many
//! left ones as have no larger key, so its place is that number and its own; whole eights are then put into their
//! order. Since each side falls, a state needs to be compared only with the last of the other side before it.

use std::hint::select_unpredictable;

use pulp::{Arch, Simd, WithSimd};

use super::state::{AFTER, Key, State};

/// States by rising key and falling loss, with one end before and `AFTER` ends behind them.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, K> {
    /// Keys.
    pub keys: &'a [K],
    /// Lower halves of the losses, with the traces.
    pub lows: &'a [u64],
}

impl<'a, K> View<'a, K> {
    fn len(&self) -> usize {
        self.keys.len() - AFTER - 1
    }

    /// Keys and ends behind them.
    pub fn keys(&self) -> &'a [K] {
        &self.keys[1..]
    }

    /// Lower halves and ends behind them.
    pub fn lows(&self) -> &'a [u64] {
        &self.lows[1..]
    }
}

/// Merges into `keys` and `lows`, which have room for all states and `AFTER` more; returns how many remain. `order` is
/// memory that is kept.
pub fn join<K: Key>(
    left: View<K>,
    right: View<K>,
    order: &mut Vec<u8>,
    (keys, lows): (&mut [K], &mut [u64]),
) -> usize {
    #[cfg(target_arch = "x86_64")]
    if let (Some(a), Some(b)) = (K::narrow(left.keys), K::narrow(right.keys))
        && let Some(simd) = pulp::x86::V4::try_new()
        && let Some(keys) = K::narrow_mut(keys)
    {
        let (left, right) = (View { keys: a, lows: left.lows }, View { keys: b, lows: right.lows });
        return simd.vectorize(wide::Wide { simd, left, right, order, keys, lows });
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = order;
    Arch::new().dispatch(Plain { left, right, keys, lows })
}

struct Plain<'a, K> {
    left: View<'a, K>,
    right: View<'a, K>,
    keys: &'a mut [K],
    lows: &'a mut [u64],
}

impl<K: Key> WithSimd for Plain<'_, K> {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        let Self { left, right, keys, lows } = self;
        let ends = (left.keys.len(), right.keys.len(), keys.len());
        let (left_lows, right_lows, lows) =
            (&left.lows[..ends.0], &right.lows[..ends.1], &mut lows[..ends.2]);
        let (mut at_left, mut at_right, mut at, mut least) = (1u32, 1u32, 0u32, u64::MAX);
        let (mut one, mut other) = (left.keys[1], right.keys[1]);
        for _ in 0..left.len() + right.len() {
            let (a, b, n) = (at_left as usize, at_right as usize, at as usize);
            // All that is read and written below; small numbers, so that it need not be asked again.
            if a + 1 >= ends.0 || b + 1 >= ends.1 || n >= ends.2 {
                break;
            }
            let is_left = one <= other;
            let key = select_unpredictable(is_left, one, other);
            let low = select_unpredictable(is_left, left_lows[a], right_lows[b]);
            // Both next keys are read before it is known which is needed: nothing waits for memory.
            one = select_unpredictable(is_left, left.keys[a + 1], one);
            other = select_unpredictable(is_left, other, right.keys[b + 1]);
            at_left += u32::from(is_left);
            at_right += u32::from(!is_left);
            let loss = State { key, low }.loss();
            (keys[n], lows[n]) = (key, low);
            at += u32::from(loss < least);
            least = least.min(loss);
        }
        at as usize
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use pulp::x86::V4;
    use pulp::{NullaryFnOnce, cast, u64x8};

    use super::View;

    const LANES: usize = 8;

    /// A merge on a machine that packs.
    pub struct Wide<'a> {
        pub simd: V4,
        pub left: View<'a, i64>,
        pub right: View<'a, i64>,
        pub order: &'a mut Vec<u8>,
        pub keys: &'a mut [i64],
        pub lows: &'a mut [u64],
    }

    impl NullaryFnOnce for Wide<'_> {
        type Output = usize;

        #[inline(always)]
        fn call(self) -> usize {
            let Self { simd, left, right, order, keys, lows } = self;
            let total = left.len() + right.len();
            if order.len() < total / 8 + 16 {
                order.resize((total / 8 + 16).next_power_of_two(), 0);
            }
            line_up(simd, left, right, order);
            pick(simd, left, right, &order[..total.div_ceil(LANES)], keys, lows)
        }
    }

    #[inline(always)]
    fn lanes<T: Copy + Default>(of: &[T], at: usize) -> [T; LANES] {
        let mut lanes = [T::default(); LANES];
        lanes.copy_from_slice(&of[at..at + LANES]);
        lanes
    }

    /// Writes a bit for each state in order: whether it is of the right side.
    #[inline(always)]
    fn line_up(simd: V4, left: View<i64>, right: View<i64>, order: &mut [u8]) {
        let (lefts, rights) = (left.keys(), right.keys());
        let (total, ends) = (left.len() + right.len(), (lefts.len(), rights.len(), order.len()));
        let (mut at_left, mut at_right, mut at_byte, mut fill, mut bits) = (0u32, 0u32, 0u32, 0, 0u64);
        loop {
            let (a, b, at) = (at_left as usize, at_right as usize, at_byte as usize);
            if a + b >= total || a + LANES > ends.0 || b + LANES > ends.1 || at + 8 > ends.2 {
                break;
            }
            let (some, other) = (lanes(lefts, a), lanes(rights, b));
            // The left ones before each right one are the first so many: one more than their bits is a bit in the
            // place behind them.
            let before = |other| simd.cmp_le_i64x8(cast(some), simd.splat_i64x8(other)).0;
            let places =
                other.iter().rev().fold(0, |places, &other| 2 * places + u64::from(before(other)) + 1);
            // All of one side and what lies before its last of the other.
            let n_left = before(other[LANES - 1]).count_ones();
            let n_right = simd.cmp_lt_i64x8(cast(other), simd.splat_i64x8(some[LANES - 1])).0.count_ones();
            let n = n_left + n_right;
            bits |= (places & ((1 << n) - 1)) << fill;
            fill += n;
            order[at..at + 8].copy_from_slice(&bits.to_le_bytes());
            at_byte += fill / 8;
            bits >>= fill & !7;
            fill %= 8;
            at_left += n_left;
            at_right += n_right;
        }
    }

    /// Lanes of two vectors, the left one first, that eight bits of an order ask for.
    const LINE: [[u8; 16]; 256] = {
        let mut table = [[0; 16]; 256];
        let mut bits = 0;
        while bits < 256 {
            let (mut lane, mut a, mut b) = (0, 0, 8);
            while lane < 8 {
                let side = if bits >> lane & 1 == 0 { &mut a } else { &mut b };
                table[bits][lane] = *side;
                *side += 1;
                lane += 1;
            }
            bits += 1;
        }
        table
    };

    /// Takes the states in their order and keeps those that lose less than all before.
    #[inline(always)]
    fn pick(
        simd: V4,
        left: View<i64>,
        right: View<i64>,
        order: &[u8],
        keys: &mut [i64],
        lows: &mut [u64],
    ) -> usize {
        let f = simd.avx512f;
        let back = cast(u64x8(8, 9, 10, 11, 12, 13, 14, 15));
        let put = |lefts, rights, line| f._mm512_permutex2var_epi64(cast(lefts), line, cast(rights));
        let loss =
            |key, low| f._mm512_or_si512(f._mm512_slli_epi64::<32>(key), f._mm512_srli_epi64::<32>(low));
        let ends = (left.keys.len(), right.keys.len(), keys.len());
        let (left_lows, right_lows, lows) =
            (&left.lows[..ends.0], &right.lows[..ends.1], &mut lows[..ends.2]);
        let (mut at_left, mut at_right, mut at) = (0u32, 0u32, 0u32);
        for &bits in order {
            let (a, b, n) = (at_left as usize, at_right as usize, at as usize);
            // All that is read and written below; small numbers, so that it need not be asked again.
            if a + LANES >= ends.0 || b + LANES >= ends.1 || n + LANES > ends.2 {
                break;
            }
            let line = f._mm512_cvtepu8_epi64(cast(LINE[usize::from(bits)]));
            let key = put(lanes(left.keys, a + 1), lanes(right.keys, b + 1), line);
            let low = put(cast(lanes(left_lows, a + 1)), cast(lanes(right_lows, b + 1)), line);
            // The last state of the other side before each: those of its own side lose more.
            let before = f._mm512_sub_epi64(back, line);
            let least = loss(
                put(lanes(left.keys, a), lanes(right.keys, b), before),
                put(cast(lanes(left_lows, a)), cast(lanes(right_lows, b)), before),
            );
            let keep = f._mm512_cmplt_epu64_mask(loss(key, low), least);
            keys[n..n + LANES]
                .copy_from_slice(&cast::<_, [i64; LANES]>(f._mm512_maskz_compress_epi64(keep, key)));
            lows[n..n + LANES]
                .copy_from_slice(&cast::<_, [u64; LANES]>(f._mm512_maskz_compress_epi64(keep, low)));
            at += keep.count_ones();
            at_left += bits.count_zeros();
            at_right += bits.count_ones();
        }
        at as usize
    }
}
