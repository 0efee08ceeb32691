//! Finds prices of several budgets that give the best Lagrangian bound.
//!
//!   D(prices) = sum over classes of min over items (loss + prices * cost)  -  prices * budget
//!
//! D is concave; its maximum equals the linear relaxation. Choices that minimise D at trial prices become columns
//! of a small linear program (`master`), whose prices are tried next, half way from the best ones known
//! (Dantzig-Wolfe 1960, smoothing after Wentges 1997).

use super::master::Master;
use super::outcome::exact_sum;
use super::problem::Classes;

/// What the dual says.
#[derive(Clone, Debug)]
pub struct Dual {
    /// Price of each constraint per grid step.
    pub prices: Vec<f64>,
    /// D at these prices: a lower bound on every choice that fits.
    pub value: f64,
    /// Whether the bound proves that no choice fits.
    pub infeasible: bool,
}

/// Items of one evaluation and what they add up to.
#[derive(Clone, Debug, Default)]
struct Trial {
    excess: Vec<f64>,
    loss: f64,
    value: f64,
    /// Sum of the sizes of all terms of `value`: what its rounding error is relative to.
    size: f64,
}

struct Oracle<'a> {
    classes: &'a Classes,
    m: usize,
    /// Costs `[items * m]` and budgets in units of the mean largest cost of a class.
    cost: Vec<f64>,
    budget: Vec<f64>,
    scale: Vec<f64>,
}

const ROUNDS: usize = 60;

/// Maximises the bound. `start` are prices per grid step to begin at, for example those of a problem nearby.
pub fn maximise(classes: &Classes, start: Option<&[f64]>) -> Dual {
    let oracle = Oracle::new(classes);
    let (least, most) = loss_range(classes);
    let spread = ((most - least) / classes.len() as f64).max(f64::MIN_POSITIVE);
    let caps = vec![16.0 * spread; oracle.m];
    let mut trial = oracle.evaluate(&vec![0.0; oracle.m]);
    let mut master = Master::new(&trial.excess, trial.loss, &caps);
    let (mut best, mut size, mut centre) = (trial.value, trial.size, vec![0.0; oracle.m]);
    if let Some(start) = start {
        let prices: Vec<f64> = start.iter().zip(&oracle.scale).map(|(price, scale)| price * scale).collect();
        trial = oracle.evaluate(&prices);
        master.add(&trial.excess, trial.loss);
        if trial.value > best {
            (best, size, centre) = (trial.value, trial.size, prices);
        }
    }
    let mut prices = vec![0.0; oracle.m];
    let mut pull = 0.5;
    for _ in 0..ROUNDS + 20 * oracle.m {
        let upper = master.optimise(&mut prices);
        if proves_infeasible(best, size, most) {
            break;
        }
        let close = upper - best <= 1e-12 * (upper.abs() + best.abs() + (most - least));
        if master.is_capped() {
            master.raise_caps(8.0);
        } else if close {
            break;
        }
        let mixed: Vec<f64> = prices.iter().zip(&centre).map(|(new, old)| new + pull * (old - new)).collect();
        trial = oracle.evaluate(&mixed);
        master.add(&trial.excess, trial.loss);
        // A column that does not cut off the master's prices brings nothing: look at those directly next.
        let at_master: f64 =
            trial.loss + trial.excess.iter().zip(&prices).map(|(excess, price)| excess * price).sum::<f64>();
        pull = if at_master < upper { 0.5 } else { 0.0 };
        if trial.value > best {
            (best, size, centre) = (trial.value, trial.size, mixed);
        }
    }
    let infeasible = proves_infeasible(best, size, most);
    let prices = centre.iter().zip(&oracle.scale).map(|(price, scale)| price / scale).collect();
    Dual { prices, value: best, infeasible }
}

/// Whether the bound lies above the largest loss of any choice, by more than rounding can explain.
fn proves_infeasible(bound: f64, size: f64, most: f64) -> bool {
    bound - most > 1e-10 * (size + most.abs())
}

/// Sums of the least and the largest loss of every class.
fn loss_range(classes: &Classes) -> (f64, f64) {
    let of =
        |pick: fn(f64, f64) -> f64| {
            exact_sum((0..classes.len()).map(|class| {
                classes.loss[classes.items_of(class)].iter().copied().reduce(pick).unwrap_or(0.0)
            }))
        };
    (of(f64::min), of(f64::max))
}

impl<'a> Oracle<'a> {
    fn new(classes: &'a Classes) -> Self {
        let m = classes.constraints();
        let mut scale = vec![0.0f64; m];
        for class in 0..classes.len() {
            for (k, scale) in scale.iter_mut().enumerate() {
                let costs = classes.items_of(class).map(|item| classes.cost[item * m + k]);
                *scale += costs.max().unwrap_or(0) as f64 / classes.len() as f64;
            }
        }
        scale.iter_mut().filter(|scale| **scale <= 0.0).for_each(|scale| *scale = 1.0);
        let cost = classes
            .cost
            .chunks(m)
            .flat_map(|row| row.iter().zip(&scale).map(|(&c, s)| c as f64 / s))
            .collect();
        let budget = classes.budget.iter().zip(&scale).map(|(&left, s)| left as f64 / s).collect();
        Self { classes, m, cost, budget, scale }
    }

    fn evaluate(&self, prices: &[f64]) -> Trial {
        let mut trial = Trial { excess: self.budget.iter().map(|left| -left).collect(), ..Trial::default() };
        for class in 0..self.classes.len() {
            let (mut least, mut best) = (f64::INFINITY, 0);
            for item in self.classes.items_of(class) {
                let row = &self.cost[item * self.m..(item + 1) * self.m];
                let priced: f64 = row.iter().zip(prices).map(|(cost, price)| cost * price).sum();
                let value = self.classes.loss[item] + priced;
                if value < least {
                    (least, best) = (value, item);
                }
            }
            trial.loss += self.classes.loss[best];
            trial.size += self.classes.loss[best].abs();
            let row = &self.cost[best * self.m..(best + 1) * self.m];
            trial.excess.iter_mut().zip(row).for_each(|(excess, cost)| *excess += cost);
        }
        let spent =
            trial.excess.iter().zip(&self.budget).map(|(excess, left)| excess.abs() + 2.0 * left.abs());
        trial.size += spent.zip(prices).map(|(spent, price)| spent * price).sum::<f64>();
        trial.value = trial.loss + trial.excess.iter().zip(prices).map(|(e, p)| e * p).sum::<f64>();
        trial
    }
}
