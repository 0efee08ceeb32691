//! What each operator computes, over slices; every path through the engine uses these and no other.

mod elementwise;
mod network;
mod reduce;

pub use elementwise::{Operand, elementwise, elementwise_here, scalar};
pub use network::{network, network_here};
pub use reduce::{BLOCK, accumulate_here, finish, reduce, start, streams};
