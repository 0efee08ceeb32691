//! Every Pareto point of one cost against the loss.
//!
//! Hull edges by falling slope lead from one supported point to the next; the points between two neighbours are
//! found by `interval`. A point is kept as the end of a trace of moves, so that its choice is written only when
//! somebody asks for it.

use pulp::{Arch, Simd, WithSimd};

use super::input::{Constraint, Input, KnapsackError};
use super::interval::{Interval, Points, Span};
use super::outcome::{Limits, Meter};
use super::problem::Classes;
use super::reduce::{Edge, Reduced};
use super::stairs::Traces;
use super::state::Key;
use super::totals::Totals;

/// Points for each unit for which there is room from the start.
const ROOM: usize = 4096;

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
    /// Trace of each point.
    trace: Vec<u32>,
    /// First point of each interval, and the hull edges taken before it.
    spans: Vec<(usize, usize)>,
    traces: Traces,
    reduced: Reduced,
    classes: Classes,
    units: usize,
}

impl Frontier {
    /// Format of every unit `[units]` in a point; nothing when there is no such point.
    pub fn choice(&self, point: usize) -> Option<Vec<u32>> {
        let &trace = self.trace.get(point)?;
        let span = self.spans.partition_point(|&(first, _)| first <= point).checked_sub(1)?;
        let &(_, taken) = self.spans.get(span)?;
        let mut items = self.reduced.start[..self.reduced.len()].to_vec();
        let edges = self.reduced.edges[..taken].iter().map(|edge| (edge.class as usize, edge.to));
        let moves = self.traces.moves(trace).map(|item| (self.reduced.class_of(item), item));
        edges.chain(moves).for_each(|(class, item)| items[class] = item);
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
    let ends = (0..reduced.len()).map(|class| reduced.items_of(class));
    let range: i64 = ends.map(|items| reduced.cost[items.end - 1] - reduced.cost[items.start]).sum();
    let is_narrow = range < i64::from(i32::MAX);
    let walk = if is_narrow { walk::<i64> } else { walk::<i128> };
    Ok(walk(input, limits, classes, reduced))
}

/// Goes from supported point to supported point, with keys for the range of the costs.
fn walk<K: Key>(input: &Input, limits: &Limits, classes: Classes, mut reduced: Reduced) -> Frontier {
    reduced.edges.sort_unstable_by(|a, b| b.slope.total_cmp(&a.slope).then(a.to.cmp(&b.to)));
    let mut frontier = Frontier { units: input.units, ..Frontier::default() };
    let mut totals = Totals::new(input, &classes, &reduced);
    let mut meter = Meter::new(limits);
    let mut interval = Interval::<K>::default();
    let (mut taken, mut straight) = (0, Vec::new());
    // As much as CNN-like tables need: room that is not touched costs nothing, moving points to more does.
    frontier.reserve((ROOM * input.units).min(1 << 20));
    interval.traces.reserve((4 * ROOM * input.units).min(1 << 22));
    while let Some(edges) = steepest(&reduced.edges[taken..]) {
        let span = Span {
            edges,
            price: edges[0].slope,
            cost: edges.iter().map(|edge| edge.cost).sum(),
            loss: edges.iter().map(|edge| -edge.slope * edge.cost as f64).sum(),
        };
        if interval.search(&reduced, totals.items(), &span, &mut meter) {
            return Frontier::default();
        }
        frontier.spans.push((frontier.cost.len(), taken));
        let near = 1e-9 * span.price * span.cost as f64;
        let points = interval.points(&span);
        let (frontier, straight) = (&mut frontier, &mut straight);
        Arch::new().dispatch(Write { frontier, straight, points, totals: &totals, span: &span, near });
        let passed = edges.len();
        reduced.edges[taken..taken + passed].iter().for_each(|edge| totals.take(edge.class, edge.to));
        taken += passed;
    }
    frontier.spans.push((frontier.cost.len(), taken));
    let (cost, loss) = totals.with(0, 0.0);
    if frontier.loss.last().is_none_or(|&least| loss < least) {
        straight.push(frontier.cost.len());
        frontier.cost.push(cost);
        frontier.loss.push(loss);
        frontier.trace.push(0);
    }
    frontier.supported = lower_hull(&frontier.cost, &frontier.loss, &straight);
    frontier.complete = true;
    (frontier.reduced, frontier.classes, frontier.traces) = (reduced, classes, interval.traces);
    frontier
}

/// The first of the edges by falling slope, and those as steep up to rounding.
fn steepest(edges: &[Edge]) -> Option<&[Edge]> {
    let least = edges.first()?.slope * (1.0 - 1e-12);
    Some(&edges[..edges.iter().take_while(|edge| edge.slope >= least).count().max(1)])
}

impl Frontier {
    /// Makes room for so many points.
    fn reserve(&mut self, points: usize) {
        self.cost.reserve(points);
        self.loss.reserve(points);
        self.trace.reserve(points);
    }

    /// Drops the points from `first` on that lose no less than one before, by rounding, and renames the others in
    /// `straight`.
    fn tidy(&mut self, first: usize, straight: &mut Vec<usize>) {
        let renamed = straight.partition_point(|&at| at < first);
        let old = straight.split_off(renamed);
        let mut to = first;
        for at in first..self.cost.len() {
            if to.checked_sub(1).is_none_or(|last| self.loss[at] < self.loss[last]) {
                if old.binary_search(&at).is_ok() {
                    straight.push(to);
                }
                (self.cost[to], self.loss[to], self.trace[to]) =
                    (self.cost[at], self.loss[at], self.trace[at]);
                to += 1;
            }
        }
        self.cost.truncate(to);
        self.loss.truncate(to);
        self.trace.truncate(to);
    }
}

/// Adds the points of an interval to a frontier, those within `near` of its line to `straight` too.
struct Write<'a, K> {
    frontier: &'a mut Frontier,
    straight: &'a mut Vec<usize>,
    points: Points<'a, K>,
    totals: &'a Totals<'a>,
    span: &'a Span<'a>,
    near: f64,
}

impl<K: Key> WithSimd for Write<'_, K> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { frontier, straight, points, totals, span, near } = self;
        let first = frontier.cost.len();
        frontier.trace.extend(points.iter().map(|(_, _, trace)| trace));
        totals.losses(points.iter().map(|(_, loss, _)| loss), &mut frontier.loss);
        totals.costs(points.iter().map(|(cost, _, _)| cost), span.cost, &mut frontier.cost);
        for (at, (cost, loss, _)) in points.iter().enumerate() {
            if loss + span.price * (cost as f64) < near {
                straight.push(first + at);
            }
        }
        let losses = &frontier.loss[first.saturating_sub(1)..];
        let rises = losses.iter().zip(losses.iter().skip(1)).filter(|(loss, after)| after >= loss);
        if rises.count() > 0 {
            frontier.tidy(first, straight);
        }
    }
}

/// Marks the points on the lower convex hull, corners and points on its edges alike, among those that lie `near`
/// the lines between supported points.
fn lower_hull(cost: &[f64], loss: &[f64], near: &[usize]) -> Vec<bool> {
    let slope = |a: usize, b: usize| (loss[a] - loss[b]) / (cost[b] - cost[a]);
    let mut hull: Vec<usize> = Vec::new();
    for &at in near {
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
