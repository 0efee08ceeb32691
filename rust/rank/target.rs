//! The row that others are compared with, prepared once.

use super::order::Order;

/// A target row with its ranks, ties and order.
pub struct Target {
    /// The values as given.
    pub(super) values: Vec<f64>,
    /// Centred double ranks: how many values are smaller minus how many are larger. Ties share theirs.
    pub(super) double: Vec<i64>,
    /// Sum of the squares of `double`.
    pub(super) spread: i128,
    /// Dense rank of each value: equal values share it, the smallest has 0.
    pub(super) dense: Vec<u32>,
    /// For a target of up to 64 values, each value's part in what is counted of a row without ties.
    pub(super) places: Vec<Place>,
    /// Pairs of equal values.
    pub(super) tied: i128,
    /// The ascending order of the values.
    pub(super) order: Order,
    /// False when a value is a NaN or all are equal: no correlation is defined.
    pub(super) usable: bool,
}

/// What a row without ties needs to know of one value of a short target.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// As in `Target::double`.
    pub double: i64,
    /// The bit of this value, in the order of the target.
    pub own: u64,
    /// The bits of all larger values.
    pub above: u64,
}

impl Target {
    /// Prepares `values`; any length and any values are accepted.
    #[must_use]
    pub fn new(values: &[f64]) -> Target {
        let len = values.len();
        let mut target = Target {
            values: values.to_vec(),
            double: vec![0; len],
            spread: 0,
            dense: vec![0; len],
            places: Vec::new(),
            tied: 0,
            order: Order::default(),
            usable: false,
        };
        if !target.order.sort(values) {
            return target;
        }
        for (rank, (start, members)) in target.order.groups().enumerate() {
            let double = centred(start, members.len(), len);
            for &member in members {
                if let Some(slot) = target.double.get_mut(member as usize) {
                    *slot = double;
                }
                if let Some(slot) = target.dense.get_mut(member as usize) {
                    *slot = rank as u32;
                }
            }
            target.spread += i128::from(double) * i128::from(double) * members.len() as i128;
            target.tied += pairs(members.len());
        }
        target.usable = target.order.ends.len() > 1;
        if len <= 64 {
            target.places = target.short_places();
        }
        target
    }

    fn short_places(&self) -> Vec<Place> {
        let mut places = vec![Place::default(); self.len()];
        for (start, members) in self.order.groups() {
            let end = start + members.len();
            for (at, &member) in (start..).zip(members) {
                if let Some(place) = places.get_mut(member as usize) {
                    place.double = centred(start, members.len(), self.len());
                    place.own = 1 << at;
                    place.above = u64::MAX.checked_shl(end as u32).unwrap_or(0);
                }
            }
        }
        places
    }

    /// False when a value is a NaN or all are equal: then no correlation is defined.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.usable
    }

    /// The values as given.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// True when there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// Smaller minus larger values for each member of a group of `size` ties that has `start` values before it.
pub(super) fn centred(start: usize, size: usize, len: usize) -> i64 {
    (2 * start + size) as i64 - len as i64
}

/// Number of pairs among `count` things.
pub(super) fn pairs(count: usize) -> i128 {
    let count = count as i128;
    count * (count - 1) / 2
}
