//! Turns loss and cost tables of units into classes of choices with integer costs, ready for the solvers.
//!
//! Costs become integers on one grid per constraint, so that sums are exact: integer costs keep their
//! value (divided by the common divisor), real costs are multiples of a power of two that is finer than
//! 2^-60 of the largest total. Losses stay `f64`.

use super::input::{BUDGET_SLACK, Constraint, Input, KnapsackError};

/// Classes of choices: exactly one item of each class is taken.
///
/// The costs of a class are counted from its cheapest item, constraint by constraint, so `budget` is what is
/// left once every class takes its cheapest.
#[derive(Clone, Debug, Default)]
pub struct Classes {
    /// First item of each class; one longer than the number of classes.
    pub start: Vec<u32>,
    /// Format of each item.
    pub format: Vec<u32>,
    /// Loss of each item, summed over the units of its class.
    pub loss: Vec<f64>,
    /// Cost of each item, `[items * constraints]`.
    pub cost: Vec<i64>,
    /// What is left of each budget; negative where even the cheapest choice is too dear.
    pub budget: Vec<i64>,
    /// Cost of one grid step in the units of the input, per constraint.
    pub step: Vec<f64>,
    /// Smallest achievable total of each cost, in the units of the input.
    pub smallest: Vec<f64>,
    /// Units of each class, concatenated in class order.
    members: Vec<u32>,
    /// Total of the cheapest items on the undivided grid, per constraint.
    floor: Vec<i128>,
    /// Common divisor taken out of the costs, per constraint.
    divisor: Vec<i64>,
    /// Grid steps per unit of cost, of real constraints.
    real: Vec<Option<f64>>,
    /// First member of each class; one longer than the number of classes.
    member_start: Vec<u32>,
    formats: usize,
}

impl Classes {
    /// Checks the tables and builds the classes; items are ordered by the first cost, then by format.
    pub fn build(input: &Input) -> Result<Self, KnapsackError> {
        input.check()?;
        let (m, n_formats) = (input.constraints.len(), input.formats);
        let mut classes = Self { formats: n_formats, ..Self::default() };
        classes.collect_members(input)?;
        let grids = input
            .constraints
            .iter()
            .enumerate()
            .map(|(k, constraint)| Grid::new(k, constraint, input))
            .collect::<Result<Vec<_>, _>>()?;
        let mut row: Vec<(i64, u32)> = Vec::with_capacity(n_formats);
        let mut floor = vec![0i128; m];
        classes.start.push(0);
        for class in 0..classes.member_start.len() - 1 {
            let members = classes.members_of(class).to_vec();
            row.clear();
            for format in 0..n_formats {
                if members.iter().all(|&unit| input.allows(unit as usize, format)) {
                    let first = grids.first().map_or(0, |grid| grid.sum(&members, format, n_formats));
                    row.push((first, format as u32));
                }
            }
            if row.is_empty() {
                return Err(KnapsackError::Empty { unit: members.first().map_or(0, |&u| u as usize) });
            }
            row.sort_unstable();
            let item0 = classes.format.len();
            for &(_, format) in &row {
                classes.format.push(format);
                for grid in &grids {
                    classes.cost.push(grid.sum(&members, format as usize, n_formats));
                }
            }
            for (k, floor) in floor.iter_mut().enumerate() {
                let items = (item0..classes.format.len()).map(|item| item * m + k);
                let least = items.clone().map(|at| classes.cost[at]).min().unwrap_or(0);
                items.for_each(|at| classes.cost[at] -= least);
                *floor += i128::from(least);
            }
            classes.start.push(classes.format.len() as u32);
        }
        for (k, grid) in grids.iter().enumerate() {
            classes.settle_budget(k, grid, floor[k]);
        }
        classes.loss.resize(classes.format.len(), 0.0);
        classes.set_loss(input.loss);
        Ok(classes)
    }

    /// Takes the losses of another table of the same shape; costs and budgets stay. `loss` must be finite.
    pub fn set_loss(&mut self, loss: &[f64]) {
        for class in 0..self.len() {
            let (from, to) = (self.member_start[class] as usize, self.member_start[class + 1] as usize);
            for item in self.start[class] as usize..self.start[class + 1] as usize {
                let format = self.format[item] as usize;
                let members = &self.members[from..to];
                self.loss[item] =
                    members.iter().map(|&unit| loss[unit as usize * self.formats + format]).sum();
            }
        }
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.start.len() - 1
    }

    /// Whether there are no classes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of constraints.
    pub fn constraints(&self) -> usize {
        self.budget.len()
    }

    /// Units of a class.
    pub fn members_of(&self, class: usize) -> &[u32] {
        &self.members[self.member_start[class] as usize..self.member_start[class + 1] as usize]
    }

    /// Items of a class.
    pub fn items_of(&self, class: usize) -> std::ops::Range<usize> {
        self.start[class] as usize..self.start[class + 1] as usize
    }

    /// Constraints that some choice breaks; the others never matter.
    pub fn binding(&self) -> Vec<usize> {
        let m = self.constraints();
        let largest = |k: usize| -> i128 {
            let dearest = |class| self.items_of(class).map(|item| self.cost[item * m + k]).max().unwrap_or(0);
            (0..self.len()).map(|class| i128::from(dearest(class))).sum()
        };
        (0..m).filter(|&k| largest(k) > i128::from(self.budget[k])).collect()
    }

    /// What is left of `budget` for constraint `k`, in grid steps, once every class takes its cheapest item.
    pub fn left_of(&self, k: usize, budget: i128) -> i64 {
        left(budget, self.floor[k], self.divisor[k])
    }

    /// What is left of a real budget for constraint `k`; integer budgets round down.
    pub fn left_of_real(&self, k: usize, budget: f64) -> i64 {
        let (slack, scale) = self.real[k].map_or((0.0, 1.0), |scale| (budget.abs() * BUDGET_SLACK, scale));
        // Saturates far beyond any total, which is all that matters.
        self.left_of(k, ((budget + slack) * scale).floor() as i128)
    }

    /// Cost `k`, in the units of the input, of a choice that lies `steps` grid steps above the cheapest items.
    pub fn total_of(&self, k: usize, steps: i64) -> f64 {
        // Nearly always small enough for the faster sum, which is the same.
        let small = i64::try_from(self.floor[k]).ok();
        let small = small.and_then(|floor| steps.checked_mul(self.divisor[k])?.checked_add(floor));
        let wide = || (self.floor[k] + i128::from(steps) * i128::from(self.divisor[k])) as f64;
        let total = small.map_or_else(wide, |total| total as f64);
        self.real[k].map_or(total, |scale| total / scale)
    }

    /// What turns changes of cost `k` from `steps` grid steps, up to `most` of them, into units of the input: the cost
    /// at `steps`, that of a step and the scale of real numbers; nothing when whole numbers do not hold it.
    pub fn line(&self, k: usize, steps: i64, most: i64) -> Option<(i64, i64, Option<f64>)> {
        let (floor, step) = (i64::try_from(self.floor[k]).ok()?, self.divisor[k]);
        most.checked_mul(step)?.checked_add(floor)?;
        Some((steps.checked_mul(step)?.checked_add(floor)?, step, self.real[k]))
    }

    /// Writes the format of every unit for the given item of every class.
    pub fn spread(&self, items: &[u32], choice: &mut [u32]) {
        for (class, &item) in items.iter().enumerate() {
            for &unit in self.members_of(class) {
                choice[unit as usize] = self.format[item as usize];
            }
        }
    }

    /// Whether a format for every unit fits all budgets.
    pub fn fits(&self, choice: &[u32]) -> bool {
        let m = self.constraints();
        let mut left = self.budget.clone();
        for class in 0..self.len() {
            let unit = self.members[self.member_start[class] as usize] as usize;
            let Some(item) = self.items_of(class).find(|&item| self.format[item] == choice[unit]) else {
                return false;
            };
            left.iter_mut().zip(&self.cost[item * m..]).for_each(|(left, cost)| *left -= cost);
        }
        left.iter().all(|&left| left >= 0)
    }

    fn collect_members(&mut self, input: &Input) -> Result<(), KnapsackError> {
        let Some(groups) = input.groups else {
            self.members = (0..input.units as u32).collect();
            self.member_start = (0..=input.units as u32).collect();
            return Ok(());
        };
        let n_groups = groups.iter().max().map_or(0, |&g| g as usize + 1);
        if n_groups > input.units {
            return Err(KnapsackError::Shape("groups must be numbered from 0 without holes".into()));
        }
        let mut lists: Vec<Vec<u32>> = vec![Vec::new(); n_groups];
        groups.iter().enumerate().for_each(|(unit, &group)| lists[group as usize].push(unit as u32));
        self.member_start.push(0);
        for list in &lists {
            if list.is_empty() {
                return Err(KnapsackError::Shape("groups must be numbered from 0 without holes".into()));
            }
            self.members.extend_from_slice(list);
            self.member_start.push(self.members.len() as u32);
        }
        Ok(())
    }

    /// Divides constraint `k` by the common divisor of its costs and sets what is left of its budget.
    fn settle_budget(&mut self, k: usize, grid: &Grid, floor: i128) {
        let m = self.cost.len() / self.format.len().max(1);
        let mut divisor = 0i64;
        for at in (k..self.cost.len()).step_by(m) {
            divisor = gcd(divisor, self.cost[at]);
            if divisor == 1 {
                break;
            }
        }
        let divisor = divisor.max(1);
        (k..self.cost.len()).step_by(m).for_each(|at| self.cost[at] /= divisor);
        self.floor.push(floor);
        self.divisor.push(divisor);
        self.step.push(divisor as f64 / grid.scale);
        self.smallest.push(floor as f64 / grid.scale);
        self.real.push(matches!(grid.constraint, Constraint::Real { .. }).then_some(grid.scale));
        self.budget.push(match *grid.constraint {
            Constraint::Integer { budget, .. } => self.left_of(k, budget),
            Constraint::Real { budget, .. } => self.left_of_real(k, budget),
        });
    }
}

/// One constraint on its integer grid.
struct Grid<'a> {
    constraint: &'a Constraint<'a>,
    /// Grid steps per unit of cost; 1 for integer costs.
    scale: f64,
}

/// Largest total on the grid: leaves room for sums of differences in `i64`.
const LARGEST_TOTAL: i128 = 1 << 61;

impl<'a> Grid<'a> {
    fn new(k: usize, constraint: &'a Constraint<'a>, input: &Input) -> Result<Self, KnapsackError> {
        match *constraint {
            Constraint::Integer { costs, .. } => {
                let rows = costs.chunks(input.formats);
                let total: i128 = rows.map(|row| i128::from(row.iter().copied().max().unwrap_or(0))).sum();
                if total > LARGEST_TOTAL {
                    let text = format!("cost {k}: the sum of the largest costs passes 2^61");
                    return Err(KnapsackError::Value(text));
                }
                Ok(Self { constraint, scale: 1.0 })
            }
            Constraint::Real { costs, .. } => {
                let rows = costs.chunks(input.formats);
                let total: f64 = rows.map(|row| row.iter().copied().fold(0.0, f64::max)).sum();
                if !total.is_finite() {
                    return Err(KnapsackError::Value(format!(
                        "cost {k}: the sum of the largest costs overflows"
                    )));
                }
                // total * 2^power lies in [2^59, 2^60), unless the total is tiny or zero.
                let power = if total > 0.0 { (59 - exponent(total)).clamp(-1000, 1000) } else { 0 };
                Ok(Self { constraint, scale: 2f64.powi(power) })
            }
        }
    }

    fn sum(&self, members: &[u32], format: usize, formats: usize) -> i64 {
        let at = |&unit: &u32| unit as usize * formats + format;
        match self.constraint {
            Constraint::Integer { costs, .. } => members.iter().map(|unit| costs[at(unit)]).sum(),
            Constraint::Real { costs, .. } => {
                members.iter().map(|unit| (costs[at(unit)] * self.scale).round() as i64).sum()
            }
        }
    }
}

/// Exponent e of a positive finite number: 2^e <= value < 2^(e + 1) for normal numbers.
fn exponent(value: f64) -> i32 {
    ((value.to_bits() >> 52) & 0x7ff) as i32 - 1023
}

fn gcd(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn left(budget: i128, floor: i128, divisor: i64) -> i64 {
    let cap = i128::from(i64::MAX / 2);
    budget.saturating_sub(floor).div_euclid(i128::from(divisor)).clamp(-cap, cap) as i64
}
