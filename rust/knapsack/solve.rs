//! One call from raw tables to a certified answer: picks the solver and recomputes what it says.

use super::dual;
use super::input::{Constraint, Input, KnapsackError};
use super::lexicographic::solve_in_order;
use super::many::solve_classes;
use super::one::OneBudget;
use super::outcome::{Limits, Meter, Outcome, Status, exact_sum};
use super::problem::Classes;

/// What is minimised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Goal {
    /// The sum of the losses.
    #[default]
    Sum,
    /// The sum of the losses; among equal ones the smallest first cost, then the smallest second, and so on.
    Lexicographic,
}

/// Solves one problem. The objective is summed anew from `input.loss`; the bound covers rounding.
pub fn solve(input: &Input, goal: Goal, limits: &Limits) -> Result<Outcome, KnapsackError> {
    if goal == Goal::Lexicographic && input.constraints.len() > 1 {
        return solve_in_order(input, limits);
    }
    let mut classes = Classes::build(input)?;
    if classes.budget.iter().any(|&left| left < 0) {
        return Err(KnapsackError::Infeasible { smallest: classes.smallest });
    }
    let binding = classes.binding();
    let zeros;
    let kept: Vec<Constraint> = match binding.as_slice() {
        [] if input.constraints.is_empty() => {
            zeros = vec![0; input.loss.len()];
            vec![Constraint::Integer { costs: &zeros, budget: 0 }]
        }
        [] => vec![input.constraints[0]],
        some => some.iter().map(|&k| input.constraints[k]).collect(),
    };
    let smallest = classes.smallest.clone();
    if kept.len() != input.constraints.len() {
        classes = Classes::build(&Input { constraints: &kept, ..*input })?;
    }
    let mut outcome = if kept.len() == 1 {
        solve_one(input, classes, goal, limits)
    } else {
        solve_many(&Input { constraints: &kept, ..*input }, &classes, limits)
    }
    .ok_or(KnapsackError::Infeasible { smallest })?;
    let mut prices = vec![0.0; input.constraints.len()];
    binding.iter().zip(&outcome.prices).for_each(|(&k, &price)| prices[k] = price);
    outcome.prices = prices;
    Ok(outcome)
}

fn solve_one(input: &Input, classes: Classes, goal: Goal, limits: &Limits) -> Option<Outcome> {
    let step = classes.step.first().copied().unwrap_or(1.0);
    let mut solver = OneBudget::new(classes);
    solver.thrifty = goal == Goal::Lexicographic;
    let solved = solver.solve(limits)?;
    let mut choice = vec![0; input.units];
    solver.write_choice(&mut choice);
    let objective = objective(input, &choice);
    let bound = certified(input, solver.classes(), objective, solved.distance);
    let prices = vec![solved.price / step];
    Some(Outcome { status: solved.status, choice, objective, bound, prices, nodes: solved.nodes })
}

fn solve_many(input: &Input, classes: &Classes, limits: &Limits) -> Option<Outcome> {
    let mut meter = Meter::new(limits);
    let dual = dual::maximise(classes, None);
    let prices = dual.prices.iter().zip(&classes.step).map(|(price, step)| price / step).collect();
    if let Some(outcome) = solve_priced(input, &dual.prices, limits) {
        if classes.fits(&outcome.choice) {
            return Some(Outcome { prices, ..outcome });
        }
        meter.spend(outcome.nodes);
    }
    let found = solve_classes(classes, &dual, &mut meter)?;
    let nodes = meter.nodes;
    let Some(items) = found.items else {
        let bound = dual.value + found.reached - 1e-12 * dual.value.abs();
        let outcome = Outcome {
            status: Status::Limit,
            choice: Vec::new(),
            objective: f64::INFINITY,
            bound,
            prices,
            nodes,
        };
        return Some(outcome);
    };
    let mut choice = vec![0; input.units];
    classes.spread(&items, &mut choice);
    let objective = objective(input, &choice);
    let bound = certified(input, classes, objective, found.distance);
    let status = if found.complete { Status::Optimal } else { Status::Feasible };
    Some(Outcome { status, choice, objective, bound, prices, nodes })
}

/// Solves for the only budget that has a price; where that fits the others too, no choice that fits loses less.
fn solve_priced(input: &Input, prices: &[f64], limits: &Limits) -> Option<Outcome> {
    let mut priced = (0..prices.len()).filter(|&k| prices[k] > 0.0);
    let constraint = input.constraints[priced.next()?];
    if priced.next().is_some() {
        return None;
    }
    let classes = Classes::build(&Input { constraints: &[constraint], ..*input }).ok()?;
    solve_one(input, classes, Goal::Sum, limits)
}

/// Sum of the losses of a choice.
pub(super) fn objective(input: &Input, choice: &[u32]) -> f64 {
    let losses =
        choice.iter().enumerate().map(|(unit, &format)| input.loss[unit * input.formats + format as usize]);
    exact_sum(losses)
}

/// Bound `distance` below `objective`, rounded down, and raised to what is known anyway: the least loss of each
/// class, and the next integer when all losses are integers.
pub(super) fn certified(input: &Input, classes: &Classes, objective: f64, distance: f64) -> f64 {
    if distance <= 0.0 {
        return objective;
    }
    let mut bound = (objective - distance).next_down();
    if input.loss.iter().all(|loss| loss.fract() == 0.0 && loss.abs() < 1e15) {
        bound = bound.ceil();
    }
    let least = (0..classes.len())
        .map(|class| classes.loss[classes.items_of(class)].iter().copied().fold(f64::INFINITY, f64::min));
    let least = exact_sum(least);
    bound.max(least - 2.0 * f64::EPSILON * least.abs()).min(objective)
}
