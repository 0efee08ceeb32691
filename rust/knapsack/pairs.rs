//! Turns losses, costs and pair terms into a small model that branch and bound over pairs can shrink.
//!
//!   minimise sum_c theta_c(x_c) + sum_(c,d) Q_cd(x_c, x_d)   subject to   sum_c cost_k(x_c) <= slack_k
//!
//! Classes, items and edges are numbered anew whenever a class is settled, so a model holds only what is open.

use super::input::{Input, KnapsackError};
use super::problem::Classes;

/// A value added when two units have two formats.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// The two units, different.
    pub units: [u32; 2],
    /// The format of each.
    pub formats: [u32; 2],
    /// What is added to the loss, any finite number.
    pub value: f64,
}

/// A table of pair terms between two classes, `a` before `b`.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    /// First class.
    pub a: u32,
    /// Second class.
    pub b: u32,
    /// Where its terms start: `[items of a, items of b]`.
    pub at: u32,
}

/// The open part of a problem with pair terms.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Number of constraints.
    pub m: usize,
    /// First item of each class; one longer than the number of classes.
    pub start: Vec<u32>,
    /// Item of `Classes` that each item is.
    pub item: Vec<u32>,
    /// Loss of each item, prices and messages included.
    pub theta: Vec<f64>,
    /// Cost of each item `[items * m]`.
    pub cost: Vec<i64>,
    /// What is left of each budget.
    pub slack: Vec<i64>,
    /// Prices that `theta` includes, per grid step.
    pub prices: Vec<f64>,
    /// Grid steps that count as one when prices are changed: the mean largest cost of a class.
    pub scale: Vec<f64>,
    /// The pair terms.
    pub edges: Vec<Edge>,
    /// Terms of all edges; never negative once messages were sent.
    pub terms: Vec<f64>,
    /// Loss of what is settled, minus priced slacks.
    pub settled: f64,
    /// Items of `Classes` that are settled.
    pub fixed: Vec<u32>,
}

/// Pair terms between classes: two items of `Classes` and a value, sorted, each pair once.
pub type Terms = Vec<(u32, u32, f64)>;

/// Checks the pairs and adds those inside of a class to the losses of its items.
pub fn gather(input: &Input, pairs: &[Pair], classes: &mut Classes) -> Result<Terms, KnapsackError> {
    let mut class_of = vec![0u32; input.units];
    for class in 0..classes.len() {
        classes.members_of(class).iter().for_each(|&unit| class_of[unit as usize] = class as u32);
    }
    let mut terms = Terms::new();
    for (number, pair) in pairs.iter().enumerate() {
        let [left, right] = pair.units.map(|unit| unit as usize);
        let known = left < input.units && right < input.units && left != right;
        if !known || pair.formats.iter().any(|&format| format as usize >= input.formats) {
            let text =
                format!("interaction {number} names a unit or format that is not there, or one unit twice");
            return Err(KnapsackError::Shape(text));
        }
        if !pair.value.is_finite() || pair.value.abs() > 1e200 {
            return Err(KnapsackError::Value(format!("interaction {number} is not finite or too large")));
        }
        let ends = [(left, pair.formats[0]), (right, pair.formats[1])]
            .map(|(unit, format)| item_of(classes, class_of[unit] as usize, format));
        let [Some(a), Some(b)] = ends else { continue };
        if class_of[left] == class_of[right] {
            if a == b {
                classes.loss[a as usize] += pair.value;
            }
            continue;
        }
        terms.push((a.min(b), a.max(b), pair.value));
    }
    terms.sort_by_key(|&(a, b, _)| (a, b));
    terms.dedup_by(|next, kept| {
        let same = (next.0, next.1) == (kept.0, kept.1);
        if same {
            kept.2 += next.2;
        }
        same
    });
    Ok(terms)
}

/// The item of a class with that format, if the class may take it.
fn item_of(classes: &Classes, class: usize, format: u32) -> Option<u32> {
    classes.items_of(class).find(|&item| classes.format[item] == format).map(|item| item as u32)
}

impl Model {
    /// The whole problem at prices zero.
    pub fn new(classes: &Classes, terms: &Terms) -> Self {
        let m = classes.constraints();
        let mut model = Self {
            m,
            start: classes.start.clone(),
            item: (0..classes.loss.len() as u32).collect(),
            theta: classes.loss.clone(),
            cost: classes.cost.clone(),
            slack: classes.budget.clone(),
            prices: vec![0.0; m],
            scale: scales(classes),
            ..Self::default()
        };
        let class_of = |item: u32| classes.start.partition_point(|&first| first <= item) - 1;
        let mut named: Vec<(usize, usize, u32, u32, f64)> =
            terms.iter().map(|&(a, b, value)| (class_of(a), class_of(b), a, b, value)).collect();
        named.sort_by_key(|&(a, b, ..)| (a, b));
        for run in named.chunk_by(|left, right| (left.0, left.1) == (right.0, right.1)) {
            let (a, b) = (run[0].0, run[0].1);
            let edge = Edge { a: a as u32, b: b as u32, at: model.terms.len() as u32 };
            let (rows, columns) = (classes.items_of(a), classes.items_of(b));
            model.terms.resize(model.terms.len() + rows.len() * columns.len(), 0.0);
            for &(_, _, left, right, value) in run {
                let at = (left as usize - rows.start) * columns.len() + right as usize - columns.start;
                model.terms[edge.at as usize + at] += value;
            }
            model.edges.push(edge);
        }
        model
    }

    /// Number of open classes.
    pub fn len(&self) -> usize {
        self.start.len() - 1
    }

    /// Items of a class.
    pub fn items_of(&self, class: usize) -> std::ops::Range<usize> {
        self.start[class] as usize..self.start[class + 1] as usize
    }

    /// The model that keeps only the items for which `keep` is true; classes of one item are settled. `None`
    /// when a class keeps none.
    pub fn restricted(&self, keep: &[bool]) -> Option<Self> {
        let mut small = Self {
            m: self.m,
            start: vec![0],
            slack: self.slack.clone(),
            prices: self.prices.clone(),
            scale: self.scale.clone(),
            settled: self.settled,
            fixed: self.fixed.clone(),
            terms: Vec::with_capacity(self.terms.len()),
            ..Self::default()
        };
        let mut number = vec![u32::MAX; self.len()];
        let mut single = vec![usize::MAX; self.len()];
        for class in 0..self.len() {
            let mut kept = self.items_of(class).filter(|&item| keep[item]);
            let first = kept.next()?;
            if kept.next().is_none() {
                single[class] = first;
                small.settle(self, first);
                continue;
            }
            number[class] = small.start.len() as u32 - 1;
            for item in self.items_of(class).filter(|&item| keep[item]) {
                small.item.push(self.item[item]);
                small.theta.push(self.theta[item]);
                small.cost.extend_from_slice(&self.cost[item * self.m..(item + 1) * self.m]);
            }
            small.start.push(small.item.len() as u32);
        }
        for edge in &self.edges {
            small.take_edge(self, edge, keep, &number, &single);
        }
        Some(small)
    }

    fn settle(&mut self, from: &Self, item: usize) {
        self.settled += from.theta[item];
        self.fixed.push(from.item[item]);
        let cost = &from.cost[item * self.m..(item + 1) * self.m];
        self.slack.iter_mut().zip(cost).for_each(|(slack, cost)| *slack -= cost);
    }

    fn take_edge(&mut self, from: &Self, edge: &Edge, keep: &[bool], number: &[u32], single: &[usize]) {
        let (a, b) = (edge.a as usize, edge.b as usize);
        let (rows, columns) = (from.items_of(a), from.items_of(b));
        let term = |row: usize, column: usize| {
            from.terms[edge.at as usize + (row - rows.start) * columns.len() + column - columns.start]
        };
        match (single[a], single[b]) {
            (usize::MAX, usize::MAX) => {
                let at = self.terms.len() as u32;
                for row in rows.clone().filter(|&row| keep[row]) {
                    let from_row = &from.terms[edge.at as usize + (row - rows.start) * columns.len()..];
                    for (&term, _) in from_row.iter().zip(&keep[columns.clone()]).filter(|(_, keep)| **keep) {
                        self.terms.push(term);
                    }
                }
                self.edges.push(Edge { a: number[a], b: number[b], at });
            }
            (usize::MAX, column) => {
                let to = self.items_of(number[a] as usize);
                let kept = rows.clone().filter(|&row| keep[row]);
                to.zip(kept).for_each(|(item, row)| self.theta[item] += term(row, column));
            }
            (row, usize::MAX) => {
                let to = self.items_of(number[b] as usize);
                let kept = columns.clone().filter(|&column| keep[column]);
                to.zip(kept).for_each(|(item, column)| self.theta[item] += term(row, column));
            }
            (row, column) => self.settled += term(row, column),
        }
    }
}

fn scales(classes: &Classes) -> Vec<f64> {
    let m = classes.constraints();
    let largest =
        |class: usize, k: usize| classes.items_of(class).map(|item| classes.cost[item * m + k]).max();
    let total = |k: usize| (0..classes.len()).map(|class| largest(class, k).unwrap_or(0) as f64).sum::<f64>();
    (0..m).map(|k| (total(k) / classes.len() as f64).max(1.0)).collect()
}
