//! Rank kernels for numpy arrays.

use numpy::{PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

use crate::rank::{self, Target};

type Kernel<'k> = &'k (dyn Fn(&[f64], &Target, &mut [f64]) + Sync);

/// Spearman's rho of each row of `scores` against `target`.
#[pyfunction]
pub fn spearman<'py>(
    py: Python<'py>,
    scores: PyReadonlyArray2<'py, f64>,
    target: PyReadonlyArray1<'py, f64>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    run(py, &scores, &target, &rank::spearman)
}

/// Kendall's tau-b of each row of `scores` against `target`.
#[pyfunction]
pub fn kendall<'py>(
    py: Python<'py>,
    scores: PyReadonlyArray2<'py, f64>,
    target: PyReadonlyArray1<'py, f64>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    run(py, &scores, &target, &rank::kendall)
}

/// Weighted tau of each row of `scores` against `target`.
#[pyfunction]
pub fn weighted_tau<'py>(
    py: Python<'py>,
    scores: PyReadonlyArray2<'py, f64>,
    target: PyReadonlyArray1<'py, f64>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    run(py, &scores, &target, &rank::weighted_tau)
}

/// Overlap of the `k` largest values of each row of `scores` with those of `target`.
#[pyfunction]
pub fn top_k<'py>(
    py: Python<'py>,
    scores: PyReadonlyArray2<'py, f64>,
    target: PyReadonlyArray1<'py, f64>,
    k: usize,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    run(py, &scores, &target, &|rows: &[f64], target: &Target, out: &mut [f64]| {
        rank::top_k(rows, target, k, out)
    })
}

/// Runs a kernel over all rows without the GIL.
fn run<'py>(
    py: Python<'py>,
    scores: &PyReadonlyArray2<'py, f64>,
    target: &PyReadonlyArray1<'py, f64>,
    kernel: Kernel<'_>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let (rows, values) = (scores.as_slice()?, target.as_slice()?);
    let count = rows.len().checked_div(values.len()).unwrap_or_else(|| scores.as_array().nrows());
    let out = py.detach(|| {
        let mut out = vec![f64::NAN; count];
        kernel(rows, &Target::new(values), &mut out);
        out
    });
    Ok(PyArray1::from_vec(py, out))
}
