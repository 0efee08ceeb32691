//! The part of a problem with several budgets that may still improve: items of small excess, costs counted from
//! the best item of each class.

use super::problem::Classes;
use super::subsets::Moves;

/// Classes and items that are left once excesses above a cut are gone; classes with a single item are settled.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Number of constraints.
    pub m: usize,
    /// First item of each class; one longer than the number of classes.
    pub start: Vec<u32>,
    /// Class of `Classes`, for each class.
    pub class: Vec<u32>,
    /// Item of `Classes`, for each item.
    pub item: Vec<u32>,
    /// Loss of each item, counted from the base.
    pub loss: Vec<f64>,
    /// Cost of each item, counted from the base, in grid steps `[items * m]`.
    pub change: Vec<i64>,
    /// The same as numbers, in units of `scale`.
    cost: Vec<f64>,
    /// What the base leaves of each budget, in grid steps.
    pub slack: Vec<i64>,
    left: Vec<f64>,
    /// Grid steps per unit of `cost`.
    pub scale: Vec<f64>,
}

/// The items that each class may still take.
pub type Ranges = Vec<(u32, u32)>;

/// Best items at some prices, and what they add up to.
#[derive(Clone, Debug, Default)]
pub struct Pick {
    /// Item of each class.
    pub items: Vec<u32>,
    /// Loss of the items.
    pub loss: f64,
    /// Cost of the items over the budgets, scaled.
    pub excess: Vec<f64>,
}

impl Pick {
    /// The Lagrangian value at the prices.
    pub fn value(&self, prices: &[f64]) -> f64 {
        self.loss + self.excess.iter().zip(prices).map(|(excess, price)| excess * price).sum::<f64>()
    }
}

impl Kept {
    /// Keeps the items whose excess over `base` (an item for each class) at `prices` is below `cut`.
    pub fn new(classes: &Classes, prices: &[f64], base: &[u32], cut: f64) -> Self {
        let m = prices.len();
        let mut kept = Self {
            m,
            start: vec![0],
            class: Vec::new(),
            item: Vec::new(),
            loss: Vec::new(),
            change: Vec::new(),
            cost: Vec::new(),
            slack: classes.budget.clone(),
            left: Vec::new(),
            scale: vec![1.0; m],
        };
        let mut row: Vec<(f64, u32)> = Vec::new();
        for (class, &base) in base.iter().enumerate() {
            let base = base as usize;
            kept.slack.iter_mut().zip(&classes.cost[base * m..]).for_each(|(slack, cost)| *slack -= cost);
            row.clear();
            for item in classes.items_of(class) {
                let mut priced = 0.0;
                for (k, price) in prices.iter().enumerate() {
                    priced += price * (classes.cost[item * m + k] - classes.cost[base * m + k]) as f64;
                }
                let change = classes.loss[item] - classes.loss[base];
                let margin = 4.0 * (m as f64 + 1.0) * f64::EPSILON * (priced.abs() + change.abs());
                if item == base || change + priced - margin < cut {
                    row.push((priced, item as u32));
                }
            }
            if row.len() < 2 {
                continue;
            }
            row.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            for &(_, item) in &row {
                let item = item as usize;
                kept.item.push(item as u32);
                kept.loss.push(classes.loss[item] - classes.loss[base]);
                for k in 0..m {
                    kept.change.push(classes.cost[item * m + k] - classes.cost[base * m + k]);
                }
            }
            kept.class.push(class as u32);
            kept.start.push(kept.item.len() as u32);
        }
        kept.fill_scaled();
        kept
    }

    fn fill_scaled(&mut self) {
        for k in 0..self.m {
            let sizes = self.change.iter().skip(k).step_by(self.m).map(|change| change.unsigned_abs());
            self.scale[k] = sizes.max().unwrap_or(0).max(1) as f64;
        }
        let scaled = |(at, &change): (usize, &i64)| change as f64 / self.scale[at % self.m];
        self.cost = self.change.iter().enumerate().map(scaled).collect();
        self.left = self.slack.iter().zip(&self.scale).map(|(&slack, scale)| slack as f64 / scale).collect();
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.class.len()
    }

    /// All items of every class.
    pub fn ranges(&self) -> Ranges {
        self.start.windows(2).map(|pair| (pair[0], pair[1])).collect()
    }

    /// Best items within `ranges` at scaled prices.
    pub fn pick(&self, prices: &[f64], ranges: &[(u32, u32)]) -> Pick {
        let items = ranges.iter().map(|&range| self.best_of(prices, range)).collect();
        self.sum(items)
    }

    /// Best item of one range at scaled prices.
    pub fn best_of(&self, prices: &[f64], range: (u32, u32)) -> u32 {
        let mut best = (f64::INFINITY, range.0);
        for item in range.0..range.1 {
            let value = self.priced(prices, item);
            if value < best.0 {
                best = (value, item);
            }
        }
        best.1
    }

    /// Loss and priced cost of an item at scaled prices.
    #[inline]
    pub fn priced(&self, prices: &[f64], item: u32) -> f64 {
        let at = item as usize;
        let costs = &self.cost[at * self.m..(at + 1) * self.m];
        self.loss[at] + costs.iter().zip(prices).map(|(cost, price)| cost * price).sum::<f64>()
    }

    /// What the given items add up to.
    pub fn sum(&self, items: Vec<u32>) -> Pick {
        let mut excess: Vec<f64> = self.left.iter().map(|left| -left).collect();
        let mut loss = 0.0;
        for &item in &items {
            let at = item as usize;
            loss += self.loss[at];
            excess.iter_mut().zip(&self.cost[at * self.m..]).for_each(|(excess, cost)| *excess += cost);
        }
        Pick { items, loss, excess }
    }

    /// Whether the items fit every budget, exactly.
    pub fn fits(&self, pick: &Pick) -> bool {
        pick.excess.iter().all(|&excess| excess <= 1e-6)
            && (0..self.m).all(|k| {
                let spent: i64 = pick.items.iter().map(|&item| self.change[item as usize * self.m + k]).sum();
                spent <= self.slack[k]
            })
    }

    /// Moves away from `pick` within `ranges` of excess below `room`, sorted, with the item of each; and the
    /// slack that `pick` leaves.
    pub fn moves(
        &self,
        prices: &[f64],
        pick: &Pick,
        ranges: &[(u32, u32)],
        room: f64,
    ) -> (Moves, Vec<u32>, Vec<i64>) {
        let mut found: Vec<(f64, u32, u32)> = Vec::new();
        let mut slack = self.slack.clone();
        for (class, (&base, &range)) in pick.items.iter().zip(ranges).enumerate() {
            let change = &self.change[base as usize * self.m..];
            slack.iter_mut().zip(change).for_each(|(slack, change)| *slack -= change);
            let least = self.priced(prices, base);
            for item in (range.0..range.1).filter(|&item| item != base) {
                let excess = (self.priced(prices, item) - least).max(0.0);
                if excess < room {
                    found.push((excess, item, class as u32));
                }
            }
        }
        found.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut moves = Moves { classes: self.len(), ..Moves::default() };
        for &(excess, item, class) in &found {
            let base = pick.items[class as usize] as usize;
            moves.excess.push(excess);
            moves.class.push(class);
            for k in 0..self.m {
                moves.change.push(self.change[item as usize * self.m + k] - self.change[base * self.m + k]);
            }
        }
        (moves, found.into_iter().map(|(_, item, _)| item).collect(), slack)
    }
}
