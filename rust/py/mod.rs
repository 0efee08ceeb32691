//! The Python module `tap._core`: every file here converts, releases the GIL and maps errors, nothing more.

use pyo3::prelude::*;

mod knapsack;
mod lang;
mod quantize;
mod rank;
mod screen;
mod stats;

#[pymodule(gil_used = false)]
mod _core {
    use super::*;

    #[pymodule_export]
    use super::knapsack::{KeptKnapsack, ParetoPoints, knapsack, knapsack_instance};
    #[pymodule_export]
    use super::lang::{Program, Table, compile, constants, error_json, input_rows, limits, operators};
    #[pymodule_export]
    use super::lang::{format_source, grammar, lift, random_programs, typed_grammar, vary};
    #[pymodule_export]
    use super::quantize::{compensate, fit_scales, grid_errors};
    #[pymodule_export]
    use super::rank::{kendall, spearman, top_k, weighted_tau};
    #[pymodule_export]
    use super::screen::{Truth, error_kinds, screen_programs};
    #[pymodule_export]
    use super::stats::add_outer;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
