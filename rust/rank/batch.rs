//! All that screening asks of a row at once: Spearman, Kendall and a signature of its ranking, from one sort.

use super::correlate::{Inversions, rho, tau};
use super::lanes::{LANES, Lanes, Tally};
use super::order::Order;
use super::tables::{SET, Tables, mix, weight};
use super::target::{Target, centred, pairs};

/// How one row agrees with the target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// Spearman's rho.
    pub spearman: f64,
    /// Kendall's tau-b.
    pub kendall: f64,
    /// Rows with the same average ranks share it; others do not, but for a chance of 2^-64. 0 for rows with a NaN.
    pub signature: u64,
}

impl Agreement {
    /// Of a row with a NaN.
    pub const NONE: Agreement = Agreement { spearman: f64::NAN, kendall: f64::NAN, signature: 0 };
}

/// Fewer rows than this are sorted one after the other.
const FEW: usize = 4;

/// Ranks batches of rows; its memory is used again.
#[derive(Default)]
pub struct Ranker {
    lanes: Lanes,
    order: Order,
    inversions: Inversions,
}

impl Ranker {
    /// Compares each row with the target; rows of the target's length stand one after the other.
    pub fn agree(&mut self, rows: &[f64], target: &Target, out: &mut [Agreement]) {
        self.compare(rows, target, true, out);
    }

    /// The same without Kendall's tau-b, which is NaN, and without a signature, which is 0.
    pub fn spearman(&mut self, rows: &[f64], target: &Target, out: &mut [Agreement]) {
        self.compare(rows, target, false, out);
    }

    fn compare(&mut self, rows: &[f64], target: &Target, all: bool, out: &mut [Agreement]) {
        let len = target.len();
        if len == 0 {
            return out.fill(Agreement::NONE);
        }
        for (rows, out) in rows.chunks(LANES * len).zip(out.chunks_mut(LANES)) {
            match &target.tables {
                Some(tables) if out.len() >= FEW => {
                    let tally = self.lanes.tally(rows, tables, all);
                    for ((lane, row), slot) in rows.chunks_exact(len).enumerate().zip(out) {
                        *slot = self.of_lane(lane, row, target, tables, &tally, all);
                    }
                }
                _ => {
                    for (row, slot) in rows.chunks_exact(len).zip(out) {
                        *slot =
                            if self.order.sort(row) { self.measure(target, all) } else { Agreement::NONE };
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn of_lane(
        &mut self,
        lane: usize,
        row: &[f64],
        target: &Target,
        tables: &Tables,
        tally: &Tally,
        all: bool,
    ) -> Agreement {
        if tally.nan.get(lane) == Some(&true) {
            return Agreement::NONE;
        }
        if tally.close.get(lane) == Some(&true) || all && target.len() > SET {
            let position = |place: u32| target.order.index.get(place as usize).copied().unwrap_or(0);
            let mask = tables.mask();
            let keys = self.lanes.lane(lane).map(|key| (key & !mask) | position(key & mask));
            self.order.take(keys, mask, row);
            return self.measure(target, all);
        }
        let count = |counts: &[u32]| counts.get(lane).map_or(0, |count| i128::from(*count));
        let len = i128::from(target.len() as u64);
        let (product, spread) = (tally.product.get(lane).copied().unwrap_or(0), len * (len * len - 1) / 3);
        let signature = tally.signature.get(lane).copied().unwrap_or(0);
        let counts = Counts {
            product: i128::from(product),
            spread,
            discordant: count(&tally.discordant),
            signature,
            ..Counts::default()
        };
        counts.agreement(target, all)
    }

    /// From the order of one row.
    fn measure(&mut self, target: &Target, all: bool) -> Agreement {
        let len = target.len();
        let mut counts = Counts::default();
        for (start, members) in self.order.groups() {
            let double = centred(start, members.len(), len);
            let (mut doubles, mut weights) = (0_i64, 0_u64);
            for &member in members {
                doubles += target.double.get(member as usize).copied().unwrap_or(0);
                if all {
                    weights = weights.wrapping_add(weight(member));
                }
            }
            counts.product += i128::from(double * doubles);
            counts.spread += i128::from(double * double * members.len() as i64);
            counts.tied += pairs(members.len());
            counts.signature = counts.signature.wrapping_add(weights.wrapping_mul(double as u64));
        }
        if all {
            (counts.discordant, counts.tied_both) = match &target.tables {
                Some(tables) if len <= SET => discordant(&self.order, tables),
                _ => self.inversions.discordant(&self.order, target),
            };
        }
        counts.agreement(target, all)
    }
}

/// Discordant pairs of a short row, and pairs tied on both sides, by sets of the places met so far.
fn discordant(order: &Order, tables: &Tables) -> (i128, i128) {
    let (mut met, mut discordant, mut tied_both) = (0_u64, 0_u32, 0_u32);
    for (_, members) in order.groups() {
        let mut group = 0_u64;
        for &member in members {
            let place = tables.places().get(member as usize).copied().unwrap_or(0) as usize % SET;
            discordant += (met & tables.above[place]).count_ones();
            tied_both += (group & tables.equal[place]).count_ones();
            group |= 1 << place;
        }
        met |= group;
    }
    (i128::from(discordant), i128::from(tied_both))
}

/// What is counted of a row: product and spread of ranks, discordant and tied pairs, pairs tied on both sides, and the
/// sum of the signature.
#[derive(Default)]
struct Counts {
    product: i128,
    spread: i128,
    discordant: i128,
    tied: i128,
    tied_both: i128,
    signature: u64,
}

impl Counts {
    #[inline(always)]
    fn agreement(&self, target: &Target, all: bool) -> Agreement {
        let spearman = rho(self.product, self.spread, target);
        if !all {
            return Agreement { spearman, ..Agreement::NONE };
        }
        Agreement {
            spearman,
            kendall: tau(self.discordant, self.tied, self.tied_both, target),
            signature: mix(self.signature ^ target.len() as u64),
        }
    }
}
