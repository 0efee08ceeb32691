//! Every Pareto point of one cost against the loss.
//!
//! Hull edges by falling slope lead from one supported point to the next; the points between two neighbours are
//! found by `interval`. A point is kept as its number of edges and its moves away from there, so that its
//! choice is written only when somebody asks for it.

use super::input::{Constraint, Input, KnapsackError};
use super::interval::{Interval, Span};
use super::outcome::{Limits, Meter};
use super::problem::Classes;
use super::reduce::{Edge, Reduced};
use super::totals::Totals;

/// Pareto points by rising cost and falling loss.
#[derive(Clone, Debug, Default)]
pub struct Frontier {
    /// Cost of each point, exact before its last rounding.
    pub cost: Vec<f64>,
    /// Loss of each point, up to rounding.
    pub loss: Vec<f64>,
    /// Whether the point lies on the lower convex hull: some price makes it the best choice.
    pub supported: Vec<bool>,
    /// Whether every Pareto point is there; false when a limit ended the work, which leaves no points.
    pub complete: bool,
    /// Hull edges taken by each point.
    taken: Vec<u32>,
    /// Where the moves of each point start; one longer than the number of points.
    start: Vec<u32>,
    /// Reduced items.
    moves: Vec<u32>,
    reduced: Reduced,
    classes: Classes,
    units: usize,
}

impl Frontier {
    /// Format of every unit `[units]` in a point; nothing when there is no such point.
    pub fn choice(&self, point: usize) -> Option<Vec<u32>> {
        let (&taken, &from, &to) =
            (self.taken.get(point)?, self.start.get(point)?, self.start.get(point + 1)?);
        let mut items = self.reduced.start[..self.reduced.len()].to_vec();
        let edges = self.reduced.edges[..taken as usize].iter().map(|edge| (edge.class, edge.to));
        let moves = &self.moves[from as usize..to as usize];
        let moves = moves.iter().map(|&item| (self.reduced.class_of(item) as u32, item));
        edges.chain(moves).for_each(|(class, item)| items[class as usize] = item);
        items.iter_mut().for_each(|item| *item = self.reduced.item[*item as usize]);
        let mut choice = vec![0; self.units];
        self.classes.spread(&items, &mut choice);
        Some(choice)
    }
}

/// All Pareto points of the first constraint of `input`, whose budget is not used.
pub fn frontier(input: &Input, limits: &Limits) -> Result<Frontier, KnapsackError> {
    let first: Vec<Constraint> = input.constraints.iter().take(1).copied().collect();
    let classes = Classes::build(&Input { constraints: &first, ..*input })?;
    let mut reduced = Reduced::default();
    reduced.fill(&classes);
    reduced.edges.sort_unstable_by(|a, b| b.slope.total_cmp(&a.slope).then(a.to.cmp(&b.to)));
    let mut frontier = Frontier { units: input.units, start: vec![0], ..Frontier::default() };
    let mut totals = Totals::new(input, &classes, &reduced);
    let mut meter = Meter::new(limits);
    let mut interval = Interval::default();
    let mut taken = 0;
    while let Some(edges) = steepest(&reduced.edges[taken..]) {
        let span = Span {
            edges,
            price: edges[0].slope,
            cost: edges.iter().map(|edge| edge.cost).sum(),
            loss: edges.iter().map(|edge| -edge.slope * edge.cost as f64).sum(),
        };
        if interval.search(&reduced, totals.items(), &span, &mut meter) {
            return Ok(Frontier::default());
        }
        for point in interval.points(&span) {
            interval.write_moves(point, &mut frontier.moves);
            frontier.add(taken, totals.with(point.cost, point.loss));
        }
        let passed = edges.len();
        reduced.edges[taken..taken + passed].iter().for_each(|edge| totals.take(edge.class, edge.to));
        taken += passed;
    }
    frontier.add(taken, totals.with(0, 0.0));
    frontier.supported = lower_hull(&frontier.cost, &frontier.loss);
    frontier.complete = true;
    (frontier.reduced, frontier.classes) = (reduced, classes);
    Ok(frontier)
}

/// The first of the edges by falling slope, and those as steep up to rounding.
fn steepest(edges: &[Edge]) -> Option<&[Edge]> {
    let least = edges.first()?.slope * (1.0 - 1e-12);
    Some(&edges[..edges.iter().take_while(|edge| edge.slope >= least).count().max(1)])
}

impl Frontier {
    /// Adds the point whose moves were written last, unless it loses no less than the one before.
    fn add(&mut self, taken: usize, (cost, loss): (f64, f64)) {
        let from = self.start.last().copied().unwrap_or(0) as usize;
        if self.loss.last().is_some_and(|&least| loss >= least) {
            self.moves.truncate(from);
            return;
        }
        self.cost.push(cost);
        self.loss.push(loss);
        self.taken.push(taken as u32);
        self.start.push(self.moves.len() as u32);
    }
}

/// Marks the points on the lower convex hull, corners and points on its edges alike.
fn lower_hull(cost: &[f64], loss: &[f64]) -> Vec<bool> {
    let slope = |a: usize, b: usize| (loss[a] - loss[b]) / (cost[b] - cost[a]);
    let mut hull: Vec<usize> = Vec::new();
    for at in 0..cost.len() {
        while let [.., a, b] = hull[..] {
            if slope(a, b) < slope(a, at) {
                hull.pop();
            } else {
                break;
            }
        }
        hull.push(at);
    }
    let mut supported = vec![false; cost.len()];
    hull.into_iter().for_each(|at| supported[at] = true);
    supported
}
