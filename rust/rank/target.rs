//! The row that others are compared with, prepared once.

use super::order::Order;
use super::tables::Tables;

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
    /// For a target that is not too long, what is looked up by place.
    pub(super) tables: Option<Box<Tables>>,
    /// Pairs of equal values.
    pub(super) tied: i128,
    /// The ascending order of the values.
    pub(super) order: Order,
    /// False when a value is a NaN or all are equal: no correlation is defined.
    pub(super) usable: bool,
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
            tables: None,
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
        target.tables = Tables::new(&target.order, len);
        target
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
