//! The language as a grammar for constrained generation, written from the operator table: GBNF, Lark or JSON Schema.

use std::fmt::Write;

use crate::dsl::axes::Axes;
use crate::dsl::error::quoted;
use crate::dsl::limits::Limits;
use crate::dsl::ops::{Class, Form, Op, TABLE};

/// Names of the formats that `grammar` writes.
pub const FORMATS: [&str; 3] = ["gbnf", "lark", "json-schema"];

/// The grammar in one of `FORMATS`; None for another name. What it derives parses; types are checked afterwards.
pub fn grammar(format: &str) -> Option<String> {
    match format {
        "gbnf" => Some(written(&GBNF)),
        "lark" => Some(written(&LARK)),
        "json-schema" => Some(json_schema()),
        _ => None,
    }
}

/// How one notation spells rules.
struct Notation {
    define: &'static str,
    head: &'static str,
    tail: &'static str,
}

const LARK: Notation = Notation {
    define: ": ",
    head: "start: _NL* (statement _NL+)* score _NL*\n",
    tail: "NAME: /[A-Za-z_][A-Za-z0-9_]*/\nNUMBER: /[0-9]+\\.[0-9]*(e-?[0-9]+)?|\\.[0-9]+|(0|[1-9][0-9]*)(e-?[0-9]+)?/\n\
           _NL: /\\r?\\n/\n%ignore /[ \\t]+/\n%ignore /#[^\\n]*/\n",
};

const GBNF: Notation = Notation {
    define: " ::= ",
    head: "root ::= (statement \"\\n\")* score \"\\n\"?\n",
    tail: "NAME ::= ([a-zA-Z_] [a-zA-Z0-9_]*) ws\n\
           NUMBER ::= (([0-9]+ \".\" [0-9]* | \"0\" | [1-9] [0-9]*) (\"e\" \"-\"? [0-9]+)?) ws\nws ::= [ ]*\n",
};

fn written(notation: &Notation) -> String {
    let gbnf = notation.define == GBNF.define;
    let token = |text: &str| if gbnf { format!("\"{text}\" ws") } else { format!("\"{text}\"") };
    let any = |texts: &[&str]| texts.iter().map(|text| token(text)).collect::<Vec<_>>().join(" | ");
    let called = |class: Class, values: u8| -> Vec<&str> {
        let fits = |op: Op, form: Form| {
            op.class() == class && form == Form::Call(values, values) && !matches!(op, Op::MinOf | Op::MaxOf)
        };
        TABLE.iter().filter(|spec| fits(spec.op, spec.form)).map(|spec| spec.name).collect()
    };
    let (open, close, comma) = (token("("), token(")"), token(","));
    let axes: Vec<String> = [Axes::OUT, Axes::IN, Axes::POS, Axes::FORMAT].map(Axes::source).to_vec();
    let axes: Vec<&str> = axes.iter().map(String::as_str).collect();
    let one = [called(Class::Elementwise, 1), called(Class::Network, 1)].concat();
    let rules = [
        ("statement", format!("NAME {} value", token("="))),
        ("score", format!("{} {} value", token("score"), token("="))),
        ("value", "sum (compare sum)?".to_string()),
        ("compare", any(&["<", "<=", ">", ">=", "==", "!="])),
        ("sum", format!("product (({}) product)*", any(&["+", "-"]))),
        ("product", format!("signed (({}) signed)*", any(&["*", "/"]))),
        ("signed", format!("{} signed | power", token("-"))),
        ("power", format!("atom ({} signed)?", token("**"))),
        ("atom", format!("NUMBER | NAME | {open} value {close} | call")),
        ("call", CALLS.join(" | ")),
        ("one", format!("({}) {open} value {close}", any(&one))),
        ("two", format!("{} {open} value {comma} value {close}", token("pow"))),
        (
            "three",
            format!(
                "({}) {open} value {comma} value {comma} value {close}",
                any(&called(Class::Elementwise, 3))
            ),
        ),
        ("several", format!("({}) {open} value (({comma} value)+ | axes) {close}", any(&["min", "max"]))),
        ("reduction", format!("({}) {open} value axes {close}", any(&called(Class::Reduction, 1)))),
        ("quantile", format!("{} {open} value {comma} NUMBER axes {close}", token("quantile"))),
        ("axes", format!("({comma} axis)*")),
        ("axis", any(&axes)),
    ];
    let mut text = notation.head.to_string();
    for (name, rule) in rules {
        let _ = writeln!(text, "{name}{}{rule}", notation.define);
    }
    text + notation.tail
}

const CALLS: [&str; 6] = ["one", "two", "three", "several", "reduction", "quantile"];

/// A reply of candidates, each a thought and a program.
fn json_schema() -> String {
    let longest = Limits::default().source_bytes;
    let code =
        "Lines of `name = expression`; the last binds `score`. No loops, subscripts, attributes or imports.";
    format!(
        "{{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"type\":\"object\",\"properties\":\
         {{\"candidates\":{{\"type\":\"array\",\"items\":{{\"type\":\"object\",\"properties\":{{\"thought\":\
         {{\"type\":\"string\"}},\"code\":{{\"type\":\"string\",\"maxLength\":{longest},\"description\":{}}}}},\
         \"required\":[\"thought\",\"code\"],\"additionalProperties\":false}}}}}},\"required\":[\"candidates\"],\
         \"additionalProperties\":false}}\n",
        quoted(code)
    )
}
