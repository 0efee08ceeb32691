//! Branch and bound for several budgets: each node maximises its own Lagrangian bound, small ones are enumerated.
//!
//! A node allows a range of items in each class. Its dual starts from the prices and mixture of its parent; the
//! mixture tells the class that is least decided, whose range is cut in two; items at the ends of ranges that
//! the bound rules out go. Where few moves lie below the incumbent, all their sets are visited instead (`subsets`).

use super::kept::{Kept, Pick, Ranges};
use super::master::Master;
use super::outcome::Meter;

/// A node still to be explored.
struct Node {
    bound: f64,
    prices: Vec<f64>,
    columns: Vec<Vec<u32>>,
    ranges: Ranges,
}

/// A node whose bound is known.
struct Relaxed {
    bound: f64,
    /// The Lagrangian value at `prices`, from which excesses count.
    value: f64,
    prices: Vec<f64>,
    /// Choices of the mixture with their weights.
    mixture: Vec<(f64, Vec<u32>)>,
}

/// What branch and bound proved below its cutoff.
#[derive(Clone, Debug)]
pub struct Explored {
    /// Loss (counted from the base) and items of the best choice, if one below the cutoff was found.
    pub best: Option<(f64, Vec<u32>)>,
    /// No choice that fits loses less than this, up to the cutoff.
    pub bound: f64,
    /// Whether the search was ended by a limit.
    pub spent: bool,
}

/// So few moves are enumerated rather than branched on.
const FEW: usize = 26;
const ROUNDS: usize = 40;

struct Tree<'a> {
    kept: &'a Kept,
    cutoff: f64,
    best: Option<Vec<u32>>,
}

/// Explores all choices of `kept` that lose less than `cutoff`, starting at prices per grid step.
pub fn explore(kept: &Kept, prices: &[f64], cutoff: f64, meter: &mut Meter) -> Explored {
    let prices = prices.iter().zip(&kept.scale).map(|(price, scale)| price * scale).collect();
    let root = Node { bound: f64::NEG_INFINITY, prices, columns: Vec::new(), ranges: kept.ranges() };
    let mut tree = Tree { kept, cutoff, best: None };
    let mut stack = vec![root];
    let mut spent = false;
    while let Some(node) = stack.pop() {
        if node.bound >= tree.cutoff {
            continue;
        }
        spent = meter.spend(1);
        let Some(relaxed) = (!spent).then(|| tree.relax(&node)) else {
            stack.push(node);
            break;
        };
        if relaxed.bound >= tree.cutoff {
            continue;
        }
        let ranges = tree.narrowed(&relaxed, &node.ranges);
        match tree.enumerate(&relaxed, &ranges, meter) {
            Some(true) => {
                spent = true;
                stack.push(Node { bound: relaxed.bound, ..node });
                break;
            }
            Some(false) => {}
            None => tree.split(&relaxed, &ranges, &mut stack),
        }
    }
    let bound =
        if spent { stack.iter().map(|node| node.bound).fold(tree.cutoff, f64::min) } else { tree.cutoff };
    Explored { best: tree.best.map(|items| (tree.cutoff, items)), bound, spent }
}

impl Tree<'_> {
    /// Maximises the bound of a node until it is beaten, or close to the best there is.
    fn relax(&mut self, node: &Node) -> Relaxed {
        let first = self.kept.pick(&node.prices, &node.ranges);
        self.offer(&first);
        let (mut best, mut centre) = (first.value(&node.prices), node.prices.clone());
        let top =
            centre.iter().copied().fold(0.0, f64::max).max(self.cutoff.abs() * 1e-9).max(f64::MIN_POSITIVE);
        let caps: Vec<f64> = centre.iter().map(|price| 8.0 * price + 0.05 * top).collect();
        let mut master = Master::new(&first.excess, first.loss, &caps);
        let mut columns = vec![first];
        for items in &node.columns {
            columns.push(self.kept.sum(self.repaired(items, node)));
        }
        columns[1..].iter().for_each(|pick| master.add(&pick.excess, pick.loss));
        let mut prices = vec![0.0; self.kept.m];
        let mut pull = 0.3;
        for _ in 0..ROUNDS {
            let upper = master.optimise(&mut prices);
            let room = self.cutoff - best;
            if room <= 0.0 {
                break;
            }
            if master.is_capped() {
                master.raise_caps(8.0);
            } else if upper - best <= 0.02 * room || upper - best <= 1e-14 * (upper.abs() + best.abs()) {
                break;
            }
            let mixed: Vec<f64> =
                prices.iter().zip(&centre).map(|(new, old)| new + pull * (old - new)).collect();
            let pick = self.kept.pick(&mixed, &node.ranges);
            self.offer(&pick);
            pull = if pick.value(&prices) < upper { 0.3 } else { 0.0 };
            if pick.value(&mixed) > best {
                (best, centre) = (pick.value(&mixed), mixed);
            }
            master.add(&pick.excess, pick.loss);
            columns.push(pick);
        }
        let mixture = master.mixture().map(|(weight, at)| (weight, columns[at].items.clone())).collect();
        Relaxed { bound: best.max(node.bound), value: best, prices: centre, mixture }
    }

    /// A choice of the parent, moved into the ranges of the node.
    fn repaired(&self, items: &[u32], node: &Node) -> Vec<u32> {
        let inside = |(&item, &range): (&u32, &(u32, u32))| {
            if range.0 <= item && item < range.1 { item } else { self.kept.best_of(&node.prices, range) }
        };
        items.iter().zip(&node.ranges).map(inside).collect()
    }

    fn offer(&mut self, pick: &Pick) {
        if pick.loss < self.cutoff && self.kept.fits(pick) {
            self.cutoff = pick.loss;
            self.best = Some(pick.items.clone());
        }
    }

    /// The ranges without the items at their ends that no choice below the cutoff takes.
    fn narrowed(&self, relaxed: &Relaxed, ranges: &Ranges) -> Ranges {
        let room = self.cutoff - relaxed.value;
        let narrow = |&(from, to): &(u32, u32)| {
            let least = self.kept.priced(&relaxed.prices, self.kept.best_of(&relaxed.prices, (from, to)));
            let stays = |item: &u32| self.kept.priced(&relaxed.prices, *item) - least < room;
            let (first, last) = ((from..to).find(stays), (from..to).rev().find(stays));
            first.zip(last).map_or((from, to), |(first, last)| (first, last + 1))
        };
        ranges.iter().map(narrow).collect()
    }

    /// Visits the sets of moves of a node if these are few; says whether a limit ended that.
    fn enumerate(&mut self, relaxed: &Relaxed, ranges: &Ranges, meter: &mut Meter) -> Option<bool> {
        let pick = self.kept.pick(&relaxed.prices, ranges);
        let value = pick.value(&relaxed.prices);
        let (moves, items, slack) = self.kept.moves(&relaxed.prices, &pick, ranges, self.cutoff - value);
        let decided = ranges.iter().all(|range| range.1 - range.0 == 1);
        if moves.excess.len() > FEW && !decided {
            return None;
        }
        let prices: Vec<f64> = relaxed.prices.iter().zip(&self.kept.scale).map(|(p, s)| p / s).collect();
        let found = moves.best(&prices, &slack, self.cutoff - value, meter);
        if let Some((_, set)) = found.set {
            let mut choice = pick.items;
            set.iter().for_each(|&at| choice[moves.class[at] as usize] = items[at]);
            let pick = self.kept.sum(choice);
            self.offer(&pick);
        }
        Some(found.spent)
    }

    /// Cuts the range of the least decided class in two; the half with more weight is explored first.
    fn split(&self, relaxed: &Relaxed, ranges: &Ranges, stack: &mut Vec<Node>) {
        let (class, cut, right) = self.undecided(relaxed, ranges);
        let columns: Vec<Vec<u32>> = relaxed.mixture.iter().map(|(_, items)| items.clone()).collect();
        let child = |range: (u32, u32)| {
            let mut ranges = ranges.clone();
            ranges[class] = range;
            Node { bound: relaxed.bound, prices: relaxed.prices.clone(), columns: columns.clone(), ranges }
        };
        let (low, high) = (child((ranges[class].0, cut)), child((cut, ranges[class].1)));
        stack.extend(if right > 0.5 { [low, high] } else { [high, low] });
    }

    /// The class to branch on, the first item of its right half, and the weight of that half.
    fn undecided(&self, relaxed: &Relaxed, ranges: &Ranges) -> (usize, u32, f64) {
        let total: f64 = relaxed.mixture.iter().map(|(weight, _)| weight).sum();
        let mut best = (f64::NEG_INFINITY, 0, 0, 0.5);
        for (class, &(from, to)) in ranges.iter().enumerate().filter(|(_, range)| range.1 - range.0 > 1) {
            let mut taken: Vec<(u32, f64)> =
                relaxed.mixture.iter().map(|(w, items)| (items[class], *w)).collect();
            taken.sort_unstable_by_key(|pair| pair.0);
            if best.0 == f64::NEG_INFINITY {
                best = (-1.0, class, from + (to - from) / 2, 0.5);
            }
            let mut left = 0.0;
            for pair in taken.windows(2) {
                left += pair[0].1 / total;
                if pair[0].0 == pair[1].0 {
                    continue;
                }
                let (a, b) = (pair[0].0, pair[1].0);
                let size = (self.kept.loss[a as usize] - self.kept.loss[b as usize]).abs();
                let score = left.min(1.0 - left) * size;
                if score > best.0 {
                    best = (score, class, b, 1.0 - left);
                }
            }
        }
        (best.1, best.2, best.3)
    }
}
