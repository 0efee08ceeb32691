//! Programs and a table to measure with: random ones, and the offspring of a few parents.
//!
//! Both come from the language's own generators: `random` draws each operator by its weight in the table (a tenth of
//! them across units), `vary` changes or crosses one place of a parent. Nothing is chosen to be cheap.

use tap_core::dsl::random::{self, Rng};
use tap_core::dsl::{Limits, Schema, Table, axes::Axes, vary};

/// Inputs that programs of the benches read, those with short names: one number a unit, or one a unit and format.
const INPUTS: [&str; 8] = ["numel", "macs", "depth", "trace", "plain", "bits", "dw2", "gdw"];

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

fn inputs(schema: &Schema) -> Vec<u16> {
    INPUTS.iter().filter_map(|name| schema.id(name)).collect()
}

/// As short as a text can be written: a bare expression without blanks.
fn without_blanks(text: &str) -> String {
    let short: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
    short.strip_prefix("score=").map_or(short.clone(), str::to_string)
}

/// `count` random programs of 10 to 30 operators, 20 on average.
pub fn random_programs(count: usize, seed: u64) -> Vec<String> {
    let (schema, mut rng) = (Schema::new(), Rng::new(seed));
    let inputs = inputs(&schema);
    (0..count)
        .map(|_| {
            let operators = 10 + rng.below(21);
            without_blanks(&random::program(&mut rng, operators, &schema, &inputs))
        })
        .collect()
}

/// `count` programs of a generation of 200 parents: one in eight an unchanged parent, the others its offspring.
pub fn offspring(count: usize, seed: u64) -> Vec<String> {
    let (schema, mut rng) = (Schema::new(), Rng::new(seed));
    let parents = random_programs(200, seed);
    let names: Vec<&str> = parents.iter().map(String::as_str).collect();
    let mut programs = vary::vary(seed, &names, count, &schema, &Limits::default(), &inputs(&schema));
    for program in &mut programs {
        *program = without_blanks(program);
        if rng.once_in(8)
            && let Some(parent) = rng.pick(&parents)
        {
            program.clone_from(parent);
        }
    }
    programs
}

/// A table of positive columns.
pub fn table(units: usize, formats: usize, seed: u64) -> (Table, Schema) {
    let mut random = Random::new(seed);
    let schema = Schema::new();
    let sizes = vec![[1, 1, 1]; units];
    let mut table = Table::new(formats, &sizes, &sizes).expect("a table");
    for id in inputs(&schema) {
        let axes = schema.axes(id);
        let count = if axes == Axes::FORMAT { units * formats } else { units };
        let column = (0..count).map(|_| (random.unit() * 6.0 - 3.0).exp()).collect();
        table.set_column(id, axes, column).expect("a column");
    }
    (table, schema)
}
