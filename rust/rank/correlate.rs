//! Spearman's rho and Kendall's tau-b of one sorted row against a target, both in exact integers.

use super::order::Order;
use super::target::{Target, pairs};

/// Buffers of the merge sort that counts inversions.
#[derive(Default)]
pub struct Inversions {
    from: Vec<u32>,
    to: Vec<u32>,
}

/// Kendall's tau-b by Knight's method: (concordant - discordant) / sqrt(pairs not tied in x * pairs not tied in y).
///
/// Source: W. R. Knight, "A computer method for calculating Kendall's tau with ungrouped data", JASA 61 (1966).
pub fn kendall(order: &Order, target: &Target, buffers: &mut Inversions) -> f64 {
    let (discordant, tied_both) = buffers.discordant(order, target);
    let tied = order.groups().map(|(_, members)| pairs(members.len())).sum::<i128>();
    tau(discordant, tied, tied_both, target)
}

/// Spearman's rho, Pearson's correlation of average ranks, from sums of products and of squares; NaN where undefined.
///
/// With centred double ranks d (smaller minus larger values) the means vanish and rho = sum d t / sqrt(sum d^2 sum t^2),
/// which needs no rounding before the division. One root of the product: equal spreads cancel, perfect agreement is 1.
#[inline(always)]
pub(super) fn rho(product: i128, spread: i128, target: &Target) -> f64 {
    if !target.usable || spread == 0 {
        return f64::NAN;
    }
    product as f64 / (spread as f64 * target.spread as f64).sqrt()
}

/// Kendall's tau-b from counts of pairs; NaN where it is not defined.
#[inline(always)]
pub(super) fn tau(discordant: i128, tied: i128, tied_both: i128, target: &Target) -> f64 {
    let all = pairs(target.len());
    if !target.usable || tied == all {
        return f64::NAN;
    }
    let difference = all - tied - target.tied + tied_both - 2 * discordant;
    // One root of the product, so that perfect agreement is exactly 1.
    let tau = difference as f64 / ((all - tied) as f64 * (all - target.tied) as f64).sqrt();
    tau.clamp(-1.0, 1.0)
}

impl Inversions {
    /// Discordant pairs, and pairs tied on both sides.
    pub fn discordant(&mut self, order: &Order, target: &Target) -> (i128, i128) {
        let mut tied_both = 0_i128;
        self.from.clear();
        for (_, members) in order.groups() {
            let start = self.from.len();
            self.from.extend(members.iter().filter_map(|&member| target.dense.get(member as usize)));
            if members.len() > 1
                && let Some(dense) = self.from.get_mut(start..)
            {
                dense.sort_unstable();
                tied_both += dense.chunk_by(|a, b| a == b).map(|run| pairs(run.len())).sum::<i128>();
            }
        }
        (self.count(), tied_both)
    }

    /// Pairs of `from` whose earlier member is larger; sorts `from` on the way, runs of doubling width.
    fn count(&mut self) -> i128 {
        let mut inversions = 0_i128;
        let mut width = 1;
        while width < self.from.len() {
            self.to.clear();
            for run in self.from.chunks(2 * width) {
                let (left, right) = run.split_at(width.min(run.len()));
                inversions += merge(left, right, &mut self.to);
            }
            std::mem::swap(&mut self.from, &mut self.to);
            width *= 2;
        }
        inversions
    }
}

/// Appends two sorted runs as one; counts the pairs in which the left value is larger than the right one.
fn merge(left: &[u32], right: &[u32], to: &mut Vec<u32>) -> i128 {
    let mut inversions = 0_i128;
    let mut left = left.iter().peekable();
    let mut right = right.iter().peekable();
    loop {
        match (left.peek(), right.peek()) {
            (Some(a), Some(b)) if a > b => {
                inversions += left.len() as i128;
                to.extend(right.next());
            }
            (Some(_), _) => to.extend(left.next()),
            (None, Some(_)) => to.extend(right.next()),
            (None, None) => return inversions,
        }
    }
}
