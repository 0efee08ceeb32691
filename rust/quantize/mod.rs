//! Weights on their way to few bits: rows of float32 in, the scales of their integer grids out.

pub mod ladder;
mod lookup;
mod products;

pub use ladder::{Ladder, Misfit};
