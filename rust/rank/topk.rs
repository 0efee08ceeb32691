//! Overlap of the k largest values of two rows.

use super::order::Order;

/// Share of membership of each position in the top k: 1 above the k-th value, and the remaining places spread evenly
/// over the values that tie with it.
pub fn membership(order: &Order, k: usize, share: &mut Vec<f64>) {
    share.clear();
    share.resize(order.index.len(), 0.0);
    let mut free = k;
    let mut end = order.index.len();
    let starts = order.ends.iter().rev().skip(1).copied().chain(std::iter::once(0));
    for start in starts {
        let members = order.index.get(start as usize..end).unwrap_or_default();
        let part = (free as f64 / members.len() as f64).min(1.0);
        for &member in members {
            if let Some(slot) = share.get_mut(member as usize) {
                *slot = part;
            }
        }
        free = free.saturating_sub(members.len());
        end = start as usize;
        if free == 0 {
            break;
        }
    }
}

/// Expected share of common members when ties at the edge are drawn independently: sum of a_i b_i over k.
pub fn overlap(a: &[f64], b: &[f64], k: usize) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>() / k as f64
}
