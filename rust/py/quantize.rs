//! The search for scales of integer grids, for numpy arrays.

use numpy::{PyArray1, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::quantize::Ladder;

/// The scale of each row by least squared error.
#[pyfunction]
pub fn fit_scales<'py>(
    py: Python<'py>,
    rows: PyReadonlyArray2<'py, f32>,
    steps: PyReadonlyArray1<'py, f32>,
    half: u32,
    bins: usize,
    starts: (usize, usize),
    threads: usize,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let ladder = Ladder::new(steps.as_slice()?, half, bins, starts)
        .map_err(|misfit| PyValueError::new_err(misfit.0))?;
    let (columns, values) = (rows.shape().last().copied().unwrap_or(0), rows.as_slice()?);
    Ok(PyArray1::from_vec(py, py.detach(|| ladder.fit(values, columns, threads))))
}
