//! The solver for one budget: reduce, relax, expand; every buffer is kept from call to call.
//!
//! For many loss tables over the same costs (regret while screening), build one `OneBudget` a thread, then
//! call `set_loss` and `solve_at` for each rung of the ladder: after the first calls nothing is allocated.
//!
//! ```
//! use tap_core::knapsack::{Classes, Constraint, Input, Limits, OneBudget};
//! let costs = Constraint::Integer { costs: &[2, 4, 2, 4], budget: 6 };
//! let input = Input { units: 2, formats: 2, loss: &[3.0, 0.0, 5.0, 1.0], constraints: &[costs], allowed: None, groups: None };
//! let mut solver = OneBudget::new(Classes::build(&input)?);
//! let mut choice = [0; 2];
//! let found = solver.solve_at(6, &Limits::default()).map(|_| solver.write_choice(&mut choice));
//! assert!(found.is_some());
//! assert_eq!(choice, [0, 1]);
//! solver.set_loss(&[9.0, 0.0, 5.0, 1.0]);
//! assert!(solver.solve_at(4, &Limits::default()).is_some());
//! # Ok::<(), tap_core::knapsack::KnapsackError>(())
//! ```

use super::bound::Relaxation;
use super::expand::Expansion;
use super::outcome::{Limits, Meter, Status};
use super::problem::Classes;
use super::reduce::Reduced;

/// A one-budget problem with warm buffers.
#[derive(Clone, Debug)]
pub struct OneBudget {
    classes: Classes,
    reduced: Reduced,
    relaxed: Relaxation,
    expansion: Expansion,
    items: Vec<u32>,
    is_reduced: bool,
    /// Compare choices of equal loss by cost.
    pub thrifty: bool,
}

/// A budget in the costs of the input.
#[derive(Clone, Copy, Debug)]
pub enum Budget {
    /// Exact.
    Integer(i128),
    /// Rounded down to the grid of the costs, with `BUDGET_SLACK` where these are real.
    Real(f64),
}

/// What `solve_at` proved; the choice itself is read with `write_choice` or `items`.
#[derive(Clone, Copy, Debug)]
pub struct Solved {
    /// `Optimal` or `Feasible`.
    pub status: Status,
    /// Objective minus proven bound, rounding included.
    pub distance: f64,
    /// Loss saved per grid step of the budget at the margin.
    pub price: f64,
    /// States visited.
    pub nodes: u64,
}

impl OneBudget {
    /// Takes classes with exactly one constraint.
    pub fn new(classes: Classes) -> Self {
        debug_assert_eq!(classes.constraints(), 1);
        Self {
            classes,
            reduced: Reduced::default(),
            relaxed: Relaxation::default(),
            expansion: Expansion::default(),
            items: Vec::new(),
            is_reduced: false,
            thrifty: false,
        }
    }

    /// Changes the losses `[units * formats]`, which must be finite; costs stay.
    pub fn set_loss(&mut self, loss: &[f64]) {
        self.classes.set_loss(loss);
        self.is_reduced = false;
    }

    /// Solves at the budget that the classes were built with; `None` when nothing fits.
    pub fn solve(&mut self, limits: &Limits) -> Option<Solved> {
        self.solve_left(self.classes.budget.first().copied().unwrap_or(0), limits)
    }

    /// Solves at another budget, in the (integer) costs of the input; `None` when nothing fits.
    pub fn solve_at(&mut self, budget: i64, limits: &Limits) -> Option<Solved> {
        self.solve_left(self.classes.left_of(0, i128::from(budget)), limits)
    }

    /// Solves at another budget of either kind; `None` when nothing fits.
    pub fn solve_for(&mut self, budget: Budget, limits: &Limits) -> Option<Solved> {
        let left = match budget {
            Budget::Integer(budget) => self.classes.left_of(0, budget),
            Budget::Real(budget) => self.classes.left_of_real(0, budget),
        };
        self.solve_left(left, limits)
    }

    /// Solves at what is left of the budget, in grid steps, once every class takes its cheapest item.
    pub fn solve_left(&mut self, left: i64, limits: &Limits) -> Option<Solved> {
        if left < 0 {
            return None;
        }
        if !self.is_reduced {
            self.reduced.fill(&self.classes);
            self.is_reduced = true;
        }
        self.relaxed.fill(&mut self.reduced, left);
        self.items.clear();
        let mut meter = Meter::new(limits);
        let mut solved =
            Solved { status: Status::Optimal, distance: 0.0, price: self.relaxed.price, nodes: 0 };
        if self.relaxed.split.is_some() {
            let closed = self.expansion.close(&self.reduced, &mut self.relaxed, self.thrifty, &mut meter);
            if closed.distance > 0.0 {
                solved.status = Status::Feasible;
            }
            solved.distance = closed.distance + closed.error;
            solved.nodes = meter.nodes;
        }
        self.items.extend(self.relaxed.base.iter().map(|&reduced| self.reduced.item[reduced as usize]));
        Some(solved)
    }

    /// Items of the last solution, one for each class.
    pub fn items(&self) -> &[u32] {
        &self.items
    }

    /// Writes the format of each unit in the last solution.
    pub fn write_choice(&self, choice: &mut [u32]) {
        self.classes.spread(&self.items, choice);
    }

    /// The classes being solved.
    pub fn classes(&self) -> &Classes {
        &self.classes
    }
}
