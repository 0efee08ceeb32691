//! Every Pareto point of one cost against the loss, or a ladder of budgets, from one set of tables.
//!
//! All points: dynamic programming over the classes. The states after a class are the choices of the classes so
//! far that no other beats in both cost and loss; a class of F items merges F shifted copies of them.

use super::input::{Constraint, Input, KnapsackError};
use super::one::OneBudget;
use super::outcome::{Limits, Meter, exact_sum};
use super::problem::Classes;
use super::reduce::Reduced;

/// Pareto points by rising cost and falling loss.
#[derive(Clone, Debug, Default)]
pub struct Frontier {
    /// Format of every unit, point after point `[points * units]`.
    pub choice: Vec<u32>,
    /// Loss of each point, summed from the raw losses.
    pub loss: Vec<f64>,
    /// Whether the point lies on the lower convex hull: some price makes it the best choice.
    pub supported: Vec<bool>,
    /// Whether every Pareto point is there; false when a limit ended the work, which leaves no points.
    pub complete: bool,
}

#[derive(Clone, Copy, Debug)]
struct State {
    cost: i64,
    loss: f64,
    trace: u32,
}

/// One step of a trace: where it came from and the reduced item taken.
type Step = (u32, u32);

/// All Pareto points of the first constraint of `input`, whose budget is not used.
pub fn frontier(input: &Input, limits: &Limits) -> Result<Frontier, KnapsackError> {
    let first: Vec<Constraint> = input.constraints.iter().take(1).copied().collect();
    let classes = Classes::build(&Input { constraints: &first, ..*input })?;
    let mut reduced = Reduced::default();
    reduced.fill(&classes);
    let mut meter = Meter::new(limits);
    let (mut now, mut next) = (vec![State { cost: 0, loss: 0.0, trace: 0 }], Vec::new());
    let mut steps: Vec<Step> = vec![(0, 0)];
    for class in 0..reduced.len() {
        if merge(&reduced, class, &now, &mut next, &mut steps, &mut meter) {
            return Ok(Frontier::default());
        }
        std::mem::swap(&mut now, &mut next);
    }
    let supported = lower_hull(&now);
    let mut frontier = Frontier { supported, complete: true, ..Frontier::default() };
    let mut items = vec![0; reduced.len()];
    let mut choice = vec![0; input.units];
    for state in &now {
        let mut trace = state.trace as usize;
        for item in items.iter_mut().rev() {
            let (before, reduced_item) = steps[trace];
            *item = reduced.item[reduced_item as usize];
            trace = before as usize;
        }
        classes.spread(&items, &mut choice);
        frontier.choice.extend_from_slice(&choice);
        let losses =
            choice.iter().enumerate().map(|(unit, &f)| input.loss[unit * input.formats + f as usize]);
        frontier.loss.push(exact_sum(losses));
    }
    Ok(frontier)
}

/// Solves the first constraint at each budget in turn, sharing the reductions; `None` where nothing fits. The
/// budget of `input` itself is not used.
pub fn ladder(
    input: &Input,
    budgets: &[Budget],
    limits: &Limits,
) -> Result<Vec<Option<Rung>>, KnapsackError> {
    let first: Vec<Constraint> = input.constraints.iter().take(1).copied().collect();
    let mut solver = OneBudget::new(Classes::build(&Input { constraints: &first, ..*input })?);
    let rung = |&budget: &Budget| {
        let left = match budget {
            Budget::Integer(budget) => solver.classes().left_of(0, budget),
            Budget::Real(budget) => solver.classes().left_of_real(0, budget),
        };
        let solved = solver.solve_left(left, limits)?;
        let mut choice = vec![0; input.units];
        solver.write_choice(&mut choice);
        Some(Rung { choice, distance: solved.distance })
    };
    Ok(budgets.iter().map(rung).collect())
}

/// A budget in the costs of the input.
#[derive(Clone, Copy, Debug)]
pub enum Budget {
    /// Exact.
    Integer(i128),
    /// Rounded down to the grid of the costs, with `BUDGET_SLACK` where these are real.
    Real(f64),
}

/// The answer at one budget of a ladder.
#[derive(Clone, Debug)]
pub struct Rung {
    /// Format of every unit.
    pub choice: Vec<u32>,
    /// Objective minus proven bound.
    pub distance: f64,
}

/// Merges the items of one class into the states; true when a limit is passed.
fn merge(
    reduced: &Reduced,
    class: usize,
    now: &[State],
    next: &mut Vec<State>,
    steps: &mut Vec<Step>,
    meter: &mut Meter,
) -> bool {
    let items = reduced.items_of(class);
    let first = items.start;
    let mut heads = vec![0usize; items.len()];
    next.clear();
    let mut least = f64::INFINITY;
    loop {
        let mut pick: Option<(i64, usize)> = None;
        for (source, &head) in heads.iter().enumerate() {
            if let Some(state) = now.get(head) {
                let cost = state.cost + reduced.cost[first + source];
                if pick.is_none_or(|(cheapest, _)| cost < cheapest) {
                    pick = Some((cost, source));
                }
            }
        }
        let Some((cost, source)) = pick else { return false };
        let state = now[heads[source]];
        heads[source] += 1;
        let loss = state.loss + reduced.loss[first + source];
        if loss >= least {
            continue;
        }
        least = loss;
        steps.push((state.trace, (first + source) as u32));
        let new = State { cost, loss, trace: steps.len() as u32 - 1 };
        match next.last_mut() {
            Some(last) if last.cost == cost => *last = new,
            _ => next.push(new),
        }
        if meter.spend(1) {
            return true;
        }
    }
}

/// Marks the states on the lower convex hull, corners and points on its edges alike.
fn lower_hull(states: &[State]) -> Vec<bool> {
    let slope =
        |a: usize, b: usize| (states[a].loss - states[b].loss) / (states[b].cost - states[a].cost) as f64;
    let mut hull: Vec<usize> = Vec::new();
    for at in 0..states.len() {
        while let [.., a, b] = hull[..] {
            if slope(a, b) < slope(a, at) {
                hull.pop();
            } else {
                break;
            }
        }
        hull.push(at);
    }
    let mut supported = vec![false; states.len()];
    hull.into_iter().for_each(|at| supported[at] = true);
    supported
}
