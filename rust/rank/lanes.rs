//! Many short rows sorted side by side: a sorting network whose every step treats sixteen rows at once.
//!
//! A row becomes 32-bit keys: its values as integers of the same order, less the smallest, shifted down so that the
//! position fits below. The network sorts keys without a branch; runs of keys that only the position tells apart are put
//! right by the values. Source of the network: K. E. Batcher, "Sorting networks and their applications", AFIPS 1968.

use pulp::{Arch, Simd, WithSimd};

/// Rows that are sorted together.
pub const LANES: usize = 16;
/// The longest row: beyond it the network's n log^2 n steps lose against sorting one row after the other.
pub const LONGEST: usize = 512;

/// A sorting network for one length, and the keys of the rows that are being sorted.
#[derive(Default)]
pub struct Lanes {
    len: usize,
    steps: Vec<(u32, u32)>,
    keys: Vec<[u32; LANES]>,
    ordered: Vec<u64>,
}

impl Lanes {
    /// Prepares for rows of `len` values.
    fn prepare(&mut self, len: usize) {
        if self.len != len {
            self.len = len;
            self.steps = network(len);
            self.keys.resize(len, [0; LANES]);
        }
    }

    /// Sorts up to `LANES` rows of `len` values without NaN, one after the other in `rows`.
    pub fn sort(&mut self, rows: &[f64], len: usize) {
        self.prepare(len);
        for (lane, row) in rows.chunks_exact(len.max(1)).enumerate().take(LANES) {
            self.fill(lane, row);
        }
        Arch::new().dispatch(Sort { steps: &self.steps, keys: &mut self.keys });
    }

    /// Bits of a key that hold the position.
    pub fn mask(&self) -> u32 {
        (self.len.max(2) as u32).next_power_of_two() - 1
    }

    /// The keys of one row in ascending order; the position stands in the bits of `mask`.
    pub fn lane(&self, lane: usize) -> impl Iterator<Item = u32> {
        self.keys.iter().map(move |keys| keys.get(lane).copied().unwrap_or(0))
    }

    fn fill(&mut self, lane: usize, row: &[f64]) {
        self.ordered.clear();
        self.ordered.extend(row.iter().map(|&value| super::order::order_key(value)));
        let least = self.ordered.iter().copied().min().unwrap_or(0);
        let most = self.ordered.iter().copied().max().unwrap_or(0);
        let position_bits = self.mask().count_ones();
        let shift = (64 - (most - least).leading_zeros()).saturating_sub(32 - position_bits);
        for ((keys, ordered), position) in self.keys.iter_mut().zip(&self.ordered).zip(0..) {
            if let Some(key) = keys.get_mut(lane) {
                *key = (((ordered - least) >> shift) as u32) << position_bits | position;
            }
        }
    }
}

struct Sort<'a> {
    steps: &'a [(u32, u32)],
    keys: &'a mut [[u32; LANES]],
}

impl WithSimd for Sort<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (keys, _) = S::as_mut_simd_u32s(self.keys.as_flattened_mut());
        let vectors = LANES / S::U32_LANES;
        for &(low, high) in self.steps {
            for vector in 0..vectors {
                let (low, high) = (low as usize * vectors + vector, high as usize * vectors + vector);
                let (Some(&a), Some(&b)) = (keys.get(low), keys.get(high)) else { continue };
                let smaller = simd.less_than_u32s(a, b);
                if let Some(least) = keys.get_mut(low) {
                    *least = simd.select_u32s(smaller, a, b);
                }
                if let Some(most) = keys.get_mut(high) {
                    *most = simd.select_u32s(smaller, b, a);
                }
            }
        }
    }
}

/// Batcher's merge-exchange network: pairs of places to put in order.
fn network(len: usize) -> Vec<(u32, u32)> {
    let mut steps = Vec::new();
    let mut width = 1;
    while width < len {
        let mut gap = width;
        while gap >= 1 {
            let mut start = gap % width;
            while start + gap < len {
                for offset in start..(start + gap).min(len - gap) {
                    if offset / (2 * width) == (offset + gap) / (2 * width) {
                        steps.push((offset as u32, (offset + gap) as u32));
                    }
                }
                start += 2 * gap;
            }
            gap /= 2;
        }
        width *= 2;
    }
    steps
}
