//! A tree back to source text, with no more parentheses than needed; parsing and printing again changes nothing.

use std::fmt::Write;

use crate::dsl::ast::{Ast, Name, Node, Term};
use crate::dsl::axes::Axes;
use crate::dsl::ops::{Class, Op};
use crate::dsl::schema::Schema;
use crate::dsl::terms::call_name;

/// The program as text, one statement a line; `source` is what the tree was parsed from. None when it would take
/// more than `longest` bytes, as a tree that shares parts may.
pub fn print(ast: &Ast, source: &[u8], schema: &Schema, longest: usize) -> Option<String> {
    let mut text = String::new();
    let mut steps = Vec::new();
    for statement in &ast.statements {
        if let Some(name) = statement.name {
            let _ = write!(text, "{} = ", spelled(name, source));
        }
        steps.push(Step::Node(statement.root, LOOSEST));
        while let Some(step) = steps.pop() {
            match step {
                Step::Text(piece) => text.push_str(piece),
                Step::Axes(axes) => text.push_str(&axes.source()),
                Step::Node(id, least) => {
                    node(ast, source, schema, ast.node(id), least, &mut text, &mut steps)
                }
            }
            if text.len() > longest {
                return None;
            }
        }
        text.push('\n');
    }
    Some(text)
}

enum Step {
    Node(u32, u8),
    Text(&'static str),
    Axes(Axes),
}

/// Binding strengths, as the parser has them; an atom binds strongest.
const LOOSEST: u8 = 0;
const SIGN: u8 = 4;
const POWER: u8 = 5;
const ATOM: u8 = 6;

fn spelled(name: Name, source: &[u8]) -> String {
    match name {
        Name::Score => "score".to_string(),
        Name::Written(span) => {
            let bytes = source.get(span.start as usize..span.end as usize).unwrap_or_default();
            String::from_utf8_lossy(bytes).into_owned()
        }
    }
}

fn node(
    ast: &Ast,
    source: &[u8],
    schema: &Schema,
    node: Node,
    least: u8,
    text: &mut String,
    steps: &mut Vec<Step>,
) {
    match node.term {
        Term::Number(number) if number < 0.0 || (number == 0.0 && number.is_sign_negative()) => {
            let _ = write!(text, "({})", decimal(number));
        }
        Term::Number(number) => text.push_str(&decimal(number)),
        Term::Input(id) => text.push_str(schema.name(id)),
        Term::Axis(axes) => text.push_str(&axes.source()),
        Term::Bound(place) => {
            let name = ast.statements.get(place as usize).and_then(|statement| statement.name);
            text.push_str(&name.map_or(String::new(), |name| spelled(name, source)));
        }
        Term::Apply { op, reduce, args } => match strength(op) {
            Some(own) => {
                let wrapped = own < least;
                if wrapped {
                    text.push('(');
                    steps.push(Step::Text(")"));
                }
                symbol(op, own, args, steps);
            }
            None => {
                text.push_str(call_name(op));
                text.push('(');
                steps.push(Step::Text(")"));
                if op.class() == Class::Reduction && !reduce.is_empty() {
                    steps.push(Step::Axes(reduce));
                    steps.push(Step::Text(", "));
                }
                let count = if op == Op::Quantile { 2 } else { op.operands() };
                for (place, id) in args.iter().enumerate().take(count).rev() {
                    steps.push(Step::Node(*id, LOOSEST));
                    if place > 0 {
                        steps.push(Step::Text(", "));
                    }
                }
            }
        },
    }
}

/// Push the parts of an operator that is written as a symbol, last first.
fn symbol(op: Op, own: u8, [left, right, _]: [u32; 3], steps: &mut Vec<Step>) {
    if op == Op::Neg {
        steps.push(Step::Node(left, own));
        steps.push(Step::Text("-"));
        return;
    }
    // A power's base must be an atom and its exponent may carry a sign; all else groups to the left.
    let (left_least, right_least) = match own {
        POWER => (ATOM, SIGN),
        COMPARE => (own + 1, own + 1),
        _ => (own, own + 1),
    };
    steps.push(Step::Node(right, right_least));
    steps.push(Step::Text(spaced(op)));
    steps.push(Step::Node(left, left_least));
}

const COMPARE: u8 = 1;

fn strength(op: Op) -> Option<u8> {
    match op {
        Op::Lt | Op::Le | Op::Gt | Op::Ge | Op::Eq | Op::Ne => Some(COMPARE),
        Op::Add | Op::Sub => Some(2),
        Op::Mul | Op::Div => Some(3),
        Op::Neg => Some(SIGN),
        Op::Pow => Some(POWER),
        _ => None,
    }
}

fn spaced(op: Op) -> &'static str {
    match op {
        Op::Add => " + ",
        Op::Sub => " - ",
        Op::Mul => " * ",
        Op::Div => " / ",
        Op::Pow => "**",
        Op::Lt => " < ",
        Op::Le => " <= ",
        Op::Gt => " > ",
        Op::Ge => " >= ",
        Op::Eq => " == ",
        _ => " != ",
    }
}

/// The shortest decimal that reads back as the same number.
pub(super) fn decimal(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e15 && !(number == 0.0 && number.is_sign_negative()) {
        format!("{number:.0}")
    } else {
        format!("{number:?}")
    }
}
