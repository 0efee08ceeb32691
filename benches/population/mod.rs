//! Programs and a table to measure with: random ones, and the offspring of a few parents.

use tap_core::dsl::{Schema, Table, axes::Axes};

/// Inputs that programs of the benches read: one number a unit, or one a unit and format.
const INPUTS: [&str; 14] = [
    "numel",
    "macs",
    "depth",
    "out_channels",
    "in_channels",
    "kernel",
    "trace",
    "lambda_max",
    "w_norm2",
    "dw2",
    "fisher_dw2",
    "gdw_abs",
    "out_noise",
    "bits",
];

/// Pseudorandom numbers (xorshift).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 33) as usize) % bound
    }

    pub fn unit(&mut self) -> f64 {
        self.below(1 << 30) as f64 / (1 << 30) as f64
    }
}

/// An expression as its operators in prefix order.
#[derive(Clone)]
pub enum Node {
    Leaf(String),
    Call(&'static str, Box<Node>),
    Infix(&'static str, Box<Node>, Box<Node>),
}

const CALLS: [&str; 10] =
    ["sqrt", "abs", "log1p", "tanh", "square", "exp", "log", "sigmoid", "rank", "zscore"];
const INFIXES: [&str; 6] = ["+", "-", "*", "/", "*", "+"];

impl Node {
    /// A tree of this many operators.
    pub fn random(random: &mut Random, operators: usize) -> Node {
        if operators == 0 {
            return Node::leaf(random);
        }
        if random.below(100) < 35 {
            // Roots and logarithms of magnitudes, as people write them.
            let name = CALLS[random.below(CALLS.len())];
            return match name {
                "sqrt" | "log" | "log1p" if operators > 1 => Node::Call(
                    name,
                    Box::new(Node::Call("abs", Box::new(Node::random(random, operators - 2)))),
                ),
                _ => Node::Call(name, Box::new(Node::random(random, operators - 1))),
            };
        }
        let left = random.below(operators);
        let name = INFIXES[random.below(INFIXES.len())];
        let (left, right) = (Node::random(random, left), Node::random(random, operators - 1 - left));
        Node::Infix(name, Box::new(left), Box::new(right))
    }

    fn leaf(random: &mut Random) -> Node {
        match random.below(5) {
            0 => Node::Leaf(["0.5", "2", "1e-8", "0.1", "3"][random.below(5)].to_string()),
            _ => Node::Leaf(INPUTS[random.below(INPUTS.len())].to_string()),
        }
    }

    /// A copy in which one place is another small tree.
    pub fn mutated(&self, random: &mut Random) -> Node {
        match self {
            Node::Call(name, inner) if random.below(8) > 0 => {
                Node::Call(name, Box::new(inner.mutated(random)))
            }
            Node::Infix(name, left, right) if random.below(8) > 0 => match random.below(2) {
                0 => Node::Infix(name, Box::new(left.mutated(random)), right.clone()),
                _ => Node::Infix(name, left.clone(), Box::new(right.mutated(random))),
            },
            Node::Infix(_, left, right) => Node::Infix(INFIXES[random.below(4)], left.clone(), right.clone()),
            _ => {
                let operators = random.below(3);
                Node::random(random, operators)
            }
        }
    }

    pub fn write(&self, text: &mut String) {
        match self {
            Node::Leaf(name) => text.push_str(name),
            Node::Call(name, inner) => {
                text.push_str(name);
                text.push('(');
                inner.write(text);
                text.push(')');
            }
            Node::Infix(name, left, right) => {
                text.push('(');
                left.write(text);
                text.push_str(name);
                right.write(text);
                text.push(')');
            }
        }
    }

    pub fn text(&self) -> String {
        let mut text = String::from("score = ");
        self.write(&mut text);
        text
    }
}

/// `count` random programs of 10 to 30 operators, 20 on average.
pub fn random_programs(count: usize, seed: u64) -> Vec<String> {
    let mut random = Random::new(seed);
    (0..count)
        .map(|_| {
            let operators = 10 + random.below(21);
            Node::random(&mut random, operators).text()
        })
        .collect()
}

/// `count` children of 200 parents: one change each, and one in eight an unchanged copy.
pub fn offspring(count: usize, seed: u64) -> Vec<String> {
    let mut random = Random::new(seed);
    let parents: Vec<Node> = (0..200)
        .map(|_| {
            let operators = 10 + random.below(21);
            Node::random(&mut random, operators)
        })
        .collect();
    (0..count)
        .map(|_| {
            let parent = &parents[random.below(parents.len())];
            if random.below(8) == 0 { parent.text() } else { parent.mutated(&mut random).text() }
        })
        .collect()
}

/// A table of positive columns.
pub fn table(units: usize, formats: usize, seed: u64) -> (Table, Schema) {
    let mut random = Random::new(seed);
    let schema = Schema::new();
    let sizes = vec![[1, 1, 1]; units];
    let mut table = Table::new(formats, &sizes, &sizes).expect("a table");
    for name in INPUTS {
        let id = schema.id(name).expect("an input");
        let axes = schema.axes(id);
        let count = if axes == Axes::FORMAT { units * formats } else { units };
        let column = (0..count).map(|_| (random.unit() * 6.0 - 3.0).exp()).collect();
        table.set_column(id, axes, column).expect("a column");
    }
    (table, schema)
}
