//! Regret: the loss given away by deciding with scores instead of the truth.
//!
//! Sensitivities: for each budget the plan that is best by the scores and the one that is best by the truth are found
//! by the exact solver; regret = (T(chosen) - T(best)) / (T(cheapest) - T(best)), where T is the sum of measured
//! sensitivities and `cheapest` puts every unit in its cheapest format; the mean over budgets. Configurations: in each
//! stratum (loss of the one with the least predicted loss - least loss) / (mean loss - least loss); the mean over strata.
//! Either way 0 is the best decision, and 1 is no better than not knowing.

use super::truth::Misfit;
use crate::knapsack::{Classes, Constraint, Input, Limits, OneBudget};

/// States that one plan may take to find; beyond it the best plan so far is judged.
const STATES: u64 = 200_000;

/// A ladder of budgets for one table of units and formats.
pub struct Ladder {
    formats: usize,
    /// Measured losses, unit-major [L][F].
    values: Vec<f64>,
    rungs: Vec<Rung>,
    solver: OneBudget,
}

struct Rung {
    budget: i64,
    /// T(best).
    best: f64,
    /// T(cheapest) - T(best).
    span: f64,
}

impl Ladder {
    /// `values` and `costs` are unit-major [L][F]. Budgets at which the cheapest plan is as good as the best are left out.
    pub fn new(formats: usize, values: &[f64], costs: &[i64], budgets: &[i64]) -> Result<Ladder, Misfit> {
        let units = values.len().checked_div(formats).unwrap_or(0);
        let budget = budgets.iter().max().copied().unwrap_or(0);
        let constraints = [Constraint::Integer { costs, budget: i128::from(budget) }];
        let input =
            Input { units, formats, loss: values, constraints: &constraints, allowed: None, groups: None };
        let classes = Classes::build(&input).map_err(|error| Misfit(error.to_string()))?;
        let mut ladder =
            Ladder { formats, values: values.to_vec(), rungs: Vec::new(), solver: OneBudget::new(classes) };
        let cheapest = ladder.cheapest(costs);
        let mut solver = ladder.solver.clone();
        for &budget in budgets {
            let Some(best) = ladder.plan(&mut solver, budget) else {
                return Err(Misfit(format!("no plan fits a budget of {budget}")));
            };
            if cheapest > best {
                ladder.rungs.push(Rung { budget, best, span: cheapest - best });
            }
        }
        if ladder.rungs.is_empty() {
            return Err(Misfit("the cheapest plan is the best at every budget".into()));
        }
        Ok(ladder)
    }

    /// A solver for one thread.
    pub fn solver(&self) -> OneBudget {
        self.solver.clone()
    }

    /// Mean regret of deciding with `scores`, unit-major [L][F].
    pub fn regret(&self, solver: &mut OneBudget, scores: &[f64]) -> f64 {
        // Far from overflow only the proportions count.
        if scores.iter().any(|score| score.abs() > 1e250) {
            let small: Vec<f64> = scores.iter().map(|score| score * 1e-60).collect();
            solver.set_loss(&small);
        } else {
            solver.set_loss(scores);
        }
        let sum: f64 = self
            .rungs
            .iter()
            .map(|rung| {
                self.plan(solver, rung.budget).map_or(f64::NAN, |loss| (loss - rung.best) / rung.span)
            })
            .sum();
        // A plan by other scores may find what a solver that was cut short did not.
        let mean = sum / self.rungs.len() as f64;
        if mean < 0.0 { 0.0 } else { mean }
    }

    /// Number of formats.
    pub fn formats(&self) -> usize {
        self.formats
    }

    /// Measured loss of the plan that the solver finds.
    fn plan(&self, solver: &mut OneBudget, budget: i64) -> Option<f64> {
        solver.solve_at(budget, &Limits { nodes: STATES, time: None })?;
        let (classes, mut loss) = (solver.classes(), 0.0);
        for (unit, item) in solver.items().iter().enumerate() {
            let format = classes.format.get(*item as usize).copied().unwrap_or(0) as usize;
            loss += self.values.get(unit * self.formats + format).copied().unwrap_or(f64::NAN);
        }
        Some(loss)
    }

    /// Measured loss with every unit in its cheapest format, the better of equals.
    fn cheapest(&self, costs: &[i64]) -> f64 {
        let rows = costs.chunks_exact(self.formats.max(1)).zip(self.values.chunks_exact(self.formats.max(1)));
        rows.map(|(costs, values)| {
            let least = costs.iter().min().copied().unwrap_or(0);
            let losses = costs.iter().zip(values).filter(|(cost, _)| **cost == least).map(|(_, loss)| *loss);
            losses.fold(f64::INFINITY, f64::min)
        })
        .sum()
    }
}

/// Regret within one stratum, see above; equal predictions share their losses.
pub fn of_stratum(predicted: &[f64], losses: &[f64], least: f64, mean: f64) -> f64 {
    let first = predicted.iter().copied().fold(f64::INFINITY, f64::min);
    let (mut sum, mut count) = (0.0, 0.0);
    for (_, loss) in predicted.iter().zip(losses).filter(|(value, _)| **value == first) {
        sum += loss;
        count += 1.0;
    }
    (sum / count - least) / (mean - least)
}
