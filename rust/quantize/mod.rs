//! Weights on their way to few bits: rows of float32 in; the scales of their integer grids, their values on them and
//! their errors out.

pub mod error;
pub mod ladder;
mod lookup;
mod products;
pub mod sweep;

pub use error::errors;
pub use ladder::Ladder;
pub use sweep::{Grid, Sweep};

/// What does not fit together, in words.
#[derive(Debug)]
pub struct Misfit(pub &'static str);
