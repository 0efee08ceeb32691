//! The axes of every value, known before anything runs; what has the wrong axes is refused.

use crate::dsl::ast::{Ast, Term};
use crate::dsl::axes::Axes;
use crate::dsl::error::{Error, Kind, Span};
use crate::dsl::ops::{Class, Op};
use crate::dsl::refuse::shown;
use crate::dsl::schema::Schema;
use crate::dsl::terms::call_name;

/// The axes of an operator's result and the axes it removes, or None when its operand cannot have those it has.
#[inline(always)]
pub fn result(op: Op, reduce: Axes, operand: Axes, all: Axes) -> Option<(Axes, Axes)> {
    match KIND[op as usize] {
        Class::Leaf | Class::Elementwise => Some((all, Axes::NONE)),
        Class::Network => operand.is_column().then_some((operand, Axes::NONE)),
        Class::Reduction if reduce.is_empty() => {
            let removed = operand.intersection(Axes::WEIGHT);
            (!removed.is_empty()).then_some((operand.without(removed), removed))
        }
        Class::Reduction => operand.contains(reduce).then_some((operand.without(reduce), reduce)),
    }
}

const KIND: [Class; crate::dsl::ops::TABLE.len()] = {
    let mut kinds = [Class::Leaf; crate::dsl::ops::TABLE.len()];
    let mut at = 0;
    while at < kinds.len() {
        kinds[at] = crate::dsl::ops::TABLE[at].class;
        at += 1;
    }
    kinds
};

/// The axes of every node, by node id.
pub fn check(source: &[u8], ast: &Ast, schema: &Schema) -> Result<Vec<Axes>, Error> {
    let mut axes: Vec<Axes> = Vec::with_capacity(ast.nodes.len());
    let of = |axes: &[Axes], id: u32| axes.get(id as usize).copied().unwrap_or_default();
    for node in &ast.nodes {
        axes.push(match node.term {
            Term::Number(_) | Term::Axis(_) => Axes::NONE,
            Term::Input(id) => schema.axes(id),
            Term::Bound(statement) => {
                of(&axes, ast.statements.get(statement as usize).map_or(0, |bound| bound.root))
            }
            Term::Apply { op, reduce, args } => {
                let operands = args.get(..op.operands()).unwrap_or_default();
                refuse_axis_words(ast, operands)?;
                let all = operands.iter().fold(Axes::NONE, |all, id| all.union(of(&axes, *id)));
                match result(op, reduce, of(&axes, args[0]), all) {
                    Some((axes, _)) => axes,
                    None => return Err(refuse_operand(source, ast, op, reduce, args[0], of(&axes, args[0]))),
                }
            }
        });
    }
    for statement in &ast.statements {
        refuse_axis_words(ast, &[statement.root])?;
    }
    let score = of(&axes, ast.root());
    if !score.is_column() {
        return Err(refuse_score(source, ast, score));
    }
    Ok(axes)
}

/// An axis word is no value.
fn refuse_axis_words(ast: &Ast, operands: &[u32]) -> Result<(), Error> {
    for id in operands {
        let node = ast.node(*id);
        if let Term::Axis(axis) = node.term {
            let message = format!("`{}` names an axis and is no value", axis.source());
            return Err(Error::new(Kind::Argument, node.span, message)
                .hint("axis words stand after the value of a reduction: sum(v, out)"));
        }
    }
    Ok(())
}

/// A short piece of the source, to name a value with.
fn snippet(source: &[u8], span: Span) -> String {
    let text = source.get(span.start as usize..span.end as usize).unwrap_or_default();
    let words: Vec<String> = String::from_utf8_lossy(text).split_whitespace().map(str::to_string).collect();
    let text = words.join(" ");
    if text.chars().count() <= 32 {
        text
    } else {
        format!("{}...", text.chars().take(29).collect::<String>())
    }
}

fn refuse_operand(source: &[u8], ast: &Ast, op: Op, reduce: Axes, operand: u32, axes: Axes) -> Error {
    let span = ast.node(operand).span;
    let (name, value) = (call_name(op), snippet(source, span));
    if op.class() == Class::Network {
        let message = format!("`{value}` has axes {axes}, but `{name}` works on one number a unit");
        return Error::new(Kind::Axes, span, message).hint(format!("reduce it first: {name}(mean({value}))"));
    }
    if reduce.is_empty() {
        let message = format!("`{value}` has no axes to reduce");
        let hint = match op {
            Op::Sum => "for one number over all units use net_sum(v)",
            Op::Mean => "for one number over all units use net_mean(v)",
            Op::MaxOf => "for one number over all units use net_max(v); for the larger of two max(a, b)",
            Op::MinOf => "for one number over all units use net_min(v); for the smaller of two min(a, b)",
            Op::Std | Op::Var => "for one number over all units use net_std(v)",
            _ => "over all units work net_sum, net_mean, net_max, net_min, net_std, rank, zscore",
        };
        return Error::new(Kind::Axes, span, message).hint(hint);
    }
    let missing = reduce.without(axes);
    let message = format!("`{value}` has {}, not {missing}", shown(axes));
    let hint = if axes.is_empty() {
        "it is one number a unit already: use it as it is".to_string()
    } else {
        format!("name only axes that it has: {name}({value}, {})", axes.source())
    };
    Error::new(Kind::Axes, span, message).hint(hint)
}

fn refuse_score(source: &[u8], ast: &Ast, axes: Axes) -> Error {
    let span = ast.node(ast.root()).span;
    let value = snippet(source, span);
    let message = format!("`{value}` has axes {axes}; the score may only have format");
    Error::new(Kind::Axes, span, message).hint(format!("wrap it in a reduction: score = mean({value})"))
}
