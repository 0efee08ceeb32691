//! A row of numbers to its ascending order with groups of ties.

/// Ascending order of one row: `index` lists the positions from smallest to largest value, `end` closes each group of ties.
#[derive(Default)]
pub struct Order {
    /// Positions in the row, smallest value first; within a group of ties in ascending position.
    pub index: Vec<u32>,
    /// Exclusive ends of the groups of equal values, as places in `index`; the last one is the length.
    pub ends: Vec<u32>,
    keys: Vec<u64>,
}

impl Order {
    /// Sorts `row`; false, with the order left empty, when the row holds a NaN.
    ///
    /// A value becomes an integer key of the same order whose low bits give way to the position, so that plain
    /// integers are sorted; runs whose remaining bits agree are then put right by the values themselves.
    pub fn sort(&mut self, row: &[f64]) -> bool {
        self.index.clear();
        self.ends.clear();
        if row.iter().any(|value| value.is_nan()) {
            return false;
        }
        let low = position_mask(row.len());
        self.keys.clear();
        let keys = row.iter().enumerate();
        self.keys.extend(keys.map(|(position, &value)| (order_key(value) & !low) | position as u64));
        self.keys.sort_unstable();
        self.index.extend(self.keys.iter().map(|key| (key & low) as u32));
        let keys = std::mem::take(&mut self.keys);
        self.close_groups(row, &keys, low);
        self.keys = keys;
        true
    }

    /// Takes over keys that were sorted elsewhere, positions in the bits of `mask`; false for a row with a NaN.
    pub fn take(&mut self, sorted: impl Iterator<Item = u32>, mask: u32, row: &[f64]) -> bool {
        self.index.clear();
        self.ends.clear();
        self.keys.clear();
        let mut before = u32::MAX;
        let mut runs = false;
        for key in sorted {
            self.index.push(key & mask);
            runs |= (key | mask) == before;
            before = key | mask;
            self.keys.push(u64::from(key));
        }
        if !runs {
            self.ends.extend(1..=self.index.len() as u32);
            return !row.iter().any(|value| value.is_nan());
        }
        if row.iter().any(|value| value.is_nan()) {
            return false;
        }
        let keys = std::mem::take(&mut self.keys);
        self.close_groups(row, &keys, u64::from(mask));
        self.keys = keys;
        true
    }

    /// Finds the groups of equal values, first sorting each run of keys that only the position tells apart.
    fn close_groups(&mut self, row: &[f64], keys: &[u64], low: u64) {
        let value = |position: u32| row.get(position as usize).copied().unwrap_or(f64::NAN);
        let mut start = 0;
        for run in keys.chunk_by(|a, b| a | low == b | low) {
            let end = start + run.len();
            if run.len() == 1 {
                self.ends.push(end as u32);
            } else if let Some(places) = self.index.get_mut(start..end) {
                // Often all are equal, and then their order is found below.
                let first = places.first().map_or(f64::NAN, |&place| value(place));
                if places.iter().any(|&place| value(place) != first) {
                    places.sort_unstable_by(|&a, &b| value(a).total_cmp(&value(b)).then(a.cmp(&b)));
                }
                // -0.0 and 0.0 are equal numbers, so their positions must be put in order again.
                for group in places.chunk_by_mut(|&a, &b| value(a) == value(b)) {
                    group.sort_unstable();
                    start += group.len();
                    self.ends.push(start as u32);
                }
            }
            start = end;
        }
    }

    /// Groups of ties from the smallest value up: place of the first member, and the members' positions.
    pub fn groups(&self) -> impl Iterator<Item = (usize, &[u32])> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| {
            (start as usize, self.index.get(start as usize..end as usize).unwrap_or_default())
        })
    }
}

/// An integer with the order of the number; -0.0 and 0.0 share one.
pub(super) fn order_key(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// Low bits that can hold any position of a row of this length.
fn position_mask(len: usize) -> u64 {
    (len.max(2) as u64).next_power_of_two() - 1
}
