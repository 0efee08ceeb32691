//! Sums over samples that statistics are made of, in one visit of what is read and written.

pub mod outer;

pub use outer::{Misfit, Outer};
