//! The allocator against exhaustive enumeration on thousands of small random problems of every kind.

use tap_core::knapsack::instances::{Family, Instance};
use tap_core::knapsack::{Constraint, Goal, Input, KnapsackError, Limits, Status, frontier, solve};

/// Small random numbers (SplitMix64).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / 9_007_199_254_740_992.0
    }
}

/// What is special about the problems of a family.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    constraints: usize,
    /// Losses are small integers, which ties many choices; otherwise reals of either sign.
    tied: bool,
    /// Largest integer cost.
    largest: u64,
    grouped: bool,
    masked: bool,
}

const PLAIN: Kind =
    Kind { name: "plain", constraints: 1, tied: false, largest: 30, grouped: false, masked: false };

const KINDS: [Kind; 11] = [
    PLAIN,
    Kind { name: "ties", tied: true, largest: 6, ..PLAIN },
    Kind { name: "groups", grouped: true, ..PLAIN },
    Kind { name: "masked", masked: true, ..PLAIN },
    Kind { name: "huge costs", largest: 1 << 53, ..PLAIN },
    Kind { name: "zero costs", largest: 1, ..PLAIN },
    Kind { name: "two budgets", constraints: 2, ..PLAIN },
    Kind { name: "two budgets, ties", constraints: 2, tied: true, largest: 5, ..PLAIN },
    Kind { name: "two budgets, huge costs", constraints: 2, largest: 1 << 53, ..PLAIN },
    Kind { name: "three budgets, groups", constraints: 3, grouped: true, ..PLAIN },
    Kind { name: "five budgets, masked", constraints: 5, masked: true, ..PLAIN },
];

struct Problem {
    units: usize,
    formats: usize,
    loss: Vec<f64>,
    costs: Vec<Vec<i64>>,
    budgets: Vec<i128>,
    allowed: Vec<bool>,
    groups: Vec<u32>,
}

impl Problem {
    fn draw(kind: &Kind, draw: &mut Draw) -> Self {
        let (units, formats) = (1 + draw.below(6) as usize, 1 + draw.below(4) as usize);
        let size = units * formats;
        let loss = (0..size)
            .map(|_| if kind.tied { draw.below(4) as f64 - 1.0 } else { draw.unit() * 10.0 - 3.0 })
            .collect();
        let costs: Vec<Vec<i64>> = (0..kind.constraints)
            .map(|_| (0..size).map(|_| draw.below(kind.largest + 1) as i64).collect())
            .collect();
        let budgets = costs
            .iter()
            .map(|table| {
                let total: i128 = table.iter().map(|&cost| i128::from(cost)).sum();
                (total as f64 * draw.unit() * 1.2 / formats as f64) as i128 - i128::from(draw.below(2) as u32)
            })
            .collect();
        let mut allowed: Vec<bool> = (0..size).map(|_| !kind.masked || draw.below(4) > 0).collect();
        allowed.chunks_mut(formats).for_each(|row| row[0] = true);
        let groups = (0..units)
            .scan(0, |last, unit| {
                *last += u32::from(unit > 0 && !(kind.grouped && draw.below(2) == 0));
                Some(*last)
            })
            .collect();
        Self { units, formats, loss, costs, budgets, allowed, groups }
    }

    fn cost(&self, k: usize, choice: &[u32]) -> i128 {
        let at =
            |(unit, &format): (usize, &u32)| i128::from(self.costs[k][unit * self.formats + format as usize]);
        choice.iter().enumerate().map(at).sum()
    }

    fn loss_of(&self, choice: &[u32]) -> f64 {
        choice
            .iter()
            .enumerate()
            .map(|(unit, &format)| self.loss[unit * self.formats + format as usize])
            .sum()
    }

    fn is_legal(&self, choice: &[u32]) -> bool {
        (0..self.units).all(|unit| {
            self.allowed[unit * self.formats + choice[unit] as usize]
                && (0..unit)
                    .all(|other| self.groups[other] != self.groups[unit] || choice[other] == choice[unit])
        })
    }

    /// Every legal choice.
    fn choices(&self) -> Vec<Vec<u32>> {
        let count = (self.formats as u64).pow(self.units as u32);
        let digits = |mut number: u64| {
            let digit = |_| {
                let digit = (number % self.formats as u64) as u32;
                number /= self.formats as u64;
                digit
            };
            (0..self.units).map(digit).collect::<Vec<u32>>()
        };
        (0..count).map(digits).filter(|choice| self.is_legal(choice)).collect()
    }

    fn fits(&self, choice: &[u32]) -> bool {
        (0..self.costs.len()).all(|k| self.cost(k, choice) <= self.budgets[k])
    }

    fn with_input<T>(&self, real: bool, run: impl FnOnce(&Input) -> T) -> T {
        let scaled: Vec<Vec<f64>> =
            self.costs.iter().map(|table| table.iter().map(|&cost| cost as f64 * 0.1).collect()).collect();
        let constraints: Vec<Constraint> = (0..self.costs.len())
            .map(|k| match real {
                true => Constraint::Real { costs: &scaled[k], budget: self.budgets[k] as f64 * 0.1 },
                false => Constraint::Integer { costs: &self.costs[k], budget: self.budgets[k] },
            })
            .collect();
        run(&Input {
            units: self.units,
            formats: self.formats,
            loss: &self.loss,
            constraints: &constraints,
            allowed: Some(&self.allowed),
            groups: Some(&self.groups),
        })
    }

    fn check(&self, goal: Goal, real: bool, at: &str) {
        let best =
            self.choices().into_iter().filter(|choice| self.fits(choice)).map(|choice| self.loss_of(&choice));
        let best = best.fold(f64::INFINITY, f64::min);
        match self.with_input(real, |input| solve(input, goal, &Limits::default())) {
            Ok(found) => {
                assert_eq!(found.status, Status::Optimal, "{at}");
                assert!(self.is_legal(&found.choice) && self.fits(&found.choice), "{at}: {found:?}");
                assert!(
                    (found.objective - best).abs() <= 1e-12 * 60.0,
                    "{at}: {} against {best}",
                    found.objective
                );
                assert!(found.bound <= best + 1e-15 * 60.0, "{at}: bound {} above {best}", found.bound);
                assert!(found.objective - found.bound <= 1e-9, "{at}: bound {} too low", found.bound);
                if goal == Goal::Lexicographic && !self.costs.is_empty() {
                    let ties =
                        self.choices().into_iter().filter(|c| self.fits(c) && self.loss_of(c) <= best + 1e-9);
                    let least = ties.map(|choice| self.cost(0, &choice)).min();
                    assert_eq!(least, Some(self.cost(0, &found.choice)), "{at}: not the cheapest");
                }
            }
            Err(KnapsackError::Infeasible { .. }) => assert!(best.is_infinite(), "{at}: {best} exists"),
            Err(other) => panic!("{at}: {other}"),
        }
    }
}

#[test]
fn every_kind_agrees_with_enumeration() {
    for (number, kind) in KINDS.iter().enumerate() {
        let mut draw = Draw(number as u64);
        for round in 0..2000 {
            let problem = Problem::draw(kind, &mut draw);
            problem.check(Goal::Sum, false, &format!("{}, round {round}", kind.name));
        }
    }
}

#[test]
fn real_costs_agree_with_enumeration() {
    for (number, kind) in KINDS.iter().enumerate().filter(|(_, kind)| kind.largest < 100) {
        let mut draw = Draw(100 + number as u64);
        for round in 0..2000 {
            let problem = Problem::draw(kind, &mut draw);
            problem.check(Goal::Sum, true, &format!("{} as reals, round {round}", kind.name));
        }
    }
}

#[test]
fn a_budget_without_a_price_costs_nothing() {
    for seed in 0..20 {
        let instance = Instance::draw(Family::Llm, 1000, seed);
        let constraints = instance.constraints(2, 0.4);
        let input = |constraints| Input {
            units: 1000,
            formats: 7,
            loss: &instance.loss,
            constraints,
            allowed: None,
            groups: None,
        };
        let limits = Limits { nodes: 20_000, time: None };
        let both = solve(&input(&constraints), Goal::Sum, &limits).expect("both budgets can be kept");
        let bytes = solve(&input(&constraints[..1]), Goal::Sum, &limits).expect("the first can be kept");
        assert_eq!(both.status, Status::Optimal);
        assert!(both.prices[0] > 0.0 && both.prices[1] == 0.0);
        assert_eq!(both.choice, bytes.choice);
    }
}

#[test]
fn lexicographic_takes_the_cheapest_of_equal_losses() {
    for kind in KINDS.iter().filter(|kind| kind.constraints == 1) {
        let mut draw = Draw(7);
        for round in 0..2000 {
            let problem = Problem::draw(kind, &mut draw);
            problem.check(Goal::Lexicographic, false, &format!("{}, round {round}", kind.name));
        }
    }
}

#[test]
fn the_frontier_agrees_with_enumeration() {
    for kind in KINDS.iter().filter(|kind| kind.constraints == 1) {
        let mut draw = Draw(11);
        for round in 0..2000 {
            let problem = Problem::draw(kind, &mut draw);
            let mut all: Vec<(i128, f64)> = problem
                .choices()
                .iter()
                .map(|choice| (problem.cost(0, choice), problem.loss_of(choice)))
                .collect();
            all.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
            let mut expected: Vec<(i128, f64)> = Vec::new();
            for (cost, loss) in all {
                if expected.last().is_none_or(|last| loss < last.1 - 1e-12) {
                    expected.push((cost, loss));
                }
            }
            let found = problem.with_input(false, |input| frontier(input, &Limits::default()));
            let found = found.unwrap_or_default();
            assert!(found.complete);
            let points: Vec<i128> = (0..found.loss.len())
                .map(|at| problem.cost(0, &found.choice(at).unwrap_or_default()))
                .collect();
            let rounded: Vec<f64> = points.iter().map(|&cost| cost as f64).collect();
            assert_eq!(rounded, found.cost, "{}, round {round}", kind.name);
            let costs: Vec<i128> = expected.iter().map(|point| point.0).collect();
            assert_eq!(points, costs, "{}, round {round}", kind.name);
            for (loss, point) in found.loss.iter().zip(&expected) {
                assert!((loss - point.1).abs() < 1e-12, "{}, round {round}", kind.name);
            }
        }
    }
}

#[test]
fn the_frontier_does_not_depend_on_the_units() {
    for (family, seed) in [(Family::Cnn, 0), (Family::Cnn, 1), (Family::Llm, 0)] {
        let instance = Instance::draw(family, 14, seed);
        let read = |factor: f64, is_real: bool| {
            let loss: Vec<f64> = instance.loss.iter().map(|loss| loss * factor).collect();
            let exact: Vec<f64> = instance.bytes.iter().map(|&bytes| bytes as f64 / 3.0).collect();
            let constraints = if is_real {
                [Constraint::Real { costs: &exact, budget: 0.0 }]
            } else {
                [Constraint::Integer { costs: &instance.bytes, budget: 0 }]
            };
            let (loss, constraints) = (&loss[..], &constraints[..]);
            let input = Input { units: 14, formats: 7, loss, constraints, allowed: None, groups: None };
            frontier(&input, &Limits::default()).unwrap_or_default()
        };
        let found = read(1.0, false);
        assert!(found.complete && found.cost.len() > 300, "{} points", found.cost.len());
        for power in [-900, -40, 900] {
            let factor = 2f64.powi(power);
            let other = read(factor, false);
            assert_eq!(found.cost, other.cost, "times 2^{power}");
            let scaled: Vec<f64> = found.loss.iter().map(|loss| loss * factor).collect();
            assert_eq!(scaled, other.loss, "times 2^{power}");
        }
        // Thirds are rounded, and their keys are wide: what cost the same may differ now.
        let other = read(1.0, true);
        let mut at = 0;
        for (cost, loss) in found.cost.iter().zip(&found.loss) {
            while at + 1 < other.cost.len() && other.cost[at + 1] <= cost / 3.0 * (1.0 + 1e-9) {
                at += 1;
            }
            assert!((other.cost[at] - cost / 3.0).abs() <= 1e-9 * cost, "{cost}");
            assert!((other.loss[at] - loss).abs() <= 1e-9 * loss, "{cost}");
        }
    }
}

#[test]
fn a_large_frontier_does_not_depend_on_the_width_of_its_keys() {
    for (family, seed) in [(Family::Cnn, 2), (Family::Cnn, 3), (Family::Llm, 1)] {
        let instance = Instance::draw(family, 26, seed);
        let (mut loss, mut costs) = (instance.loss.clone(), instance.bytes.clone());
        // One unit more: what it may take costs more than all others together, and makes keys wide.
        loss.extend([0.0, -1e-3, 1.0, 1.0, 1.0, 1.0, 1.0]);
        costs.extend((0..7).map(|format| format << 40));
        let read = |units: usize| {
            let constraints = [Constraint::Integer { costs: &costs[..units * 7], budget: 0 }];
            let (loss, constraints) = (&loss[..units * 7], &constraints[..]);
            let input = Input { units, formats: 7, loss, constraints, allowed: None, groups: None };
            frontier(&input, &Limits::default()).unwrap_or_default()
        };
        let (narrow, wide) = (read(26), read(27));
        assert!(narrow.complete && wide.complete && narrow.cost.len() > 900, "{} points", narrow.cost.len());
        assert_eq!(narrow.cost, wide.cost[..narrow.cost.len()]);
        for (at, loss) in narrow.loss.iter().enumerate() {
            assert!((loss - wide.loss[at]).abs() <= 1e-12 * loss, "{at}");
        }
    }
}

#[test]
fn bad_tables_are_errors() {
    let good =
        Input { units: 1, formats: 2, loss: &[1.0, 2.0], constraints: &[], allowed: None, groups: None };
    assert!(solve(&good, Goal::Sum, &Limits::default()).is_ok());
    let negative = [Constraint::Integer { costs: &[1, -1], budget: 5 }];
    let short = [Constraint::Integer { costs: &[1], budget: 5 }];
    let endless = [Constraint::Real { costs: &[1.0, f64::INFINITY], budget: 5.0 }];
    let vague = [Constraint::Real { costs: &[1.0, 1.0], budget: f64::NAN }];
    for bad in [
        Input { loss: &[1.0, f64::NAN], ..good },
        Input { loss: &[1.0], ..good },
        Input { loss: &[1e300, 1.0], ..good },
        Input { units: 0, loss: &[], ..good },
        Input { constraints: &negative, ..good },
        Input { constraints: &short, ..good },
        Input { constraints: &endless, ..good },
        Input { constraints: &vague, ..good },
        Input { allowed: Some(&[false, false]), ..good },
        Input { groups: Some(&[1]), ..good },
    ] {
        let found = solve(&bad, Goal::Sum, &Limits::default());
        assert!(
            matches!(found, Err(ref error) if !matches!(error, KnapsackError::Infeasible { .. })),
            "{found:?}"
        );
    }
}
