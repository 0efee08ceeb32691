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
use super::rates::Rates;

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
    error: f64,
}

/// One choice: its distance from D and its moves.
type Incumbent = Option<(f64, Vec<u32>)>;

/// A set of moves that is being extended.
#[derive(Clone, Copy, Debug)]
struct Frame<const M: usize> {
    slack: [i64; M],
    excess: f64,
    next: usize,
}

impl<'a> Search<'a> {
    /// Sorts the moves of `classes` at `prices` (per grid step).
    pub fn new(classes: &'a Classes, prices: &'a [f64]) -> Self {
        let m = classes.constraints();
        let mut search = Self {
            classes,
            prices,
            base: Vec::with_capacity(classes.len()),
            moves: Vec::new(),
            most: 0.0,
            error: 0.0,
        };
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

    /// Searches until the best choice is proven or a limit is passed. `known` is the distance of a choice that
    /// is known to fit, with its items.
    pub fn run(mut self, known: Option<(f64, Vec<u32>)>, meter: &mut Meter) -> Found {
        let start = self.start();
        let (mut best, mut reached) = (known, 0.0f64);
        let mut width = 3.0f64;
        loop {
            let wanted = self.threshold(width);
            let threshold = best.as_ref().map_or(wanted, |(value, _)| wanted.min(*value));
            let count = self.moves.partition_point(|step| step.excess < threshold);
            self.error = self.rounding(count, &start);
            let (found, spent) = match self.prices.len() {
                0..=2 => self.round::<2>(&start, count, threshold, meter),
                3 => self.round::<3>(&start, count, threshold, meter),
                4 => self.round::<4>(&start, count, threshold, meter),
                5..=8 => self.round::<8>(&start, count, threshold, meter),
                9..=16 => self.round::<16>(&start, count, threshold, meter),
                _ => self.round::<64>(&start, count, threshold, meter),
            };
            let found_now = found.is_some();
            best = found.or(best);
            if spent {
                return self.report(best, reached, false);
            }
            reached = best.as_ref().map_or(threshold, |(value, _)| threshold.min(*value));
            let closed = found_now || best.as_ref().is_some_and(|(value, _)| *value <= threshold);
            if closed || threshold > self.most {
                return self.report(best, reached, true);
            }
            width += 0.7;
        }
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

    /// Bound on the rounding error of the distance of any set of the first `count` moves.
    fn rounding(&self, count: usize, start: &[i64]) -> f64 {
        let m = self.prices.len();
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

    fn report(&self, best: Incumbent, reached: f64, complete: bool) -> Found {
        let distance = best.as_ref().map_or(0.0, |(value, _)| (value - reached).max(0.0)) + self.error;
        Found {
            items: best.map(|(_, items)| items),
            distance,
            reached: (reached - self.error).max(0.0),
            complete,
        }
    }

    /// Visits every set of the first `count` moves below `threshold`; says whether a limit was passed.
    fn round<const M: usize>(
        &self,
        start: &[i64],
        count: usize,
        mut threshold: f64,
        meter: &mut Meter,
    ) -> (Incumbent, bool) {
        let costs: Vec<[i64; M]> = self.moves[..count].iter().map(|step| self.change::<M>(step)).collect();
        let excess: Vec<f64> = self.moves[..count].iter().map(|step| step.excess).collect();
        let mut prices = [0.0; M];
        prices[..self.prices.len()].copy_from_slice(self.prices);
        let rates = Rates::<M>::new(self.prices, &excess, &costs);
        let mut taken = vec![false; self.base.len()];
        let mut slack = [0; M];
        slack[..start.len()].copy_from_slice(start);
        let mut frames = vec![Frame { slack, excess: 0.0, next: 0 }];
        let mut path: Vec<usize> = Vec::new();
        let mut best: Option<Vec<usize>> = None;
        let mut offer = |frame: &Frame<M>, path: &[usize], threshold: &mut f64| {
            if frame.slack.iter().all(|&slack| slack >= 0) {
                let left: f64 =
                    frame.slack.iter().zip(&prices).map(|(&slack, price)| slack as f64 * price).sum();
                if frame.excess + left < *threshold {
                    *threshold = frame.excess + left;
                    best = Some(path.to_vec());
                }
            }
        };
        offer(&frames[0], &path, &mut threshold);
        let mut spent = false;
        while let Some(frame) = frames.last_mut() {
            let (at, room) = (frame.next, threshold - frame.excess);
            if spent || at >= count || excess[at] >= room || rates.least(at, &frame.slack) >= room {
                frames.pop();
                if let Some(last) = path.pop() {
                    taken[self.moves[last].class as usize] = false;
                }
                continue;
            }
            frame.next += 1;
            let class = self.moves[at].class as usize;
            if taken[class] {
                continue;
            }
            let mut child = Frame { slack: frame.slack, excess: frame.excess + excess[at], next: at + 1 };
            child.slack.iter_mut().zip(&costs[at]).for_each(|(slack, cost)| *slack -= cost);
            taken[class] = true;
            path.push(at);
            offer(&child, &path, &mut threshold);
            frames.push(child);
            spent = meter.spend(1);
        }
        let items = best.map(|path| {
            let mut items = self.base.clone();
            path.iter().for_each(|&at| items[self.moves[at].class as usize] = self.moves[at].item);
            (threshold, items)
        });
        (items, spent)
    }

    fn change<const M: usize>(&self, step: &Move) -> [i64; M] {
        let m = self.prices.len();
        let (item, base) = (step.item as usize, self.base[step.class as usize] as usize);
        let mut change = [0; M];
        for (k, change) in change.iter_mut().enumerate().take(m) {
            *change = self.classes.cost[item * m + k] - self.classes.cost[base * m + k];
        }
        change
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
