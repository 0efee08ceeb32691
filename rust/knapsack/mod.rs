//! Exact bit allocation: one format for each unit, least total loss, costs within budgets.
//!
//!   minimise sum_l loss[l, c_l]   subject to   sum_l cost_k[l, c_l] <= budget_k
//!
//! In reading order: `problem` (tables to classes of items), `reduce` (dominance, hulls), `bound` (linear
//! relaxation), `expand` (closing the gap of one budget), `one` (the three together, warm); `frontier` (every
//! Pareto point, by `interval` and `ceiling`); for several budgets
//! `dual` (prices, by `master`), `search` (complete below a threshold, by `subsets` and `rates`), `branch` (over
//! the `kept` items) and `many` (these together). For regret over many
//! loss tables use [`OneBudget`]; for one answer use [`solve`].

mod bound;
mod branch;
mod ceiling;
mod dual;
mod expand;
mod frontier;
mod input;
pub mod instances;
mod interval;
mod kept;
mod many;
mod master;
mod one;
mod outcome;
mod problem;
mod rates;
mod reduce;
mod search;
mod solve;
mod subsets;
mod totals;

pub use frontier::{Frontier, Rung, frontier, ladder};
pub use input::{BUDGET_SLACK, Constraint, Input, KnapsackError};
pub use one::{Budget, OneBudget, Solved};
pub use outcome::{Limits, Outcome, Status, exact_sum};
pub use problem::Classes;
pub use solve::{Goal, solve};
