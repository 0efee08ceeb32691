//! Solves the linear relaxation of a one-budget problem in linear time.
//!
//! Hull edges are taken by falling slope until the budget is spent; the slope of the edge that no longer
//! fits is the price of the budget. Selection by three-way partition instead of sorting (Dyer 1984,
//! Zemel 1984).

use super::reduce::{Edge, Reduced};

/// Integer part of the relaxed solution.
#[derive(Clone, Debug, Default)]
pub struct Relaxation {
    /// Price of the budget: loss saved per cost at the margin; 0 when the budget does not bind.
    pub price: f64,
    /// Reduced item of each class, at the whole edges that fit.
    pub base: Vec<u32>,
    /// Budget left by `base`, not negative.
    pub slack: i64,
    /// The edge that does not fit: its class and the item it leads to.
    pub split: Option<(u32, u32)>,
}

impl Relaxation {
    /// Relaxes `reduced` at `budget >= 0`; reorders its edges.
    pub fn fill(&mut self, reduced: &mut Reduced, budget: i64) {
        self.base.clear();
        self.base.extend_from_slice(&reduced.start[..reduced.len()]);
        self.slack = budget;
        self.price = 0.0;
        self.split = None;
        let mut edges = reduced.edges.as_mut_slice();
        while !edges.is_empty() {
            let pivot = median(edges);
            let (steeper, equal) = partition(edges, pivot);
            let head = cost_of(&edges[..steeper]);
            if head > self.slack {
                edges = &mut edges[..steeper];
                continue;
            }
            self.take(&edges[..steeper]);
            for &edge in &edges[steeper..equal] {
                if edge.cost > self.slack {
                    self.price = pivot;
                    self.split = Some((edge.class, edge.to));
                    return;
                }
                self.take(&[edge]);
            }
            edges = &mut edges[equal..];
        }
    }

    fn take(&mut self, edges: &[Edge]) {
        for edge in edges {
            let base = &mut self.base[edge.class as usize];
            *base = (*base).max(edge.to);
            self.slack -= edge.cost;
        }
    }
}

fn cost_of(edges: &[Edge]) -> i64 {
    edges.iter().map(|edge| edge.cost).sum()
}

/// Median of the first, middle and last slope; `edges` is not empty.
fn median(edges: &[Edge]) -> f64 {
    let (a, b, c) = (edges[0].slope, edges[edges.len() / 2].slope, edges[edges.len() - 1].slope);
    a.min(b).max(a.max(b).min(c))
}

/// Moves steeper edges to the front and flatter ones to the back; returns the ends of the first two parts.
fn partition(edges: &mut [Edge], pivot: f64) -> (usize, usize) {
    let (mut front, mut at, mut back) = (0, 0, edges.len());
    while at < back {
        if edges[at].slope > pivot {
            edges.swap(front, at);
            front += 1;
            at += 1;
        } else if edges[at].slope < pivot {
            back -= 1;
            edges.swap(at, back);
        } else {
            at += 1;
        }
    }
    (front, back)
}
