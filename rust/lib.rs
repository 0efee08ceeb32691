//! The hot core of tap-mpq: proxy programs in, scores, agreement and exact bit allocations out.
//!
//! `dsl`, `rank`, `knapsack`, `quantize` and `stats` do not know each other; `screen` uses the first three; only `py` knows pyo3.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod dsl;
pub mod knapsack;
pub mod math;
pub mod quantize;
pub mod rank;
pub mod screen;
pub mod stats;

#[cfg(feature = "python")]
mod py;
