//! How cheaply the slacks of several budgets can still be repaired: bounds on what is left of a search.
//!
//! Let a state have slack r, and later moves j change it to a final slack s >= 0. For a direction u and any rate
//! b with `b * (u . cost_j) <= excess_j` for all later moves and `b * u_k <= p_k`,
//!
//!   sum_j excess_j + p . s  >=  b * u . (r - s) + p . s  >=  b * u . r.
//!
//! Directions are the signed axes in units of the prices and, for two and three budgets, the signed sums of
//! two axes; the largest b is kept for each suffix of the sorted moves.

/// Largest rates of every direction and suffix.
pub struct Rates<const M: usize> {
    /// Weight of each slack in a direction; one over the price, so that directions are comparable.
    weight: [f64; M],
    m: usize,
    n_directions: usize,
    /// `[(moves + 1) * directions]` pairs: rate for a positive and for a negative value of the direction.
    rates: Vec<[f64; 2]>,
}

impl<const M: usize> Rates<M> {
    /// Takes prices `[m <= M]` and the moves in the order of the search.
    pub fn new(prices: &[f64], excess: &[f64], costs: &[[i64; M]]) -> Self {
        let m = prices.len();
        let mut weight = [0.0; M];
        for (k, &price) in prices.iter().enumerate() {
            let largest = costs.iter().map(|cost| cost[k].unsigned_abs()).max().unwrap_or(0).max(1);
            weight[k] = if price > 0.0 { price } else { 1.0 / largest as f64 };
        }
        let n_directions = if m <= 3 { m + m * (m - 1) } else { m };
        let mut rates =
            Self { weight, m, n_directions, rates: vec![[0.0; 2]; (excess.len() + 1) * n_directions] };
        let unpaid: Vec<f64> = prices.iter().map(|&price| if price > 0.0 { 1.0 } else { 0.0 }).collect();
        rates.cap(excess.len() * n_directions, &unpaid);
        for at in (0..excess.len()).rev() {
            for direction in 0..n_directions {
                let [mut plus, mut minus] = rates.rates[(at + 1) * n_directions + direction];
                // Rounding could make a rate too large; 1e-12 is far above it.
                let value = rates.value(direction, &costs[at]);
                let rate = excess[at] / value.abs() * (1.0 - 1e-12);
                if value > 0.0 {
                    plus = plus.min(rate);
                } else if value < 0.0 {
                    minus = minus.min(rate);
                }
                rates.rates[at * n_directions + direction] = [plus, minus];
            }
        }
        rates
    }

    /// Bound on excess and priced slack still to come for a state of slack `slack` before move `at`.
    #[inline]
    pub fn least(&self, at: usize, slack: &[i64; M]) -> f64 {
        let mut least = 0.0f64;
        let rates = &self.rates[at * self.n_directions..(at + 1) * self.n_directions];
        for (direction, rate) in rates.iter().enumerate() {
            let value = self.value(direction, slack);
            least = least.max(if value >= 0.0 { value * rate[0] } else { -value * rate[1] });
        }
        least
    }

    /// `u . vector` for direction `direction`: m axes, then sums, then differences of pairs of axes.
    #[inline]
    fn value(&self, direction: usize, vector: &[i64; M]) -> f64 {
        let axis = |k: usize| vector[k] as f64 * self.weight[k];
        if direction < self.m {
            return axis(direction);
        }
        let pair = (direction - self.m) / 2;
        let (a, b) = (pair, (pair + 1) % self.m);
        if (direction - self.m).is_multiple_of(2) { axis(a) + axis(b) } else { axis(a) - axis(b) }
    }

    /// Rates allowed by the final slack alone: a slack may not be paid more than its price.
    fn cap(&mut self, at: usize, paid: &[f64]) {
        for direction in 0..self.n_directions {
            let [plus, minus] = &mut self.rates[at + direction];
            if direction < self.m {
                (*plus, *minus) = (paid[direction], f64::INFINITY);
                continue;
            }
            let pair = (direction - self.m) / 2;
            let (a, b) = (paid[pair], paid[(pair + 1) % self.m]);
            (*plus, *minus) =
                if (direction - self.m).is_multiple_of(2) { (a.min(b), f64::INFINITY) } else { (a, b) };
        }
    }
}
