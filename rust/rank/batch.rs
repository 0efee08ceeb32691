//! All that screening asks of a row at once: Spearman, Kendall and a signature of its ranking, from one sort.

use super::correlate::{Inversions, rho, tau};
use super::lanes::{LANES, LONGEST, Lanes};
use super::order::Order;
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

/// Ranks batches of rows; its memory is used again.
#[derive(Default)]
pub struct Ranker {
    lanes: Lanes,
    order: Order,
    inversions: Inversions,
    /// Weight of each position in a signature.
    weights: Vec<u64>,
}

impl Ranker {
    /// Compares each row with the target; rows of the target's length stand one after the other.
    pub fn agree(&mut self, rows: &[f64], target: &Target, out: &mut [Agreement]) {
        let len = target.len();
        if len == 0 {
            return out.fill(Agreement::NONE);
        }
        self.weights.extend((self.weights.len() as u32..len as u32).map(weight));
        for (rows, out) in rows.chunks(LANES * len).zip(out.chunks_mut(LANES)) {
            if len > LONGEST || out.len() < LANES / 4 {
                for (row, slot) in rows.chunks_exact(len).zip(out) {
                    *slot = if self.order.sort(row) { self.measure(target) } else { Agreement::NONE };
                }
                continue;
            }
            self.lanes.sort(rows, len);
            for ((lane, row), slot) in rows.chunks_exact(len).enumerate().zip(out) {
                let sorted = self.order.take(self.lanes.lane(lane), self.lanes.mask(), row);
                *slot = if sorted { self.measure(target) } else { Agreement::NONE };
            }
        }
    }

    /// All three from the order of one row.
    fn measure(&mut self, target: &Target) -> Agreement {
        let found = match target.len() {
            ..=64 if self.order.ends.len() == self.order.index.len() => self.untied(target),
            _ => self.any(target),
        };
        let (product, spread, discordant, tied, tied_both, signature) = found;
        Agreement {
            spearman: rho(product, spread, target),
            kendall: tau(discordant, tied, tied_both, target),
            signature: mix(signature ^ target.len() as u64),
        }
    }

    /// A short row without ties: discordant pairs are counted in a set of the target ranks met so far.
    fn untied(&self, target: &Target) -> Counts {
        let len = target.len() as i64;
        let (mut product, mut discordant, mut met, mut signature) = (0_i64, 0_u32, 0_u64, 0_u64);
        let mut double = 1 - len;
        for &position in &self.order.index {
            let Some(place) = target.places.get(position as usize) else { continue };
            product += double * place.double;
            discordant += (met & place.above).count_ones();
            met |= place.own;
            let weight = self.weights.get(position as usize).copied().unwrap_or(0);
            signature = signature.wrapping_add(weight.wrapping_mul(double as u64));
            double += 2;
        }
        let spread = i128::from(len) * i128::from(len * len - 1) / 3;
        (i128::from(product), spread, i128::from(discordant), 0, 0, signature)
    }

    fn any(&mut self, target: &Target) -> Counts {
        let len = target.len();
        let (mut product, mut spread, mut tied, mut signature) = (0_i128, 0_i128, 0_i128, 0_u64);
        for (start, members) in self.order.groups() {
            let double = centred(start, members.len(), len);
            let (mut doubles, mut weights) = (0_i64, 0_u64);
            for &member in members {
                doubles += target.double.get(member as usize).copied().unwrap_or(0);
                weights = weights.wrapping_add(self.weights.get(member as usize).copied().unwrap_or(0));
            }
            product += i128::from(double) * i128::from(doubles);
            spread += i128::from(double) * i128::from(double) * members.len() as i128;
            tied += pairs(members.len());
            signature = signature.wrapping_add(weights.wrapping_mul(double as u64));
        }
        let (discordant, tied_both) = self.inversions.discordant(&self.order, target);
        (product, spread, discordant, tied, tied_both, signature)
    }
}

/// Product and spread of ranks, discordant and tied pairs, pairs tied on both sides, sum of the signature.
type Counts = (i128, i128, i128, i128, i128, u64);

/// The weight of a position in the signature: the sum over positions of weight times centred double rank.
fn weight(position: u32) -> u64 {
    mix(u64::from(position).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Spreads every bit over the word.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let value = (value ^ (value >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    value ^ (value >> 32)
}
