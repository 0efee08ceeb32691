//! Screening for Python: lists of programs in, arrays out; Ctrl-C stops the work between tiles.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyDict;

use super::lang::{Table, limits_of};
use crate::dsl::Kind;
use crate::screen::{self, Mark, Pair, Screen, Screening};

/// Programs in one tile.
const TILE: usize = 512;

/// What scores are judged by.
#[pyclass(frozen, module = "tap._core")]
pub struct Truth {
    truth: screen::Truth,
}

#[pymethods]
impl Truth {
    /// Measured values [F, L] in one row, where the score of each stands in a table [F, L], and their costs likewise.
    #[staticmethod]
    fn sensitivity(
        values: PyReadonlyArray1<'_, f64>,
        places: PyReadonlyArray1<'_, u32>,
        formats: usize,
        costs: PyReadonlyArray1<'_, i64>,
        budgets: Vec<i64>,
    ) -> PyResult<Truth> {
        let misfit = |misfit: screen::Misfit| PyValueError::new_err(misfit.0);
        let mut truth = screen::Truth::sensitivity(values.as_slice()?, places.as_slice()?).map_err(misfit)?;
        if !budgets.is_empty() {
            truth = truth.with_budgets(formats, costs.as_slice()?, &budgets).map_err(misfit)?;
        }
        Ok(Truth { truth })
    }

    /// Configurations as places [M, L] in a table of scores [F, L], with losses and strata [M].
    #[staticmethod]
    fn configurations(
        places: PyReadonlyArray2<'_, u32>,
        loss: PyReadonlyArray1<'_, f64>,
        stratum: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Truth> {
        let units = places.as_array().ncols();
        let truth =
            screen::Truth::configurations(units, places.as_slice()?, loss.as_slice()?, stratum.as_slice()?);
        Ok(Truth { truth: truth.map_err(|misfit| PyValueError::new_err(misfit.0))? })
    }

    /// The regret of each row of scores, [F, L] in one row; NaN where one is not finite, and without budgets.
    fn regret<'py>(
        &self,
        py: Python<'py>,
        scores: PyReadonlyArray2<'py, f64>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let size = scores.as_array().ncols();
        if !self.truth.fits(size) {
            return Err(PyValueError::new_err("the truth reads beyond the scores"));
        }
        let values = scores.as_slice()?;
        let marks = py.detach(|| self.truth.marks(values, size));
        Ok(PyArray1::from_vec(py, marks.iter().map(|mark| mark.regret).collect()))
    }
}

/// Codes of the errors of a program, in the order of their numbers in a screening, which start at 1.
#[pyfunction]
pub fn error_kinds() -> Vec<&'static str> {
    Kind::ALL.iter().map(|kind| kind.code()).collect()
}

/// Screens programs against pairs of tables and truths.
#[pyfunction]
#[pyo3(signature = (sources, pairs, threads, limits = None))]
pub fn screen_programs<'py>(
    py: Python<'py>,
    sources: Vec<PyBackedStr>,
    pairs: Vec<(Py<Table>, Py<Truth>)>,
    threads: usize,
    limits: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyDict>> {
    let limits = limits_of(limits)?;
    let mut judged = Vec::with_capacity(pairs.len());
    for (table, truth) in &pairs {
        let (table, truth) = (table.get(), &truth.get().truth);
        if !truth.fits(table.table.units() * table.table.formats()) {
            return Err(PyValueError::new_err("the truth reads beyond the table's units and formats"));
        }
        judged.push(Pair { table: &table.table, schema: &table.schema, truth });
    }
    let screen = Screen { pairs: judged, limits, tile: TILE };
    let screening = run(py, &screen, &sources, threads)?;
    columns(py, &screening)
}

/// Works in other threads while this one, without the GIL, asks now and then whether the user wants to stop.
fn run(py: Python<'_>, screen: &Screen, sources: &[PyBackedStr], threads: usize) -> PyResult<Screening> {
    let (stop, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let here = std::thread::current();
    py.detach(|| {
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let screening = screen.run(sources, threads, &stop);
                done.store(true, Ordering::Release);
                here.unpark();
                screening
            });
            let mut interrupt = None;
            while !done.load(Ordering::Acquire) && !worker.is_finished() && interrupt.is_none() {
                std::thread::park_timeout(Duration::from_millis(50));
                if !done.load(Ordering::Acquire) {
                    interrupt = Python::attach(|py| py.check_signals().err());
                }
            }
            stop.store(interrupt.is_some(), Ordering::Relaxed);
            let screening = worker.join();
            match (interrupt, screening) {
                (Some(error), _) => Err(error),
                (None, Ok(screening)) => Ok(screening),
                (None, Err(_)) => Err(PyValueError::new_err("a screening thread ended early")),
            }
        })
    })
}

/// The screening as arrays: one entry a program, and [tables, programs] for the marks.
fn columns<'py>(py: Python<'py>, screening: &Screening) -> PyResult<Bound<'py, PyDict>> {
    let rows = &screening.rows;
    let number =
        |kind: Kind| Kind::ALL.iter().position(|other| *other == kind).map_or(0, |place| place as u8 + 1);
    let columns = PyDict::new(py);
    let errors = rows.iter().map(|row| row.error.map_or(0, number)).collect();
    columns.set_item("kind", PyArray1::from_vec(py, errors))?;
    let keys: Vec<u64> = rows.iter().flat_map(|row| [(row.hash >> 64) as u64, row.hash as u64]).collect();
    columns.set_item("key", PyArray1::from_vec(py, keys).reshape([rows.len(), 2])?)?;
    columns.set_item("ops", PyArray1::from_vec(py, rows.iter().map(|row| row.ops).collect()))?;
    columns.set_item("signature", PyArray1::from_vec(py, rows.iter().map(|row| row.signature).collect()))?;
    columns.set_item("spearman", table_rows(py, screening, |mark| mark.spearman)?)?;
    columns.set_item("kendall", table_rows(py, screening, |mark| mark.kendall)?)?;
    columns.set_item("regret", table_rows(py, screening, |mark| mark.regret)?)?;
    Ok(columns)
}

fn table_rows<'py>(
    py: Python<'py>,
    screening: &Screening,
    read: fn(&Mark) -> f64,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let values: Vec<f64> = screening.marks.iter().flatten().map(read).collect();
    PyArray1::from_vec(py, values).reshape([screening.marks.len(), screening.rows.len()])
}
