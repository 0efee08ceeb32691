//! Scales of integer grids and the errors on them, for numpy arrays.

use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::quantize::{Ladder, errors};

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

/// Writes `clamp(round(w / s)) s - w` of each row to `out`.
#[pyfunction]
pub fn grid_errors<'py>(
    py: Python<'py>,
    rows: PyReadonlyArray2<'py, f32>,
    scales: PyReadonlyArray1<'py, f32>,
    half: u8,
    out: &Bound<'py, PyArray2<f32>>,
) -> PyResult<()> {
    if rows.shape() != out.shape() || rows.shape().first() != scales.shape().first() {
        return Err(PyValueError::new_err("each row has a scale and room for its errors"));
    }
    let mut out = out.try_readwrite()?;
    let (rows, scales, out) = (rows.as_slice()?, scales.as_slice()?, out.as_slice_mut()?);
    py.detach(|| errors(rows, scales, half, out));
    Ok(())
}
