//! Sums over samples, for numpy arrays that are added to in place.

use numpy::{PyArray2, PyArrayMethods, PyReadonlyArray3, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::stats::Outer;

/// Adds the sums over samples of `g_n = a_n^T b_n` and of its squares.
#[pyfunction]
pub fn add_outer<'py>(
    py: Python<'py>,
    a: PyReadonlyArray3<'py, f32>,
    b: PyReadonlyArray3<'py, f32>,
    total: &Bound<'py, PyArray2<f32>>,
    square: &Bound<'py, PyArray2<f32>>,
    threads: usize,
) -> PyResult<()> {
    let (&[samples, positions, rows], &[others, same, columns]) = (a.shape(), b.shape()) else {
        return Err(PyValueError::new_err("the factors have three axes"));
    };
    if (samples, positions) != (others, same) || total.shape() != [rows, columns] {
        return Err(PyValueError::new_err("the shapes of factors and sums do not agree"));
    }
    let misfit = |misfit: crate::stats::Misfit| PyValueError::new_err(misfit.0);
    let outer = Outer::new(a.as_slice()?, b.as_slice()?, positions, (rows, columns)).map_err(misfit)?;
    let (mut total, mut square) = (total.try_readwrite()?, square.try_readwrite()?);
    let (total, square) = (total.as_slice_mut()?, square.as_slice_mut()?);
    py.detach(|| outer.add(total, square, threads)).map_err(misfit)
}
