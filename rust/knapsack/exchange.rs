//! Makes a good choice of a bad one, for losses with pair terms: repairs its budgets, then moves one class or two.

use super::pairs::{Edge, Model};

/// The whole problem without messages or prices, and its edges by class.
#[derive(Clone, Debug)]
pub struct Exchange {
    plain: Model,
    /// Edges of each class.
    around: Vec<Vec<u32>>,
    /// Edge between two classes, plus one `[classes, classes]`; empty when there are too many classes for moves of two.
    between: Vec<u32>,
}

/// Moves of two classes are tried up to so many classes.
const FEW: usize = 128;

/// A choice with what each item would cost next to the others.
struct Point {
    items: Vec<usize>,
    /// Theta of each item with the terms to the chosen items of other classes.
    beside: Vec<f64>,
    slack: Vec<i64>,
}

impl Exchange {
    /// Takes the model of the whole problem before messages were sent.
    pub fn new(model: &Model) -> Self {
        let n = model.len();
        let mut around = vec![Vec::new(); n];
        let mut between = vec![0; if n <= FEW { n * n } else { 0 }];
        for (number, edge) in model.edges.iter().enumerate() {
            let (a, b) = (edge.a as usize, edge.b as usize);
            around[a].push(number as u32);
            around[b].push(number as u32);
            if n <= FEW {
                between[a * n + b] = number as u32 + 1;
            }
        }
        Self { plain: model.clone(), around, between }
    }

    /// Sum of the largest sizes of all losses and terms: what rounding errors are relative to.
    pub fn size(&self) -> f64 {
        let largest = |values: &[f64]| values.iter().fold(0.0f64, |most, value| most.max(value.abs()));
        let model = &self.plain;
        let losses = (0..model.len()).map(|class| largest(&model.theta[model.items_of(class)]));
        let ends = model.edges.iter().skip(1).map(|edge| edge.at as usize).chain([model.terms.len()]);
        let terms =
            model.edges.iter().zip(ends).map(|(edge, end)| largest(&model.terms[edge.at as usize..end]));
        losses.chain(terms).sum()
    }

    /// Loss of one item for each class, in class order.
    pub fn loss(&self, items: &[u32]) -> f64 {
        let term =
            |edge: &Edge| self.term(edge, items[edge.a as usize] as usize, items[edge.b as usize] as usize);
        let losses: f64 = items.iter().map(|&item| self.plain.theta[item as usize]).sum();
        losses + self.plain.edges.iter().map(term).sum::<f64>()
    }

    /// The choice after repair and as many exchanges as help, with its loss; `None` when no repair was found.
    pub fn improved(&self, items: &[u32]) -> Option<(f64, Vec<u32>)> {
        let mut point = self.point(items);
        if !self.repair(&mut point) {
            return None;
        }
        while self.move_one(&mut point) || self.move_two(&mut point) {}
        let items: Vec<u32> = point.items.iter().map(|&item| item as u32).collect();
        Some((self.loss(&items), items))
    }

    fn term(&self, edge: &Edge, left: usize, right: usize) -> f64 {
        let (rows, columns) = (self.plain.items_of(edge.a as usize), self.plain.items_of(edge.b as usize));
        self.plain.terms[edge.at as usize + (left - rows.start) * columns.len() + right - columns.start]
    }

    fn point(&self, items: &[u32]) -> Point {
        let m = self.plain.m;
        let items: Vec<usize> = items.iter().map(|&item| item as usize).collect();
        let mut slack = self.plain.slack.clone();
        for &item in &items {
            slack.iter_mut().zip(&self.plain.cost[item * m..]).for_each(|(slack, cost)| *slack -= cost);
        }
        let mut beside = self.plain.theta.clone();
        for edge in &self.plain.edges {
            let (a, b) = (edge.a as usize, edge.b as usize);
            self.plain.items_of(a).for_each(|item| beside[item] += self.term(edge, item, items[b]));
            self.plain.items_of(b).for_each(|item| beside[item] += self.term(edge, items[a], item));
        }
        Point { items, beside, slack }
    }

    fn take(&self, point: &mut Point, class: usize, item: usize) {
        let (m, old) = (self.plain.m, point.items[class]);
        for (k, slack) in point.slack.iter_mut().enumerate() {
            *slack -= self.plain.cost[item * m + k] - self.plain.cost[old * m + k];
        }
        for &number in &self.around[class] {
            let edge = &self.plain.edges[number as usize];
            if edge.a as usize == class {
                for other in self.plain.items_of(edge.b as usize) {
                    point.beside[other] += self.term(edge, item, other) - self.term(edge, old, other);
                }
            } else {
                for other in self.plain.items_of(edge.a as usize) {
                    point.beside[other] += self.term(edge, other, item) - self.term(edge, other, old);
                }
            }
        }
        point.items[class] = item;
    }

    /// How far the budgets are passed, once a class takes another item.
    fn passed(&self, point: &Point, old: usize, item: usize) -> f64 {
        let m = self.plain.m;
        let over = |k: usize| {
            let left = point.slack[k] + self.plain.cost[old * m + k] - self.plain.cost[item * m + k];
            (-left).max(0) as f64 / self.plain.scale[k]
        };
        (0..m).map(over).sum()
    }

    fn repair(&self, point: &mut Point) -> bool {
        loop {
            let now = self.passed(point, point.items[0], point.items[0]);
            if now <= 0.0 {
                return true;
            }
            let mut best = (f64::INFINITY, 0, 0);
            for class in 0..self.plain.len() {
                let old = point.items[class];
                for item in self.plain.items_of(class) {
                    let saved = now - self.passed(point, old, item);
                    if saved > 0.0 {
                        let worse = (point.beside[item] - point.beside[old]).max(0.0);
                        // A move that saves more than is needed is not better for it.
                        if worse / saved < best.0 {
                            best = (worse / saved, class, item);
                        }
                    }
                }
            }
            if best.0 == f64::INFINITY {
                return false;
            }
            self.take(point, best.1, best.2);
        }
    }

    fn fits(&self, point: &Point, changes: &[(usize, usize)]) -> bool {
        let m = self.plain.m;
        let spent = |k: usize| -> i64 {
            changes
                .iter()
                .map(|&(old, new)| self.plain.cost[new * m + k] - self.plain.cost[old * m + k])
                .sum()
        };
        (0..m).all(|k| spent(k) <= point.slack[k])
    }

    fn move_one(&self, point: &mut Point) -> bool {
        let mut moved = false;
        for class in 0..self.plain.len() {
            for item in self.plain.items_of(class) {
                let old = point.items[class];
                let gain = point.beside[old] - point.beside[item];
                if gain > 1e-13 * point.beside[old].abs() && self.fits(point, &[(old, item)]) {
                    self.take(point, class, item);
                    moved = true;
                }
            }
        }
        moved
    }

    /// The first move of two classes that helps.
    fn move_two(&self, point: &mut Point) -> bool {
        let n = self.plain.len();
        if self.between.is_empty() {
            return false;
        }
        for a in 0..n {
            for b in a + 1..n {
                let (i, j) = (point.items[a], point.items[b]);
                let edge = self.between[a * n + b].checked_sub(1).map(|at| &self.plain.edges[at as usize]);
                for left in self.plain.items_of(a).filter(|&left| left != i) {
                    for right in self.plain.items_of(b).filter(|&right| right != j) {
                        let apart =
                            point.beside[left] - point.beside[i] + point.beside[right] - point.beside[j];
                        let both = edge.map_or(0.0, |edge| {
                            self.term(edge, left, right) + self.term(edge, i, j)
                                - self.term(edge, left, j)
                                - self.term(edge, i, right)
                        });
                        let size = point.beside[i].abs() + point.beside[j].abs();
                        if apart + both < -1e-13 * size && self.fits(point, &[(i, left), (j, right)]) {
                            self.take(point, a, left);
                            self.take(point, b, right);
                            return true;
                        }
                    }
                }
            }
        }
        false
    }
}
