//! The page of the language, written from the tables of operators, inputs, errors and limits.

use std::fmt::Write;

use crate::dsl::axes::Axes;
use crate::dsl::error::Kind;
use crate::dsl::inputs;
use crate::dsl::limits::Limits;
use crate::dsl::ops::{ALIASES, CONSTANTS, Class, Form, Op, TABLE};
use crate::dsl::terms::call_name;

const INTRODUCTION: &str = "\
# The proxy language

Written by `make docs` from the tables in `rust/dsl`; edit those.

    # HAWQ-V2: average Hessian trace times squared quantization error
    score = trace / numel * sum(square(dw))

A program is lines `name = expression`. Its value is `score`, or without one the last bare expression. Names may be
bound again, and a binding hides an input of the same name. Expressions are Python's: numbers, names, `-`,
`+ - * / **`, one comparison (1 or 0), and calls of the operators below; inside parentheses they go on over lines.
There are no loops, subscripts, attributes, texts or imports, so every program ends, and its cost is known before it runs.

## Axes

Every value has, for each unit, axes out of `out` (output channels), `in` (input channels of one group, written
`in_`), `pos` (kernel positions) and `format`. Operators broadcast: the result has the axes of all operands. A reduction
`sum(v)` removes out, in and pos; `sum(v, out)` removes what it names; format goes only by name. The score may have
format or no axis; without format it is a sensitivity, and is multiplied by `dw2` of each format.

Samples hold a block of channels of each tensor. `sum`, `norm1`, `norm2`, `count` and `entropy` are scaled from the
sample to the whole tensor, so a formula means the same on both. Arithmetic is IEEE's in 64 bits: a division by zero is an
infinity, and a program whose score is not finite is refused with the unit and the operator that broke it.

`x**2` is `x * x`, `x**0.5` is `sqrt(x)`, `x**-1` is `1 / x`, and whole powers to 8 are repeated multiplications.
";

/// The whole page.
pub fn page() -> String {
    let mut text = INTRODUCTION.to_string();
    for (class, title) in [
        (Class::Elementwise, "Element by element"),
        (Class::Reduction, "Within a unit: reductions"),
        (Class::Network, "Across the units, each format for itself"),
    ] {
        let _ = write!(text, "\n## {title}\n\n| operator | meaning |\n|---|---|\n");
        for spec in TABLE.iter().filter(|spec| spec.op.class() == class && spec.form != Form::None) {
            let _ = writeln!(
                text,
                "| `{}` | {} |",
                usage(spec.op).replace('|', "\\|"),
                spec.doc.replace('|', "\\|")
            );
        }
    }
    text.push_str("\n## Constants\n\n| name | value |\n|---|---|\n");
    for (name, _, doc) in CONSTANTS {
        let _ = writeln!(text, "| `{name}` | {doc} |");
    }
    text.push_str("\n## Inputs\n\n| name | axes | meaning |\n|---|---|---|\n");
    for input in inputs::TABLE {
        let axes = if input.axes == Axes::NONE { "-".to_string() } else { input.axes.to_string() };
        let _ = writeln!(text, "| `{}` | {axes} | {} |", input.name, input.doc.replace('|', "\\|"));
    }
    slips(&mut text);
    limits(&mut text);
    text
}

/// How an operator is written.
fn usage(op: Op) -> String {
    let spec = op.spec();
    match spec.form {
        Form::Prefix => format!("{}v", spec.name),
        Form::Infix => format!("a {} b", spec.name),
        _ => format!("{}({})", call_name(op), spec.arguments),
    }
}

fn slips(text: &mut String) {
    text.push_str(
        "\n## Put right with a note\n\nCode fences, `def f(...):` and `return`, imports, decorators, docstrings, `;` at the end of a line, \
         `np.` `torch.` `math.` `F.` before a name, `x.mean()` for `mean(x)`, `^` for `**`, `in` for `in_`, and these names:\n\n",
    );
    let names: Vec<String> =
        ALIASES.iter().map(|(name, op)| format!("`{name}` for `{}`", call_name(*op))).collect();
    let _ = writeln!(text, "{}.", names.join(", "));
}

fn limits(text: &mut String) {
    text.push_str("\n## Limits\n\n| setting | default | error |\n|---|---|---|\n");
    let kinds = [
        Kind::LimitSource,
        Kind::LimitTokens,
        Kind::LimitNesting,
        Kind::LimitOperators,
        Kind::LimitMemory,
        Kind::LimitWork,
    ];
    for ((name, value), kind) in Limits::default().named().iter().zip(kinds) {
        let _ = writeln!(text, "| `{name}` | {value} | `{}` |", kind.code());
    }
    let codes: Vec<String> = Kind::ALL.iter().map(|kind| format!("`{}`", kind.code())).collect();
    let _ = write!(text, "\nAll error codes: {}.\n", codes.join(", "));
}
