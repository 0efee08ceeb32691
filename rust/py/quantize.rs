//! Scales of integer grids and the errors on them, for numpy arrays.

use numpy::{
    PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::quantize::{Grid, Ladder, Sweep, errors};

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

/// Scales and zero points [rows, groups of columns], the columns of a group, the lowest and the highest code.
type Codes<'py> = (PyReadonlyArray2<'py, f32>, PyReadonlyArray2<'py, f32>, usize, f32, f32);

/// Replaces rows [G, R, C] by their values on the grid, compensated with U [G, C, C] or the nearest; the error.
#[pyfunction]
pub fn compensate<'py>(
    py: Python<'py>,
    rows: &Bound<'py, PyArray3<f32>>,
    upper: PyReadonlyArray3<'py, f32>,
    grid: Codes<'py>,
    nearest: bool,
    threads: usize,
) -> PyResult<f64> {
    let (scale, zero, group, low, high) = grid;
    let &[groups, each, columns] = rows.shape() else {
        return Err(PyValueError::new_err("rows have three axes"));
    };
    if upper.shape() != [groups, columns, columns] {
        return Err(PyValueError::new_err("each group of rows has a U of as many rows as columns"));
    }
    if scale.shape().first() != Some(&(groups * each)) {
        return Err(PyValueError::new_err("each row has a scale and a zero point"));
    }
    if rows.len() == 0 {
        return Ok(0.0);
    }
    let mut rows = rows.try_readwrite()?;
    let (rows, upper) = (rows.as_slice_mut()?, upper.as_slice()?);
    let (scale, zero) = (scale.as_slice()?, zero.as_slice()?);
    let (square, scales) = (columns * columns, each * columns.div_ceil(group.max(1)));
    py.detach(|| {
        let parts = rows.chunks_mut(each * columns).zip(upper.chunks(square));
        let grids = scale.chunks(scales).zip(zero.chunks(scales));
        parts.zip(grids).try_fold(0.0, |total, ((rows, upper), (scale, zero))| {
            let grid = Grid { scale, zero, group, codes: (low, high) };
            Sweep::new(upper, columns, each, grid).map(|sweep| total + sweep.round(rows, nearest, threads))
        })
    })
    .map_err(|misfit| PyValueError::new_err(misfit.0))
}
