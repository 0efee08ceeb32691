//! All that screening asks of a row at once: Spearman, Kendall and a signature of its ranking, from one sort.

use super::correlate::{self, Inversions};
use super::order::Order;
use super::target::{Target, centred};

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

/// Ranks batches of rows; its memory is used again.
#[derive(Default)]
pub struct Ranker {
    order: Order,
    inversions: Inversions,
}

impl Ranker {
    /// Compares each row with the target; rows of the target's length stand one after the other.
    pub fn agree(&mut self, rows: &[f64], target: &Target, out: &mut [Agreement]) {
        for (row, slot) in rows.chunks_exact(target.len().max(1)).zip(out) {
            let sorted = self.order.sort(row);
            *slot = if sorted {
                Agreement {
                    spearman: correlate::spearman(&self.order, target),
                    kendall: correlate::kendall(&self.order, target, &mut self.inversions),
                    signature: signature(&self.order),
                }
            } else {
                Agreement { spearman: f64::NAN, kendall: f64::NAN, signature: 0 }
            };
        }
    }
}

/// Sum over positions of a pseudorandom weight times the centred double rank, modulo 2^64.
fn signature(order: &Order) -> u64 {
    let len = order.index.len();
    let mut sum = 0_u64;
    for (start, members) in order.groups() {
        let double = centred(start, members.len(), len) as u64;
        let weights = members.iter().fold(0_u64, |weights, &member| weights.wrapping_add(weight(member)));
        sum = sum.wrapping_add(weights.wrapping_mul(double));
    }
    mix(sum ^ len as u64)
}

/// The weight of a position.
pub(super) fn weight(position: u32) -> u64 {
    mix(u64::from(position).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Spreads every bit over the word.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let value = (value ^ (value >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    value ^ (value >> 32)
}
