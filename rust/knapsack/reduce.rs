//! Turns the classes of one-budget problems into undominated items and the edges of their lower hulls.
//!
//! An item is dominated when another of its class costs no more and loses no more. The lower convex hull of
//! the rest, from the cheapest item to the one of least loss, has edges of falling slope
//! `-(loss change) / (cost change) > 0`; the linear relaxation takes them in that order.

use super::problem::Classes;

/// One step along the hull of a class.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    /// Loss saved per cost, positive.
    pub slope: f64,
    /// Cost of the step, positive.
    pub cost: i64,
    /// Class of the step.
    pub class: u32,
    /// Reduced item that the step leads to.
    pub to: u32,
}

/// Undominated items of every class, by rising cost and falling loss, and the hull edges of all classes.
#[derive(Clone, Debug, Default)]
pub struct Reduced {
    /// First item of each class; one longer than the number of classes.
    pub start: Vec<u32>,
    /// Item of `Classes` that each reduced item is.
    pub item: Vec<u32>,
    /// Cost of each reduced item.
    pub cost: Vec<i64>,
    /// Loss of each reduced item.
    pub loss: Vec<f64>,
    /// Hull edges, in no order.
    pub edges: Vec<Edge>,
    hull: Vec<u32>,
}

impl Reduced {
    /// Fills the buffers from `classes`, whose items must be ordered by cost and have one constraint.
    pub fn fill(&mut self, classes: &Classes) {
        self.start.clear();
        self.item.clear();
        self.cost.clear();
        self.loss.clear();
        self.edges.clear();
        self.start.push(0);
        for class in 0..classes.len() {
            let first = self.item.len();
            for item in classes.items_of(class) {
                let (cost, loss) = (classes.cost[item], classes.loss[item]);
                match (self.cost.last(), self.loss.last()) {
                    (Some(_), Some(&last)) if self.item.len() > first && loss >= last => continue,
                    (Some(&last), _) if self.item.len() > first && cost == last => {
                        let end = self.item.len() - 1;
                        (self.item[end], self.loss[end]) = (item as u32, loss);
                    }
                    _ => {
                        self.item.push(item as u32);
                        self.cost.push(cost);
                        self.loss.push(loss);
                    }
                }
            }
            self.start.push(self.item.len() as u32);
            self.add_hull(class as u32, first);
        }
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.start.len() - 1
    }

    /// Reduced items of a class.
    pub fn items_of(&self, class: usize) -> std::ops::Range<usize> {
        self.start[class] as usize..self.start[class + 1] as usize
    }

    /// Class of a reduced item.
    pub fn class_of(&self, item: u32) -> usize {
        self.start.partition_point(|&first| first <= item).saturating_sub(1)
    }

    /// Monotone chain over the items of one class; slopes fall strictly as computed.
    fn add_hull(&mut self, class: u32, first: usize) {
        let base = self.edges.len();
        self.hull.clear();
        self.hull.push(first as u32);
        for to in first + 1..self.item.len() {
            let edge = loop {
                let from = self.hull[self.hull.len() - 1] as usize;
                let cost = self.cost[to] - self.cost[from];
                let slope = (self.loss[from] - self.loss[to]) / cost as f64;
                if self.edges.len() > base && self.edges[self.edges.len() - 1].slope <= slope {
                    self.edges.pop();
                    self.hull.pop();
                } else {
                    break Edge { slope, cost, class, to: to as u32 };
                }
            };
            self.edges.push(edge);
            self.hull.push(to as u32);
        }
    }
}
