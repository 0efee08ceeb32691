//! Weights on their way to few bits: rows of float32 in, the scales of their integer grids and their errors out.

pub mod error;
pub mod ladder;
mod lookup;
mod products;

pub use error::errors;
pub use ladder::{Ladder, Misfit};
