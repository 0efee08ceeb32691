//! Exact bit allocation: one format for each unit, least total loss, costs within budgets.
//!
//!   minimise sum_l loss[l, c_l]   subject to   sum_l cost_k[l, c_l] <= budget_k
//!
//! In reading order: `problem` (tables to classes of items), `reduce` (dominance, hulls), `bound` (linear
//! relaxation), `expand` (closing the gap of one budget), `one` (the three together, warm); `frontier` (every
//! Pareto point, by `interval`, `stairs` of `state`s, `sieve`, `join` and `ceiling`); for several budgets
//! `dual` (prices, by `master`), `search` (complete below a threshold, by `subsets` and `rates`), `branch` (over
//! the `kept` items) and `many` (these together); `lexicographic` (ties by cost); for losses with pair terms `pairs`
//! (the model), `messages` (its bound), `exchange` (good choices) and `coupled` (branch and bound). For regret over many
//! loss tables use [`OneBudget`]; for one answer use [`solve`].

mod bound;
mod branch;
mod ceiling;
mod coupled;
mod dual;
mod exchange;
mod expand;
mod frontier;
mod input;
pub mod instances;
mod interval;
mod join;
mod kept;
mod lexicographic;
mod many;
mod master;
mod messages;
mod one;
mod outcome;
mod pairs;
mod problem;
mod rates;
mod reduce;
mod search;
mod sieve;
mod solve;
mod stairs;
mod state;
mod subsets;
mod totals;

pub use coupled::solve_coupled;
pub use frontier::{Frontier, frontier};
pub use input::{BUDGET_SLACK, Constraint, Input, KnapsackError};
pub use one::{Budget, OneBudget, Solved};
pub use outcome::{Limits, Outcome, Status, exact_sum};
pub use pairs::Pair;
pub use problem::Classes;
pub use solve::{Goal, solve};
