//! What each operator computes, over slices; every path through the engine uses these and no other.

mod elementwise;
mod network;
mod reduce;

pub use elementwise::{Operand, binary, scalar, ternary, unary};
pub use network::network;
pub use reduce::{BLOCK, accumulate, finish, reduce, start, streams};
