//! Many short rows ranked side by side: a sorting network whose every step treats sixteen rows at once.
//!
//! A row becomes 32-bit keys: its values as integers of the same order, less the smallest, shifted down so that below
//! fits the place of the position in the target's order. The network sorts keys without a branch; what then stands at
//! rank r is a place p, and all that is counted of a row without ties is a sum over r of something looked up by p
//! (`tables`). Rows whose sorted keys come close are left to `order`, which compares the values themselves.
//! Source of the network: K. E. Batcher, "Sorting networks and their applications", AFIPS 1968.

use pulp::{Arch, Simd, WithSimd};

use super::order::order_key;
use super::tables::{SET, TABLE, Tables};

/// Rows that are ranked together.
pub const LANES: usize = 16;

/// One number of each of the rows that stand side by side.
type Each<T> = [T; LANES];

/// What was counted of each row; of no worth where `close` or `nan` is set.
#[derive(Clone, Copy, Default)]
pub struct Tally {
    /// Sum over positions of the centred double ranks of row and target.
    pub product: Each<i32>,
    /// Discordant pairs, for rows of up to 64.
    pub discordant: Each<u32>,
    /// Sum over positions of weight times centred double rank.
    pub signature: Each<u64>,
    /// Whether some keys differ by no more than their place.
    pub close: Each<bool>,
    /// Whether the row holds a NaN.
    pub nan: Each<bool>,
}

/// A sorting network for one length, and the keys of the rows that are being sorted.
#[derive(Default)]
pub struct Lanes {
    len: usize,
    steps: Vec<(u32, u32)>,
    keys: Vec<Each<u32>>,
    ordered: Vec<u64>,
}

impl Lanes {
    /// Ranks up to `LANES` rows of the tables' length, one after the other in `rows`; `all` asks for more than products.
    pub fn tally(&mut self, rows: &[f64], tables: &Tables, all: bool) -> Tally {
        if self.len != tables.len() {
            self.len = tables.len();
            self.steps = network(self.len);
            self.keys.resize(self.len, [0; LANES]);
        }
        Arch::new().dispatch(Rank { lanes: self, rows, tables, all })
    }

    /// The keys of one row in ascending order; the place stands in the bits of `mask`.
    pub fn lane(&self, lane: usize) -> impl Iterator<Item = u32> {
        self.keys.iter().map(move |keys| keys.get(lane).copied().unwrap_or(0))
    }

    /// True when the row holds a NaN.
    #[inline(always)]
    fn fill(&mut self, lane: usize, row: &[f64], tables: &Tables) -> bool {
        self.ordered.clear();
        self.ordered.extend(row.iter().map(|&value| order_key(value)));
        let least = self.ordered.iter().fold(u64::MAX, |least, key| least.min(*key));
        let most = self.ordered.iter().fold(0, |most, key| most.max(*key));
        let place_bits = tables.mask().count_ones();
        let shift = (64 - (most - least).leading_zeros()).saturating_sub(32 - place_bits);
        for ((keys, ordered), place) in self.keys.iter_mut().zip(&self.ordered).zip(tables.places()) {
            if let Some(key) = keys.get_mut(lane) {
                *key = (((ordered - least) >> shift) as u32) << place_bits | place;
            }
        }
        row.iter().fold(false, |nan, value| nan | value.is_nan())
    }

    #[inline(always)]
    fn sort(&mut self) {
        for &(low, high) in &self.steps {
            let (low, high) = (low as usize, high as usize);
            let (Some(&a), Some(&b)) = (self.keys.get(low), self.keys.get(high)) else { continue };
            if let Some(keys) = self.keys.get_mut(low) {
                keys.iter_mut().zip(a.iter().zip(&b)).for_each(|(key, (a, b))| *key = *a.min(b));
            }
            if let Some(keys) = self.keys.get_mut(high) {
                keys.iter_mut().zip(a.iter().zip(&b)).for_each(|(key, (a, b))| *key = *a.max(b));
            }
        }
    }

    /// Products and closeness, from keys in order.
    #[inline(always)]
    fn products(&self, tables: &Tables, tally: &mut Tally) {
        let mask = tables.mask();
        let mut double = 1 - self.len as i32;
        let mut before = [0; LANES];
        let mut apart: Each<u32> = [u32::MAX; LANES];
        for (rank, keys) in self.keys.iter().enumerate() {
            for lane in 0..LANES {
                tally.product[lane] += double * tables.double[(keys[lane] & mask) as usize % TABLE];
                let gap = if rank == 0 { u32::MAX } else { (keys[lane] | mask) - before[lane] };
                apart[lane] = apart[lane].min(gap);
                before[lane] = keys[lane] | mask;
            }
            double += 2;
        }
        for (close, apart) in tally.close.iter_mut().zip(apart) {
            *close = apart == 0;
        }
    }

    /// Signatures, and discordant pairs of short rows: those met before at a larger place of the target.
    #[inline(always)]
    fn others(&self, tables: &Tables, tally: &mut Tally) {
        let mask = tables.mask();
        let mut double = 1 - self.len as i64;
        for keys in &self.keys {
            for (signature, key) in tally.signature.iter_mut().zip(keys) {
                let weight = tables.weight[(key & mask) as usize % TABLE];
                *signature = signature.wrapping_add(weight.wrapping_mul(double as u64));
            }
            double += 2;
        }
        if self.len > SET {
            return;
        }
        let mut met = [0_u64; LANES];
        for keys in &self.keys {
            for lane in 0..LANES {
                let place = (keys[lane] & mask) as usize % SET;
                tally.discordant[lane] += (met[lane] & tables.above[place]).count_ones();
                met[lane] |= 1 << place;
            }
        }
    }
}

struct Rank<'a> {
    lanes: &'a mut Lanes,
    rows: &'a [f64],
    tables: &'a Tables,
    all: bool,
}

impl WithSimd for Rank<'_> {
    type Output = Tally;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Tally {
        let Rank { lanes, rows, tables, all } = self;
        let mut tally = Tally::default();
        for ((lane, row), nan) in rows.chunks_exact(lanes.len.max(1)).enumerate().zip(&mut tally.nan) {
            *nan = lanes.fill(lane, row, tables);
        }
        lanes.sort();
        lanes.products(tables, &mut tally);
        if all {
            lanes.others(tables, &mut tally);
        }
        tally
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
