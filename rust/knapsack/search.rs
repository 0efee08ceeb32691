//! Closes the gap of problems with several budgets: complete search below a rising threshold.
//!
//! With prices p and bound D, every choice has
//!
//!   loss = D + sum over classes of excess + p * slack,   excess = (loss change) + p * (cost change) >= 0
//!
//! counted from the best item of each class at these prices. A choice better than D + T is therefore a set of
//! moves away from those items, one a class, of total excess below T. Moves are sorted by excess; the search
//! visits each such set once and leaves a branch when no later move can repair its slacks below T (`rates`).
//! T starts where a few moves survive and rises until a choice is found, which is then the best one; every
//! finished round is a bound.

use super::outcome::Meter;
use super::problem::Classes;
use super::subsets::Moves;

/// A step away from the base item of a class.
#[derive(Clone, Copy, Debug)]
struct Move {
    /// Excess, lowered by its own rounding error.
    excess: f64,
    item: u32,
    class: u32,
}

/// What the search proved.
#[derive(Clone, Debug)]
pub struct Found {
    /// Item of each class; `None` when no choice that fits was seen.
    pub items: Option<Vec<u32>>,
    /// Loss of the incumbent minus the bound, rounding included; meaningless without items.
    pub distance: f64,
    /// Worth of the incumbent above D; infinite without items.
    pub value: f64,
    /// Every choice loses at least this much more than D.
    pub reached: f64,
    /// Whether every choice was ruled out or compared.
    pub complete: bool,
}

/// Moves of a problem at given prices, ready to be searched.
pub struct Search<'a> {
    classes: &'a Classes,
    prices: &'a [f64],
    base: Vec<u32>,
    moves: Vec<Move>,
    /// Largest possible distance of a choice from D.
    most: f64,
}

/// One choice: its distance from D and its moves.
type Incumbent = Option<(f64, Vec<u32>)>;

impl<'a> Search<'a> {
    /// Sorts the moves of `classes` at `prices` (per grid step).
    pub fn new(classes: &'a Classes, prices: &'a [f64]) -> Self {
        let m = classes.constraints();
        let mut search =
            Self { classes, prices, base: Vec::with_capacity(classes.len()), moves: Vec::new(), most: 0.0 };
        let mut changes = Vec::new();
        for class in 0..classes.len() {
            let base = best_item(classes, prices, class);
            search.base.push(base as u32);
            changes.clear();
            for item in classes.items_of(class).filter(|&item| item != base) {
                let loss = classes.loss[item] - classes.loss[base];
                let (mut excess, mut size) = (loss, loss.abs());
                for (k, price) in prices.iter().enumerate() {
                    let cost = price * (classes.cost[item * m + k] - classes.cost[base * m + k]) as f64;
                    excess += cost;
                    size += cost.abs();
                }
                let margin = 4.0 * (m as f64 + 1.0) * f64::EPSILON * size;
                changes.push((excess.max(0.0), margin));
                search.moves.push(Move {
                    excess: (excess - margin).max(0.0),
                    item: item as u32,
                    class: class as u32,
                });
            }
            search.most += changes.iter().fold(0.0, |most: f64, change| most.max(change.0));
        }
        for (k, price) in prices.iter().enumerate() {
            search.most += price * classes.budget[k].unsigned_abs() as f64;
        }
        search.moves.sort_unstable_by(|a, b| a.excess.total_cmp(&b.excess).then(a.item.cmp(&b.item)));
        search
    }

    /// Searches until the best choice is proven or a limit is passed.
    pub fn run(&self, meter: &mut Meter) -> Found {
        let start = self.start();
        let (mut reached, mut width) = (0.0f64, 3.0f64);
        loop {
            let threshold = self.threshold(width);
            let count = self.moves.partition_point(|step| step.excess < threshold);
            let (best, spent) = self.round(&start, count, threshold, meter);
            if spent {
                return self.report(best, reached, threshold, false);
            }
            reached = best.as_ref().map_or(threshold, |(value, _)| *value);
            if best.is_some() || threshold > self.most {
                return self.report(best, reached, threshold, true);
            }
            width += 0.7;
        }
    }

    /// Best item of each class at the prices.
    pub fn base(&self) -> &[u32] {
        &self.base
    }

    /// Priced slack of the base: its loss minus D.
    pub fn paid(&self) -> f64 {
        self.start().iter().zip(self.prices).map(|(&slack, price)| slack as f64 * price).sum()
    }

    /// Largest possible distance of a choice from D.
    pub fn most(&self) -> f64 {
        self.most
    }

    /// A positive excess to begin with: that of the first moves that have one.
    pub fn some_excess(&self) -> f64 {
        let positive = self.moves.partition_point(|step| step.excess <= 0.0);
        self.moves
            .get(positive + 8)
            .or(self.moves.last())
            .map_or(1.0, |step| step.excess.max(f64::MIN_POSITIVE))
    }

    /// Threshold of a round: so many moves survive that the number of sets grows about fourfold a round.
    fn threshold(&self, width: f64) -> f64 {
        let count = (width * width) as usize;
        match (self.moves.get(count), self.moves.last()) {
            (Some(step), _) => step.excess,
            (None, Some(last)) if last.excess > 0.0 => {
                last.excess * 1.5f64.powf((width * width - self.moves.len() as f64).clamp(1.0, 1e3))
            }
            _ => f64::INFINITY,
        }
    }

    /// Budget left by the base items.
    fn start(&self) -> Vec<i64> {
        let m = self.prices.len();
        let spent = |k| self.base.iter().map(|&item| self.classes.cost[item as usize * m + k]).sum::<i64>();
        (0..m).map(|k| self.classes.budget[k] - spent(k)).collect()
    }

    /// Bound on the rounding error of the worth of any set of moves of excess below `threshold`.
    pub fn rounding(&self, threshold: f64) -> f64 {
        let m = self.prices.len();
        let (start, count) = (self.start(), self.moves.partition_point(|step| step.excess < threshold));
        let mut sizes = vec![0.0f64; self.base.len()];
        for step in &self.moves[..count] {
            let (item, base) = (step.item as usize, self.base[step.class as usize] as usize);
            let mut size = (self.classes.loss[item] - self.classes.loss[base]).abs();
            for k in 0..m {
                let cost = self.classes.cost[item * m + k] - self.classes.cost[base * m + k];
                size += self.prices[k] * cost.unsigned_abs() as f64;
            }
            sizes[step.class as usize] = sizes[step.class as usize].max(size);
        }
        let left: f64 =
            start.iter().zip(self.prices).map(|(&slack, price)| price * slack.unsigned_abs() as f64).sum();
        8.0 * (m as f64 + 1.0) * f64::EPSILON * (sizes.iter().sum::<f64>() + left)
    }

    fn report(&self, best: Incumbent, reached: f64, threshold: f64, complete: bool) -> Found {
        let error = self.rounding(threshold);
        let value = best.as_ref().map_or(f64::INFINITY, |(value, _)| *value);
        let distance = if value.is_finite() { (value - reached).max(0.0) + error } else { 0.0 };
        Found {
            items: best.map(|(_, items)| items),
            distance,
            value,
            reached: (reached - error).max(0.0),
            complete,
        }
    }

    /// Visits every set of the first `count` moves below `threshold`; says whether a limit was passed.
    fn round(&self, start: &[i64], count: usize, threshold: f64, meter: &mut Meter) -> (Incumbent, bool) {
        let steps = &self.moves[..count];
        let moves = Moves {
            excess: steps.iter().map(|step| step.excess).collect(),
            change: steps.iter().flat_map(|step| self.change(step)).collect(),
            class: steps.iter().map(|step| step.class).collect(),
            classes: self.base.len(),
        };
        let found = moves.best(self.prices, start, threshold, meter);
        let items = found.set.map(|(value, set)| {
            let mut items = self.base.clone();
            set.iter().for_each(|&at| items[steps[at].class as usize] = steps[at].item);
            (value, items)
        });
        (items, found.spent)
    }

    /// Cost changes of a move.
    fn change(&self, step: &Move) -> impl Iterator<Item = i64> {
        let m = self.prices.len();
        let (item, base) = (step.item as usize, self.base[step.class as usize] as usize);
        (0..m).map(move |k| self.classes.cost[item * m + k] - self.classes.cost[base * m + k])
    }
}

fn best_item(classes: &Classes, prices: &[f64], class: usize) -> usize {
    let m = prices.len();
    let priced = |item: usize| {
        let costs = &classes.cost[item * m..(item + 1) * m];
        classes.loss[item] + costs.iter().zip(prices).map(|(&cost, price)| cost as f64 * price).sum::<f64>()
    };
    let mut best = (f64::INFINITY, classes.start[class] as usize);
    for item in classes.items_of(class) {
        let value = priced(item);
        if value < best.0 {
            best = (value, item);
        }
    }
    best.1
}
