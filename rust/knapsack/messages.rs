//! Raises the bound of a model with pair terms: messages along edges, and prices of the budgets.
//!
//! For any split of a term, Q(i, j) >= a(i) + b(j), the parts a and b may move into the classes; what stays behind is
//! not negative and is bounded by zero. Then
//!
//!   bound = settled + sum over classes of min over items theta.
//!
//! An edge gives each of its ends half of the least it sees (Globerson and Jaakkola 2007); the prices climb along the
//! overspent budgets. Both keep the problem the same, so every state of the model gives a valid bound.

use super::pairs::{Edge, Model};

impl Model {
    /// No choice of the open items, with what is settled, loses less, up to rounding. Terms must not be negative.
    pub fn bound(&self) -> f64 {
        self.settled + (0..self.len()).map(|class| self.least(class).0).sum::<f64>()
    }

    /// Smallest theta of a class and the item that has it.
    pub fn least(&self, class: usize) -> (f64, usize) {
        let mut least = (f64::INFINITY, self.start[class] as usize);
        for item in self.items_of(class) {
            if self.theta[item] < least.0 {
                least = (self.theta[item], item);
            }
        }
        least
    }

    /// Improves messages and prices for some rounds, or until the bound reaches `target`.
    pub fn improve(&mut self, rounds: usize, target: f64) -> f64 {
        let mut bound = f64::NEG_INFINITY;
        for _ in 0..rounds {
            self.send();
            self.climb(target);
            let next = self.bound();
            if next >= target || next - bound <= 1e-4 * (target - next) {
                return next;
            }
            bound = next;
        }
        self.bound()
    }

    /// One message along every edge, in both directions.
    pub fn send(&mut self) {
        let mut least = Vec::new();
        for at in 0..self.edges.len() {
            self.send_along(self.edges[at], &mut least);
        }
    }

    fn send_along(&mut self, edge: Edge, least: &mut Vec<f64>) {
        let (rows, columns) = (self.items_of(edge.a as usize), self.items_of(edge.b as usize));
        let (first, width) = (edge.at as usize, columns.len());
        let terms = &mut self.terms[first..first + rows.len() * width];
        let (low, high) = self.theta.split_at_mut(columns.start);
        let (left, right) = (&mut low[rows], &mut high[..width]);
        least.clear();
        least.resize(width, f64::INFINITY);
        for (row, theta) in terms.chunks_exact_mut(width).zip(left.iter_mut()) {
            let mut smallest = f64::INFINITY;
            for ((term, least), right) in row.iter_mut().zip(least.iter_mut()).zip(right.iter()) {
                *term += *theta + right;
                smallest = smallest.min(*term);
                *least = least.min(*term);
            }
            *theta = 0.5 * smallest;
        }
        right.iter_mut().zip(least.iter()).for_each(|(right, least)| *right = 0.5 * least);
        for (row, theta) in terms.chunks_exact_mut(width).zip(left.iter()) {
            for (term, right) in row.iter_mut().zip(right.iter()) {
                *term = (*term - *theta - right).max(0.0);
            }
        }
    }

    /// A few steps of the prices along what the best items overspend, each kept only when the bound rises.
    pub fn climb(&mut self, target: f64) {
        let mut share = 1.0;
        let mut bound = self.bound();
        for _ in 0..6 {
            let over = self.overspent();
            let norm: f64 = over.iter().map(|over| over * over).sum();
            let room = if target.is_finite() { target - bound } else { self.spread() };
            if norm <= 0.0 || room <= 0.0 {
                return;
            }
            let before = (self.theta.clone(), self.settled, self.prices.clone());
            // A longer step would drown the losses in rounding: what is overspent may be one grid step.
            let step = |over: f64| (share * room * over / norm).clamp(-room, room);
            let moved = self.prices.iter().zip(&over).zip(&self.scale);
            let after: Vec<f64> =
                moved.map(|((price, &over), scale)| (price + step(over) / scale).max(0.0)).collect();
            self.set_prices(&after);
            let next = self.bound();
            if next > bound {
                bound = next;
            } else {
                // Taking the change back by subtraction would leave its rounding behind.
                (self.theta, self.settled, self.prices) = before;
                share *= 0.3;
            }
        }
    }

    /// Some distance to aim at when no choice is known.
    fn spread(&self) -> f64 {
        let range = |class: usize| {
            let most = self.theta[self.items_of(class)].iter().copied().fold(f64::NEG_INFINITY, f64::max);
            most - self.least(class).0
        };
        0.1 * (0..self.len()).map(range).sum::<f64>()
    }

    /// What the best items cost over each budget, exact before it is put in units of `scale`; zero where a price of
    /// zero could only fall.
    fn overspent(&self) -> Vec<f64> {
        let mut over: Vec<i64> = self.slack.iter().map(|slack| -slack).collect();
        for class in 0..self.len() {
            let item = self.least(class).1;
            over.iter_mut().zip(&self.cost[item * self.m..]).for_each(|(over, cost)| *over += cost);
        }
        let falls = |over: i64, price: f64| over < 0 && price <= 0.0;
        let scaled = over.iter().zip(&self.prices).zip(&self.scale);
        scaled
            .map(|((&over, &price), scale)| if falls(over, price) { 0.0 } else { over as f64 / scale })
            .collect()
    }

    fn set_prices(&mut self, prices: &[f64]) {
        for (k, &price) in prices.iter().enumerate() {
            let change = price - self.prices[k];
            if change == 0.0 {
                continue;
            }
            let costs = self.cost.iter().skip(k).step_by(self.m);
            self.theta.iter_mut().zip(costs).for_each(|(theta, &cost)| *theta += change * cost as f64);
            self.settled -= change * self.slack[k] as f64;
            self.prices[k] = price;
        }
    }
}
