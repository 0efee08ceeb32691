//! What each operator computes, over slices; every path through the engine uses these and no other.

mod chain;
mod elementwise;
mod network;
mod reduce;

pub use chain::{Chain, Numbers, Pair, Touch};
pub use elementwise::{Operand, elementwise, elementwise_by, scalar};
pub use network::{network, network_by};
pub use reduce::{BLOCK, accumulate, finish, reduce, start, streams};
