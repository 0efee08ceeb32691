//! The proxy language: text -> tree -> checked instructions -> scores. Modules in the order of that way.

pub mod axes;
pub mod error;
pub mod limits;

pub mod inputs;
pub mod names;
pub mod ops;
pub mod schema;

pub mod ast;
mod expression;
pub mod parse;
mod refuse;
mod slips;
mod terms;

pub mod check;
pub mod compile;
pub mod hash;
pub mod pool;
pub mod program;
mod simplify;

mod count;
mod pass;
pub mod quick;
mod text;

pub mod blocks;
mod broken;
pub mod docs;
mod fused;
pub mod grammar;
pub mod kernels;
pub mod lift;
mod links;
mod mutate;
pub mod print;
pub mod random;
pub mod run;
pub mod table;
pub mod typed;
pub mod vary;
pub mod walk;

pub use axes::Axes;
pub use compile::{Compiler, compile};
pub use error::{Error, Kind, Note, Span};
pub use hash::Hash;
pub use limits::Limits;
pub use ops::{Class, Op};
pub use program::{Instruction, Program};
pub use run::{NonFinite, Scratch, Verdict, run};
pub use schema::Schema;
pub use table::Table;
