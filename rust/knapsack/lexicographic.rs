//! Breaks ties of the smallest loss by the costs: least first cost, then least second, and so on, under several budgets.
//!
//! Each step minimises one cost among the choices that lose no more than the best and spend no more of the costs
//! before: the loss, counted from the least of each unit, becomes one more constraint.

use std::time::Instant;

use super::input::{Constraint, Input, KnapsackError};
use super::outcome::{Limits, Outcome, Status};
use super::solve::{Goal, objective, solve};

/// Solves with ties broken. When a limit comes between, the loss is still the best and the status says `Feasible`.
pub fn solve_in_order(input: &Input, limits: &Limits) -> Result<Outcome, KnapsackError> {
    let started = Instant::now();
    let mut best = solve(input, Goal::Sum, limits)?;
    if best.status != Status::Optimal {
        return Ok(best);
    }
    let shifted = shifted(input);
    let mut constraints = input.constraints.to_vec();
    let lost = total(&shifted, input.formats, &best.choice);
    constraints.push(Constraint::Real { costs: &shifted, budget: lost });
    for k in 0..input.constraints.len() {
        let rest = Limits {
            nodes: limits.nodes.saturating_sub(best.nodes),
            time: limits.time.map(|time| time.saturating_sub(started.elapsed())),
        };
        let cost = costs_of(&constraints[k]);
        let next = solve(&Input { loss: &cost, constraints: &constraints, ..*input }, Goal::Sum, &rest)?;
        best.nodes += next.nodes;
        if next.status != Status::Limit && next.objective < total(&cost, input.formats, &best.choice) {
            best.choice = next.choice;
        }
        if next.status != Status::Optimal {
            best.status = Status::Feasible;
            break;
        }
        fix(&mut constraints[k], input.formats, &best.choice);
    }
    best.objective = objective(input, &best.choice);
    best.bound = best.bound.min(best.objective);
    Ok(best)
}

/// Losses counted from the least that each unit may take.
fn shifted(input: &Input) -> Vec<f64> {
    let mut shifted = input.loss.to_vec();
    for (unit, row) in shifted.chunks_mut(input.formats).enumerate() {
        let allowed = (0..row.len()).filter(|&format| input.allows(unit, format));
        let least = allowed.map(|format| row[format]).fold(f64::INFINITY, f64::min);
        row.iter_mut().for_each(|loss| *loss = (*loss - least).max(0.0));
    }
    shifted
}

fn total(table: &[f64], formats: usize, choice: &[u32]) -> f64 {
    choice.iter().enumerate().map(|(unit, &format)| table[unit * formats + format as usize]).sum()
}

fn costs_of(constraint: &Constraint) -> Vec<f64> {
    match *constraint {
        Constraint::Integer { costs, .. } => costs.iter().map(|&cost| cost as f64).collect(),
        Constraint::Real { costs, .. } => costs.to_vec(),
    }
}

/// Lowers a budget to what a choice spends.
fn fix(constraint: &mut Constraint, formats: usize, choice: &[u32]) {
    match constraint {
        Constraint::Integer { costs, budget } => {
            let spent = |(unit, &format): (usize, &u32)| i128::from(costs[unit * formats + format as usize]);
            *budget = choice.iter().enumerate().map(spent).sum();
        }
        Constraint::Real { costs, budget } => *budget = total(costs, formats, choice).min(*budget),
    }
}
