//! Branch and bound for losses with pair terms, under any number of budgets.
//!
//! A node is a `Model`: classes that are still open, with messages and prices that bound it. Items that the bound or
//! a budget rules out go, classes of one item settle into their neighbours, and the class whose best
//! item leads by most is branched on, its best item first. First incumbents come from repair and exchange (`exchange`).

use std::rc::Rc;

use super::dual;
use super::exchange::Exchange;
use super::input::{Input, KnapsackError};
use super::many::solve_classes;
use super::outcome::{Limits, Meter, Outcome, Status, exact_sum};
use super::pairs::{Model, Pair, gather};
use super::problem::Classes;

/// A node still to be explored: a model and the item of one class that it is reduced to, if any.
struct Node {
    model: Rc<Model>,
    /// First item of the branched class, the one after its last, and the item taken.
    taken: Option<(usize, usize, usize)>,
    bound: f64,
}

const ROOT_ROUNDS: usize = 200;
const ROUNDS: usize = 3;
/// States of the search for a first choice under several budgets.
const FIRST: u64 = 200_000;

struct Tree<'a> {
    exchange: &'a Exchange,
    /// Loss and items of the best choice so far.
    best: Option<(f64, Vec<u32>)>,
    /// Bound on the rounding error of any loss and bound.
    error: f64,
}

/// Solves one problem whose loss has pair terms. The objective is summed anew; the bound covers rounding.
pub fn solve_coupled(input: &Input, pairs: &[Pair], limits: &Limits) -> Result<Outcome, KnapsackError> {
    let mut classes = Classes::build(input)?;
    let terms = gather(input, pairs, &mut classes)?;
    let infeasible = || KnapsackError::Infeasible { smallest: classes.smallest.clone() };
    if classes.budget.iter().any(|&left| left < 0) {
        return Err(infeasible());
    }
    let mut meter = Meter::new(limits);
    let mut root = Model::new(&classes, &terms);
    let exchange = Exchange::new(&root);
    let mut tree = Tree { exchange: &exchange, best: None, error: 0.0 };
    tree.offer(classes.start[..classes.len()].to_vec());
    if tree.best.is_none() && classes.constraints() > 1 {
        let mut short = Meter::new(&Limits { nodes: FIRST.min(meter.left()), time: None });
        let found = solve_classes(&classes, &dual::maximise(&classes, None), &mut short);
        meter.spend(short.nodes);
        match found.map(|found| found.items) {
            None => return Err(infeasible()),
            Some(Some(items)) => tree.offer(items),
            Some(None) => {}
        }
    }
    root.improve(ROOT_ROUNDS / 10, tree.target());
    tree.round(&root);
    root.improve(ROOT_ROUNDS, tree.target());
    tree.error = 1e-12 * exchange.size() + 1e-14 * priced(&root);
    let prices: Vec<f64> = root.prices.iter().zip(&classes.step).map(|(price, step)| price / step).collect();
    let (bound, spent) = tree.explore(root, &mut meter);
    let Some((_, items)) = tree.best else {
        if !spent {
            return Err(infeasible());
        }
        let outcome = Outcome {
            status: Status::Limit,
            choice: Vec::new(),
            objective: f64::INFINITY,
            bound: bound - tree.error,
            prices,
            nodes: meter.nodes,
        };
        return Ok(outcome);
    };
    let mut choice = vec![0; input.units];
    classes.spread(&items, &mut choice);
    let objective = objective(input, pairs, &choice);
    let status = if spent { Status::Feasible } else { Status::Optimal };
    Ok(Outcome {
        status,
        bound: (bound - 2.0 * tree.error).min(objective),
        choice,
        objective,
        prices,
        nodes: meter.nodes,
    })
}

/// Loss of a choice, pair terms included.
fn objective(input: &Input, pairs: &[Pair], choice: &[u32]) -> f64 {
    let losses =
        choice.iter().enumerate().map(|(unit, &format)| input.loss[unit * input.formats + format as usize]);
    let has = |unit: u32, format: u32| choice.get(unit as usize) == Some(&format);
    let together = pairs
        .iter()
        .filter(|pair| has(pair.units[0], pair.formats[0]) && has(pair.units[1], pair.formats[1]))
        .map(|pair| pair.value);
    exact_sum(losses.chain(together))
}

fn priced(model: &Model) -> f64 {
    model.slack.iter().zip(&model.prices).map(|(&slack, price)| slack as f64 * price).sum()
}

impl Tree<'_> {
    /// What a bound must reach to close a node.
    fn target(&self) -> f64 {
        self.best.as_ref().map_or(f64::INFINITY, |(loss, _)| loss - self.error)
    }

    /// Takes a choice that is better than the best so far, after repair and exchange.
    fn offer(&mut self, items: Vec<u32>) {
        let Some((loss, items)) = self.exchange.improved(&items) else { return };
        if self.best.as_ref().is_none_or(|best| loss < best.0) {
            self.best = Some((loss, items));
        }
    }

    /// Explores everything below `root`; returns the bound and whether a limit ended the search.
    fn explore(&mut self, root: Model, meter: &mut Meter) -> (f64, bool) {
        let mut stack = vec![Node { bound: root.bound(), model: Rc::new(root), taken: None }];
        while let Some(node) = stack.pop() {
            if node.bound >= self.target() {
                continue;
            }
            if meter.spend(1 + node.model.edges.len() as u64 / 16) {
                stack.push(node);
                let least = stack.iter().map(|node| node.bound).fold(f64::INFINITY, f64::min);
                return (least.min(self.best.as_ref().map_or(f64::INFINITY, |best| best.0)), true);
            }
            self.visit(node, &mut stack);
        }
        (self.best.as_ref().map_or(f64::INFINITY, |best| best.0), false)
    }

    fn visit(&mut self, node: Node, stack: &mut Vec<Node>) {
        let mut model = match node.taken {
            None => (*node.model).clone(),
            Some((from, to, item)) => {
                let mut keep = vec![true; node.model.theta.len()];
                keep[from..to].fill(false);
                keep[item] = true;
                let Some(model) = node.model.restricted(&keep) else { return };
                model
            }
        };
        drop(node.model);
        loop {
            if model.slack.iter().any(|&slack| slack < 0) || model.bound() >= self.target() {
                return;
            }
            let bound = model.improve(ROUNDS, self.target());
            if bound >= self.target() {
                return;
            }
            self.round(&model);
            let keep = self.useful(&model, bound);
            let dropped = keep.iter().filter(|keep| !**keep).count();
            if dropped == 0 {
                break;
            }
            let Some(small) = model.restricted(&keep) else { return };
            model = small;
            if model.len() == 0 {
                self.round(&model);
                return;
            }
            if dropped * 8 < keep.len() {
                break;
            }
        }
        if model.len() > 0 {
            branch(Rc::new(model), node.bound, stack);
        } else {
            self.round(&model);
        }
    }

    /// Offers the best item of each open class, where these fit and lose less, or nothing is known yet.
    fn round(&mut self, model: &Model) {
        let items: Vec<usize> = (0..model.len()).map(|class| model.least(class).1).collect();
        let spent = |k: usize| items.iter().map(|&item| model.cost[item * model.m + k]).sum::<i64>();
        let fits = (0..model.m).all(|k| spent(k) <= model.slack[k]);
        let mut all = model.fixed.clone();
        all.extend(items.iter().map(|&item| model.item[item]));
        all.sort_unstable();
        let better = |best: &(f64, Vec<u32>)| fits && self.exchange.loss(&all) < best.0;
        if self.best.as_ref().is_none_or(better) {
            self.offer(all);
        }
    }

    /// Which items neither the bound nor a budget rules out.
    fn useful(&self, model: &Model, bound: f64) -> Vec<bool> {
        let m = model.m;
        let cheapest = |class: usize, k: usize| {
            model.items_of(class).map(|item| model.cost[item * m + k]).min().unwrap_or(0)
        };
        let mut spare = model.slack.clone();
        for class in 0..model.len() {
            spare.iter_mut().enumerate().for_each(|(k, spare)| *spare -= cheapest(class, k));
        }
        let mut keep = vec![false; model.theta.len()];
        for class in 0..model.len() {
            let least = model.least(class).0;
            let rooms: Vec<i64> = (0..m).map(|k| spare[k] + cheapest(class, k)).collect();
            for item in model.items_of(class) {
                let fits = rooms.iter().zip(&model.cost[item * m..]).all(|(room, cost)| cost <= room);
                keep[item] = fits && bound + (model.theta[item] - least) < self.target();
            }
        }
        keep
    }
}

/// Adds a node for each item of the class whose best item leads by most; that item is explored first.
fn branch(model: Rc<Model>, known: f64, stack: &mut Vec<Node>) {
    let bound = model.bound();
    let lead = |class: usize| {
        let least = model.least(class);
        let others = model.items_of(class).filter(|&item| item != least.1);
        others.map(|item| model.theta[item] - least.0).fold(f64::INFINITY, f64::min)
    };
    let mut chosen = (f64::NEG_INFINITY, 0);
    for class in 0..model.len() {
        let lead = lead(class);
        if lead > chosen.0 {
            chosen = (lead, class);
        }
    }
    let (range, least) = (model.items_of(chosen.1), model.least(chosen.1).0);
    let mut items: Vec<usize> = range.clone().collect();
    items.sort_by(|&a, &b| model.theta[b].total_cmp(&model.theta[a]).then(b.cmp(&a)));
    for item in items {
        let bound = (bound + (model.theta[item] - least)).max(known);
        stack.push(Node { model: Rc::clone(&model), taken: Some((range.start, range.end, item)), bound });
    }
}
