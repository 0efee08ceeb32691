//! The small linear programs of the dual: the best mixture of known choices that keeps the budgets.
//!
//!   minimise sum_t mu_t loss_t + sum_k cap_k v_k   s.t.   sum_t mu_t excess_tk - v_k <= 0,  sum_t mu_t = 1,  mu, v >= 0
//!
//! A column t is a whole choice, `excess_tk` its cost over budget k. The row multipliers are the prices, kept in
//! [0, cap_k] by the columns v. Revised simplex with a dense inverse of (constraints + 1) rows.

/// Columns known so far and the current basis.
#[derive(Clone, Debug)]
pub struct Master {
    m: usize,
    /// Columns one after the other: m excesses, then the loss.
    columns: Vec<f64>,
    caps: Vec<f64>,
    basis: Vec<Entry>,
    /// Inverse of the basis, row by row, (m + 1) squared.
    inverse: Vec<f64>,
    /// Values of the basic variables.
    value: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// Unused budget of a row.
    Slack(usize),
    /// Overspent budget of a row.
    Over(usize),
    /// A choice.
    Column(usize),
}

const TINY: f64 = 1e-11;

impl Master {
    /// Starts from one choice.
    pub fn new(excess: &[f64], loss: f64, caps: &[f64]) -> Self {
        let m = excess.len();
        let n = m + 1;
        let mut master = Self {
            m,
            columns: excess.to_vec(),
            caps: caps.to_vec(),
            basis: Vec::with_capacity(n),
            inverse: vec![0.0; n * n],
            value: excess.iter().map(|excess| excess.abs()).chain([1.0]).collect(),
        };
        master.columns.push(loss);
        for (k, &excess) in excess.iter().enumerate() {
            // Row k reads: sign * basic + excess * mu = 0, with mu = 1 from the last row.
            let sign = if excess > 0.0 { -1.0 } else { 1.0 };
            master.basis.push(if excess > 0.0 { Entry::Over(k) } else { Entry::Slack(k) });
            master.inverse[k * n + k] = sign;
            master.inverse[k * n + m] = -sign * excess;
        }
        master.basis.push(Entry::Column(0));
        master.inverse[m * n + m] = 1.0;
        master
    }

    /// Adds a choice.
    pub fn add(&mut self, excess: &[f64], loss: f64) {
        self.columns.extend_from_slice(excess);
        self.columns.push(loss);
    }

    /// Raises every cap; the basis stays feasible.
    pub fn raise_caps(&mut self, factor: f64) {
        self.caps.iter_mut().for_each(|cap| *cap *= factor);
    }

    /// Whether a price sits at its cap: some budget is overspent in the mixture.
    pub fn is_capped(&self) -> bool {
        self.basis
            .iter()
            .zip(&self.value)
            .any(|(entry, &value)| matches!(entry, Entry::Over(_)) && value > 1e-9)
    }

    /// Choices of the optimal mixture: weight and number, in the order they were added.
    pub fn mixture(&self) -> impl Iterator<Item = (f64, usize)> {
        self.basis.iter().zip(&self.value).filter_map(|(entry, &value)| match entry {
            Entry::Column(at) => Some((value.max(0.0), *at)),
            _ => None,
        })
    }

    /// Optimises over the known columns; writes the prices and returns the value.
    pub fn optimise(&mut self, prices: &mut [f64]) -> f64 {
        let n = self.m + 1;
        let mut multipliers = vec![0.0; n];
        let mut direction = vec![0.0; n];
        for round in 0..50 * (n + 4) {
            self.multipliers(&mut multipliers);
            // Bland's rule in the later rounds, against cycling.
            let Some(entering) = self.price(&multipliers, round > 10 * n) else { break };
            self.direction(entering, &mut direction);
            if !self.pivot(entering, &direction) {
                break;
            }
        }
        self.multipliers(&mut multipliers);
        for (price, multiplier) in prices.iter_mut().zip(&multipliers) {
            *price = (-multiplier).max(0.0);
        }
        self.basis.iter().zip(&self.value).map(|(&entry, value)| self.cost(entry) * value).sum()
    }

    fn cost(&self, entry: Entry) -> f64 {
        match entry {
            Entry::Slack(_) => 0.0,
            Entry::Over(k) => self.caps[k],
            Entry::Column(t) => self.columns[t * (self.m + 1) + self.m],
        }
    }

    /// Entry `row` of a column of the constraint matrix.
    fn entry(&self, entry: Entry, row: usize) -> f64 {
        match entry {
            Entry::Slack(k) => f64::from(u8::from(k == row)),
            Entry::Over(k) => -f64::from(u8::from(k == row)),
            Entry::Column(_) if row == self.m => 1.0,
            Entry::Column(t) => self.columns[t * (self.m + 1) + row],
        }
    }

    fn multipliers(&self, out: &mut [f64]) {
        let n = self.m + 1;
        out.fill(0.0);
        for (row, &entry) in self.basis.iter().enumerate() {
            let cost = self.cost(entry);
            if cost != 0.0 {
                out.iter_mut()
                    .zip(&self.inverse[row * n..])
                    .for_each(|(out, inverse)| *out += cost * inverse);
            }
        }
    }

    fn price(&self, multipliers: &[f64], first: bool) -> Option<Entry> {
        let n_columns = self.columns.len() / (self.m + 1);
        let entries = (0..self.m)
            .flat_map(|k| [Entry::Slack(k), Entry::Over(k)])
            .chain((0..n_columns).map(Entry::Column));
        let mut best: Option<(f64, Entry)> = None;
        for entry in entries {
            let mut reduced = self.cost(entry);
            let mut size = reduced.abs();
            for (row, multiplier) in multipliers.iter().enumerate() {
                let part = multiplier * self.entry(entry, row);
                reduced -= part;
                size = size.max(part.abs());
            }
            if reduced < -TINY * size
                && best.is_none_or(|(least, _)| reduced < least)
                && !self.basis.contains(&entry)
            {
                best = Some((reduced, entry));
                if first {
                    break;
                }
            }
        }
        best.map(|(_, entry)| entry)
    }

    fn direction(&self, entering: Entry, out: &mut [f64]) {
        let n = self.m + 1;
        for (row, out) in out.iter_mut().enumerate() {
            let inverse = &self.inverse[row * n..(row + 1) * n];
            *out = inverse.iter().enumerate().map(|(at, inverse)| inverse * self.entry(entering, at)).sum();
        }
    }

    fn pivot(&mut self, entering: Entry, direction: &[f64]) -> bool {
        let n = self.m + 1;
        let mut leaving: Option<(f64, usize)> = None;
        for (row, &step) in direction.iter().enumerate() {
            if step > TINY {
                let ratio = self.value[row].max(0.0) / step;
                if leaving.is_none_or(|(least, at)| ratio < least || (ratio == least && step > direction[at]))
                {
                    leaving = Some((ratio, row));
                }
            }
        }
        let Some((ratio, leaves)) = leaving else { return false };
        let pivot = direction[leaves];
        for at in 0..n {
            self.inverse[leaves * n + at] /= pivot;
        }
        for row in (0..n).filter(|&row| row != leaves) {
            let factor = direction[row];
            if factor != 0.0 {
                for at in 0..n {
                    self.inverse[row * n + at] -= factor * self.inverse[leaves * n + at];
                }
            }
            self.value[row] -= factor * ratio;
        }
        self.value[leaves] = ratio;
        self.basis[leaves] = entering;
        true
    }
}
