//! What is looked up of a short target by place, the place of a position being where it stands in the target's order.

use super::order::Order;
use super::target::centred;

/// Entries of a table: the longest row that has one. Beyond it the network's n log^2 n steps lose against sorting one row
/// after the other.
pub const TABLE: usize = 512;
/// The longest row whose places fit in a set of bits.
pub const SET: usize = 64;

/// Tables by place; entries beyond the target's length are 0.
pub struct Tables {
    /// The place of each position; no two share one.
    places: Vec<u32>,
    /// Centred double rank in the target.
    pub double: [i32; TABLE],
    /// Weight of the position in a signature.
    pub weight: [u64; TABLE],
    /// The places of all larger values of the target, as bits.
    pub above: [u64; SET],
    /// The places of all values equal to this one, itself included, as bits.
    pub equal: [u64; SET],
}

impl Tables {
    /// Of a target of `len` values with this order; none for one that is too long, or has no order.
    pub fn new(order: &Order, len: usize) -> Option<Box<Tables>> {
        if len > TABLE || order.index.len() != len {
            return None;
        }
        let mut tables = Box::new(Tables {
            places: vec![0; len],
            double: [0; TABLE],
            weight: [0; TABLE],
            above: [0; SET],
            equal: [0; SET],
        });
        for (start, members) in order.groups() {
            let end = start + members.len();
            for (place, &position) in (start..end).zip(members) {
                if let Some(slot) = tables.places.get_mut(position as usize) {
                    *slot = place as u32;
                }
                tables.double[place % TABLE] = centred(start, members.len(), len) as i32;
                tables.weight[place % TABLE] = weight(position);
                if len <= SET {
                    let above = u64::MAX.checked_shl(end as u32).unwrap_or(0);
                    tables.above[place % SET] = above;
                    tables.equal[place % SET] = (u64::MAX << start) & !above;
                }
            }
        }
        Some(tables)
    }

    /// Length of the target.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// The place of each position.
    pub fn places(&self) -> &[u32] {
        &self.places
    }

    /// Low bits that can hold any place.
    pub fn mask(&self) -> u32 {
        (self.places.len().max(2) as u32).next_power_of_two() - 1
    }
}

/// The weight of a position in the signature: the sum over positions of weight times centred double rank.
pub fn weight(position: u32) -> u64 {
    mix(u64::from(position).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Spreads every bit over the word.
pub fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let value = (value ^ (value >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    value ^ (value >> 32)
}
