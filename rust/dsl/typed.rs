//! A grammar of programs that check: one expression, its types and its nesting in the rules themselves (GBNF).

use std::fmt::Write;

use crate::dsl::axes::Axes;
use crate::dsl::ops::{Class, Form, Spec, TABLE};

/// Deepest nesting that `typed` takes.
pub const DEEPEST: usize = 8;

/// Weight axes as they are told apart: the subsets of out, in and pos.
const TYPES: u8 = 8;

/// The grammar, in GBNF, of a comment and `score = ...` over these inputs, calls and operators nested at most `depth`
/// deep; None when no score can be written, or `depth` is above `DEEPEST`. All that it derives compiles.
///
/// A rule `t3-2` derives values with the axes of bits 3 (out, in), two operators deep at most, whether they have the
/// format axis or not.
pub fn typed(inputs: &[(&str, Axes)], depth: usize) -> Option<String> {
    if depth > DEEPEST {
        return None;
    }
    let mut writer = Writer { inputs, possible: Vec::new(), text: String::new() };
    for level in 0..=depth {
        writer.level(level);
    }
    if !writer.can(Axes::NONE, depth) {
        return None;
    }
    let head = format!(
        "root ::= (\"# \" [a-zA-Z0-9 ,.'-]{{1,100}} \"\\n\")? \"score = \" {} \"\\n\"?\n",
        rule('t', Axes::NONE, depth)
    );
    Some(head + &writer.text + &tokens())
}

struct Writer<'a> {
    inputs: &'a [(&'a str, Axes)],
    /// By level, the types that have a value, as bits.
    possible: Vec<u8>,
    text: String,
}

impl Writer<'_> {
    fn can(&self, axes: Axes, level: usize) -> bool {
        self.possible.get(level).is_some_and(|types| types >> axes.bits() & 1 == 1)
    }

    /// The rules of all types at one level; they read those of the level below.
    fn level(&mut self, level: usize) {
        let mut found = 0;
        for axes in (0..TYPES).map(Axes::from_bits) {
            let mut ways = self.leaves(axes);
            if let Some(below) = level.checked_sub(1) {
                self.operators(axes, below, &mut ways);
            }
            if ways.is_empty() {
                continue;
            }
            found |= 1 << axes.bits();
            self.write(&rule('t', axes, level), &ways);
        }
        self.possible.push(found);
        for axes in (0..TYPES).map(Axes::from_bits) {
            let narrower = |with: bool| {
                (0..TYPES)
                    .map(Axes::from_bits)
                    .filter(|other| axes.contains(*other) && (with || *other != axes))
                    .filter(|other| self.can(*other, level))
                    .map(|other| rule('t', other, level))
                    .collect::<Vec<_>>()
            };
            let (lower, mut right) = (narrower(false), narrower(true));
            right.push("number".into());
            if !lower.is_empty() {
                self.write(&rule('l', axes, level), &lower);
            }
            self.write(&rule('r', axes, level), &right);
        }
    }

    /// The inputs with these axes.
    fn leaves(&self, axes: Axes) -> Vec<String> {
        let fits = self.inputs.iter().filter(|(_, own)| own.intersection(Axes::WEIGHT) == axes);
        fits.map(|(name, _)| format!("\"{name}\"")).collect()
    }

    /// The operators that give these axes, over values one level below.
    fn operators(&self, axes: Axes, below: usize, ways: &mut Vec<String>) {
        let right = rule('r', axes, below);
        if self.can(axes, below) {
            let own = rule('t', axes, below);
            ways.push(format!("one \"(\" {own} \")\""));
            ways.push(format!("\"(-\" {own} \")\""));
            ways.push(format!("\"(\" {own} infix {right} \")\""));
            ways.push(format!("several \"(\" {own} \", \" {right} \")\""));
            ways.push(format!("three \"(\" {own} \", \" {right} \", \" {right} \")\""));
            if (0..axes.bits())
                .map(Axes::from_bits)
                .any(|other| axes.contains(other) && self.can(other, below))
            {
                ways.push(format!("\"(\" {} infix {own} \")\"", rule('l', axes, below)));
            }
            if axes.is_empty() {
                ways.push(format!("network \"(\" {own} \")\""));
            }
        }
        for wider in (0..TYPES).map(Axes::from_bits).filter(|wider| wider.contains(axes) && *wider != axes) {
            if self.can(wider, below) {
                let removed = if axes.is_empty() {
                    String::new()
                } else {
                    format!(", {}", wider.without(axes).source())
                };
                let value = rule('t', wider, below);
                ways.push(format!("reduction \"(\" {value} \"{removed})\""));
                ways.push(format!("\"quantile(\" {value} \", 0.\" [1-9] \"{removed})\""));
            }
        }
    }

    fn write(&mut self, name: &str, ways: &[String]) {
        let _ = writeln!(self.text, "{name} ::= {}", ways.join(" | "));
    }
}

fn rule(kind: char, axes: Axes, level: usize) -> String {
    format!("{kind}{}-{level}", axes.bits())
}

/// The operators of the table by how they are written, and numbers, none of which is 0.
fn tokens() -> String {
    let any = |fits: &dyn Fn(&Spec) -> bool, padded: bool| {
        let names = TABLE.iter().filter(|spec| fits(spec)).map(|spec| {
            let name = spec.name;
            if padded { format!("\" {name} \"") } else { format!("\"{name}\"") }
        });
        names.collect::<Vec<_>>().join(" | ")
    };
    let call = |class: Class, least: u8, most: u8| {
        move |spec: &Spec| spec.class == class && spec.form == Form::Call(least, most)
    };
    let rules = [
        ("infix", any(&|spec| spec.form == Form::Infix, true)),
        ("one", any(&call(Class::Elementwise, 1, 1), false)),
        ("several", any(&call(Class::Elementwise, 2, 16), false)),
        ("three", any(&call(Class::Elementwise, 3, 3), false)),
        ("network", any(&call(Class::Network, 1, 1), false)),
        ("reduction", any(&call(Class::Reduction, 1, 1), false)),
        ("number", "[1-9] | \"0.\" [1-9] | \"0.0\" [1-9] | \"eps\"".to_string()),
    ];
    rules.iter().fold(String::new(), |text, (name, rule)| text + name + " ::= " + rule + "\n")
}
