//! A parsed program: nodes in one arena, operands before the operators that use them.

use crate::dsl::axes::Axes;
use crate::dsl::error::{Note, Span};
use crate::dsl::ops::Op;

/// What a node is. Ids are places in `Ast::nodes`; those of operands are smaller than the node's own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Term {
    /// A number or a named constant.
    Number(f64),
    /// An input, by its id in the schema.
    Input(u16),
    /// A name, by the place of the statement that bound it.
    Bound(u32),
    /// A word for an axis, only as a trailing argument of a reduction.
    Axis(Axes),
    /// An operator; `op.operands()` of `args` are used, and `reduce` names axes to remove (none: all of a weight).
    Apply {
        /// The operator.
        op: Op,
        /// Axes named in the call.
        reduce: Axes,
        /// Operands; the second of `quantile` is its number.
        args: [u32; 3],
    },
}

/// A node of the arena.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub term: Term,
    /// Where it stands, parentheses around it included.
    pub span: Span,
}

/// A line of the program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statement {
    /// The name it binds, by its place in the source; None for a bare expression. A `return` binds `score`.
    pub name: Option<Name>,
    /// The node of its value.
    pub root: u32,
}

/// The name of a binding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Name {
    /// As the source spells it.
    Written(Span),
    /// `score`, for a `return`.
    Score,
}

/// A parsed program.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ast {
    /// All nodes, operands first.
    pub nodes: Vec<Node>,
    /// The lines, in order.
    pub statements: Vec<Statement>,
    /// The statement whose value is the score.
    pub score: u32,
    /// What the parser put right.
    pub notes: Vec<Note>,
}

impl Ast {
    /// The node of the score.
    pub fn root(&self) -> u32 {
        self.statements.get(self.score as usize).map_or(0, |statement| statement.root)
    }

    /// The node with this id; the first when there is none.
    pub(super) fn node(&self, id: u32) -> Node {
        const NONE: Node = Node { term: Term::Number(0.0), span: Span { start: 0, end: 0 } };
        self.nodes.get(id as usize).copied().unwrap_or(NONE)
    }

    pub(super) fn clear(&mut self) {
        self.nodes.clear();
        self.statements.clear();
        self.notes.clear();
        self.score = 0;
    }
}
