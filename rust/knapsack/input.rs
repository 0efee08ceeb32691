//! The tables of an allocation problem as the caller has them, and what can be wrong with them.

use std::fmt;

/// One linear constraint: a cost of each unit in each format, row by row, and the budget of the sum.
#[derive(Clone, Copy, Debug)]
pub enum Constraint<'a> {
    /// Integer costs, for example bits: sums and the comparison with the budget are exact.
    Integer {
        /// Cost `[units * formats]`.
        costs: &'a [i64],
        /// Largest allowed sum.
        budget: i128,
    },
    /// Real costs, for example milliseconds: the budget may be passed by `BUDGET_SLACK` of itself.
    Real {
        /// Cost `[units * formats]`.
        costs: &'a [f64],
        /// Largest allowed sum.
        budget: f64,
    },
}

/// Relative slack of real budgets, so that a budget summed in another order than ours still fits.
pub const BUDGET_SLACK: f64 = 1e-12;

/// The tables of one problem; a choice is one format for each unit.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Number of units.
    pub units: usize,
    /// Number of formats.
    pub formats: usize,
    /// Loss `[units * formats]`, any finite numbers.
    pub loss: &'a [f64],
    /// The constraints, possibly none.
    pub constraints: &'a [Constraint<'a>],
    /// Whether a unit may take a format `[units * formats]`; `None` allows all.
    pub allowed: Option<&'a [bool]>,
    /// Group of each unit, numbered from 0 without holes; units of one group choose together.
    pub groups: Option<&'a [u32]>,
}

/// Why a problem cannot be posed or has no solution.
#[derive(Clone, Debug, PartialEq)]
pub enum KnapsackError {
    /// A table has another size than units times formats, or a size is zero.
    Shape(String),
    /// A number is not finite, negative where it may not be, or too large.
    Value(String),
    /// A unit or a group has no allowed format.
    Empty {
        /// First unit of the group.
        unit: usize,
    },
    /// No choice fits the budgets. `smallest[k]` is the smallest total of cost `k` on its own.
    Infeasible {
        /// Smallest achievable total of each cost.
        smallest: Vec<f64>,
    },
}

impl fmt::Display for KnapsackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape(text) | Self::Value(text) => f.write_str(text),
            Self::Empty { unit } => write!(f, "unit {unit} has no allowed format"),
            Self::Infeasible { smallest } => {
                write!(f, "no choice fits the budgets; smallest achievable costs: {smallest:?}")
            }
        }
    }
}

impl std::error::Error for KnapsackError {}

/// Largest sum of losses: leaves room for products with costs.
const LARGEST_LOSS: f64 = 1e280;

impl Input<'_> {
    /// Whether a unit may take a format.
    pub(super) fn allows(&self, unit: usize, format: usize) -> bool {
        self.allowed.is_none_or(|allowed| allowed[unit * self.formats + format])
    }

    /// Refuses tables of a wrong size and numbers that cannot be used.
    pub(super) fn check(&self) -> Result<(), KnapsackError> {
        let size = self.units * self.formats;
        if size == 0 {
            return Err(KnapsackError::Shape("a problem needs at least one unit and one format".into()));
        }
        let wrong =
            |what: &str, got: usize| KnapsackError::Shape(format!("{what} has {got} entries, not {size}"));
        if self.loss.len() != size {
            return Err(wrong("loss", self.loss.len()));
        }
        if let Some(allowed) = self.allowed.filter(|allowed| allowed.len() != size) {
            return Err(wrong("allowed", allowed.len()));
        }
        if let Some(groups) = self.groups.filter(|groups| groups.len() != self.units) {
            let text = format!("groups has {} entries, not {}", groups.len(), self.units);
            return Err(KnapsackError::Shape(text));
        }
        if let Some(at) = self.loss.iter().position(|loss| !loss.is_finite()) {
            let (unit, format) = (at / self.formats, at % self.formats);
            return Err(KnapsackError::Value(format!(
                "loss of unit {unit} in format {format} is not finite"
            )));
        }
        if self.loss.iter().map(|loss| loss.abs()).sum::<f64>() > LARGEST_LOSS {
            return Err(KnapsackError::Value("the losses are too large: their sum passes 1e280".into()));
        }
        for (k, constraint) in self.constraints.iter().enumerate() {
            check_constraint(k, constraint, self.formats, size)?;
        }
        Ok(())
    }
}

fn check_constraint(
    k: usize,
    constraint: &Constraint,
    formats: usize,
    size: usize,
) -> Result<(), KnapsackError> {
    let (len, bad) = match *constraint {
        Constraint::Integer { costs, .. } => (costs.len(), costs.iter().position(|&cost| cost < 0)),
        Constraint::Real { costs, budget } => {
            if budget.is_nan() {
                return Err(KnapsackError::Value(format!("budget {k} is not a number")));
            }
            let bad = |cost: &f64| !cost.is_finite() || *cost < 0.0;
            (costs.len(), costs.iter().position(bad))
        }
    };
    if len != size {
        return Err(KnapsackError::Shape(format!("cost {k} has {len} entries, not {size}")));
    }
    if let Some(at) = bad {
        let (unit, format) = (at / formats, at % formats);
        let text = format!("cost {k} of unit {unit} in format {format} is negative or not finite");
        return Err(KnapsackError::Value(text));
    }
    Ok(())
}
