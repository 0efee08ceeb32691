//! Binds the allocator: numpy tables in, plain tuples out; a missing solution is an outcome, not an exception.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;

use crate::knapsack::instances::{Family, Instance};
use crate::knapsack::{
    Budget, Classes, Constraint, Frontier, Goal, Input, KnapsackError, Limits, OneBudget, Outcome, Pair,
    Solved, Status, frontier, solve, solve_coupled,
};

impl From<KnapsackError> for PyErr {
    fn from(error: KnapsackError) -> Self {
        PyValueError::new_err(error.to_string())
    }
}

/// One cost table of either type, with its budget.
#[derive(FromPyObject)]
pub enum Cost<'py> {
    Integer(PyReadonlyArray2<'py, i64>, i128),
    Real(PyReadonlyArray2<'py, f64>, f64),
}

/// A budget in whole or real numbers.
#[derive(FromPyObject)]
pub enum Rung {
    Integer(i128),
    Real(f64),
}

impl From<Rung> for Budget {
    fn from(rung: Rung) -> Self {
        match rung {
            Rung::Integer(budget) => Self::Integer(budget),
            Rung::Real(budget) => Self::Real(budget),
        }
    }
}

impl Cost<'_> {
    fn constraint(&self) -> PyResult<Constraint<'_>> {
        Ok(match self {
            Self::Integer(costs, budget) => Constraint::Integer { costs: costs.as_slice()?, budget: *budget },
            Self::Real(costs, budget) => Constraint::Real { costs: costs.as_slice()?, budget: *budget },
        })
    }
}

/// The tables as the core reads them.
fn input<'a>(
    loss: &'a PyReadonlyArray2<'_, f64>,
    constraints: &'a [Constraint<'a>],
    allowed: &'a PyReadonlyArray2<'_, bool>,
    groups: &'a PyReadonlyArray1<'_, u32>,
) -> PyResult<Input<'a>> {
    let [units, formats] = [loss.shape()[0], loss.shape()[1]];
    let (allowed, groups) = (Some(allowed.as_slice()?), Some(groups.as_slice()?));
    Ok(Input { units, formats, loss: loss.as_slice()?, constraints, allowed, groups })
}

fn limits(time_limit: Option<f64>, node_limit: Option<u64>) -> Limits {
    let time =
        time_limit.map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX));
    Limits { time, nodes: node_limit.unwrap_or(Limits::default().nodes) }
}

type Answer<'py> = (&'static str, Bound<'py, PyArray1<u32>>, f64, f64, Vec<f64>, u64);

fn answer(py: Python<'_>, outcome: Outcome) -> Answer<'_> {
    let status = match outcome.status {
        Status::Optimal => "optimal",
        Status::Feasible => "feasible",
        Status::Limit => "limit",
    };
    let choice = PyArray1::from_vec(py, outcome.choice);
    (status, choice, outcome.objective, outcome.bound, outcome.prices, outcome.nodes)
}

/// Rows (unit, format, unit, format) with the value of each.
fn couples(cells: &PyReadonlyArray2<'_, u32>, values: &PyReadonlyArray1<'_, f64>) -> PyResult<Vec<Pair>> {
    let rows = cells.as_slice()?.chunks_exact(4).zip(values.as_slice()?);
    Ok(rows.map(|(row, &value)| Pair { units: [row[0], row[2]], formats: [row[1], row[3]], value }).collect())
}

/// Solves one problem: (status, choice, objective, bound, prices, nodes); status "infeasible" has the smallest
/// achievable costs in the place of the prices.
#[pyfunction]
#[pyo3(signature = (loss, costs, allowed, groups, goal, time_limit, node_limit, pairs=None))]
#[allow(clippy::too_many_arguments)]
pub fn knapsack<'py>(
    py: Python<'py>,
    loss: PyReadonlyArray2<'py, f64>,
    costs: Vec<Cost<'py>>,
    allowed: PyReadonlyArray2<'py, bool>,
    groups: PyReadonlyArray1<'py, u32>,
    goal: &str,
    time_limit: Option<f64>,
    node_limit: Option<u64>,
    pairs: Option<(PyReadonlyArray2<'py, u32>, PyReadonlyArray1<'py, f64>)>,
) -> PyResult<Answer<'py>> {
    let constraints = costs.iter().map(Cost::constraint).collect::<PyResult<Vec<_>>>()?;
    let input = input(&loss, &constraints, &allowed, &groups)?;
    let goal = match goal {
        "sum" => Goal::Sum,
        "lexicographic" => Goal::Lexicographic,
        other => return Err(PyValueError::new_err(format!("unknown goal '{other}'"))),
    };
    let limits = limits(time_limit, node_limit);
    let pairs = pairs.map(|(cells, values)| couples(&cells, &values)).transpose()?;
    let solved = py.detach(|| match &pairs {
        Some(pairs) => solve_coupled(&input, pairs, &limits),
        None => solve(&input, goal, &limits),
    });
    match solved {
        Ok(outcome) => Ok(answer(py, outcome)),
        Err(KnapsackError::Infeasible { smallest }) => {
            Ok(("infeasible", PyArray1::from_vec(py, Vec::new()), f64::INFINITY, f64::INFINITY, smallest, 0))
        }
        Err(other) => Err(other.into()),
    }
}

/// All Pareto points of one cost; a choice is written when it is asked for.
#[pyclass(frozen, module = "tap._core")]
pub struct ParetoPoints {
    points: Frontier,
}

#[pymethods]
impl ParetoPoints {
    #[new]
    #[pyo3(signature = (loss, cost, allowed, groups, time_limit, node_limit))]
    fn new(
        py: Python<'_>,
        loss: PyReadonlyArray2<'_, f64>,
        cost: Cost<'_>,
        allowed: PyReadonlyArray2<'_, bool>,
        groups: PyReadonlyArray1<'_, u32>,
        time_limit: Option<f64>,
        node_limit: Option<u64>,
    ) -> PyResult<Self> {
        let constraints = [cost.constraint()?];
        let input = input(&loss, &constraints, &allowed, &groups)?;
        let limits = limits(time_limit, node_limit);
        Ok(Self { points: py.detach(|| frontier(&input, &limits))? })
    }

    #[getter]
    fn complete(&self) -> bool {
        self.points.complete
    }

    #[getter]
    fn cost<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        PyArray1::from_slice(py, &self.points.cost)
    }

    #[getter]
    fn loss<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        PyArray1::from_slice(py, &self.points.loss)
    }

    #[getter]
    fn supported<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<bool>> {
        PyArray1::from_slice(py, &self.points.supported)
    }

    fn choice<'py>(&self, py: Python<'py>, point: usize) -> PyResult<Bound<'py, PyArray1<u32>>> {
        let choice = self.points.choice(point).ok_or_else(|| PyIndexError::new_err("no such point"))?;
        Ok(PyArray1::from_vec(py, choice))
    }
}

/// One budget with its reductions, solved as often as wanted.
#[pyclass(frozen, module = "tap._core")]
pub struct KeptKnapsack {
    solver: Mutex<OneBudget>,
    units: usize,
}

#[pymethods]
impl KeptKnapsack {
    #[new]
    fn new(
        py: Python<'_>,
        loss: PyReadonlyArray2<'_, f64>,
        cost: Cost<'_>,
        allowed: PyReadonlyArray2<'_, bool>,
        groups: PyReadonlyArray1<'_, u32>,
        lexicographic: bool,
    ) -> PyResult<Self> {
        let constraints = [cost.constraint()?];
        let input = input(&loss, &constraints, &allowed, &groups)?;
        let mut solver = py.detach(|| Classes::build(&input).map(OneBudget::new))?;
        solver.thrifty = lexicographic;
        Ok(Self { solver: Mutex::new(solver), units: loss.shape()[0] })
    }

    /// (choice, objective minus bound, price, nodes, optimal), or None when nothing fits.
    #[allow(clippy::type_complexity)]
    fn solve<'py>(
        &self,
        py: Python<'py>,
        budget: Rung,
        time_limit: Option<f64>,
        node_limit: Option<u64>,
    ) -> Option<(Bound<'py, PyArray1<u32>>, f64, f64, u64, bool)> {
        let limits = limits(time_limit, node_limit);
        let budget = budget.into();
        let (choice, solved) = py.detach(|| {
            let mut solver = self.solver.lock().unwrap_or_else(PoisonError::into_inner);
            let solved = solver.solve_for(budget, &limits)?;
            let mut choice = vec![0; self.units];
            solver.write_choice(&mut choice);
            let step = solver.classes().step.first().copied().unwrap_or(1.0);
            Some((choice, Solved { price: solved.price / step, ..solved }))
        })?;
        let choice = PyArray1::from_vec(py, choice);
        Some((choice, solved.distance, solved.price, solved.nodes, solved.status == Status::Optimal))
    }
}

type Tables<'py> = (
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray2<i64>>,
    Bound<'py, PyArray2<i64>>,
    Bound<'py, PyArray2<f64>>,
);

/// A generated problem of the benches, family "cnn" or "llm": (loss, bytes, bops, latency), each [units, 7].
#[pyfunction]
pub fn knapsack_instance<'py>(
    py: Python<'py>,
    family: &str,
    units: usize,
    seed: u64,
) -> PyResult<Tables<'py>> {
    let family = match family {
        "cnn" => Family::Cnn,
        "llm" => Family::Llm,
        other => return Err(PyValueError::new_err(format!("unknown family '{other}'"))),
    };
    let Instance { loss, bytes, bops, latency, .. } = Instance::draw(family, units, seed);
    let shape = [units, 7];
    Ok((
        PyArray1::from_vec(py, loss).reshape(shape)?,
        PyArray1::from_vec(py, bytes).reshape(shape)?,
        PyArray1::from_vec(py, bops).reshape(shape)?,
        PyArray1::from_vec(py, latency).reshape(shape)?,
    ))
}
