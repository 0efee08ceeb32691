//! Generated allocation problems, the ones that benches, peers and tests share: a family and a seed give the
//! same tables everywhere.
//!
//! Both families have the formats int2 to int8. The loss of a unit in b bits is `exp(1.5 z) * 4^-b *
//! exp(0.25 z')`, with normal z per unit and z' per unit and format, so rows are neither convex nor sorted.
//! Costs: bytes (weights and 16-bit scales), BitOps (multiply-accumulates times b squared) and milliseconds (the
//! larger of memory and compute time, with a fixed part and 10 % noise). Budgets lie at
//! the given fraction between the smallest and the largest total: 0.4 unless said otherwise.
//!
//! * CNN-like: stages of 64 to 512 channels, halving resolution; 1x1, 3x3 and depthwise layers; scales per channel.
//! * LLM-like: blocks of projections of three sizes, so few distinct costs; scales per group of 128.

use super::input::Constraint;

/// Bits of the formats of every instance.
pub const BITS: [i64; 7] = [2, 3, 4, 5, 6, 7, 8];

/// Which networks the sizes resemble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Convolutional: many sizes, compute and memory unrelated.
    Cnn,
    /// Transformer blocks: three sizes.
    Llm,
}

/// Tables of one generated problem.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Number of units.
    pub units: usize,
    /// Loss `[units * 7]`.
    pub loss: Vec<f64>,
    /// Bytes `[units * 7]`.
    pub bytes: Vec<i64>,
    /// BitOps `[units * 7]`.
    pub bops: Vec<i64>,
    /// Milliseconds `[units * 7]`.
    pub latency: Vec<f64>,
}

impl Instance {
    /// Draws the instance of `seed`.
    pub fn draw(family: Family, units: usize, seed: u64) -> Self {
        let mut draw = Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x7461_705f_6d70_7121);
        let mut instance =
            Self { units, loss: Vec::new(), bytes: Vec::new(), bops: Vec::new(), latency: Vec::new() };
        for unit in 0..units {
            let (numel, macs, scales) = match family {
                Family::Cnn => cnn_unit(unit, units, &mut draw),
                Family::Llm => llm_unit(unit),
            };
            let weight = (1.5 * draw.normal()).exp();
            let noise = 1.0 + 0.1 * draw.uniform();
            for bits in BITS {
                let error = 0.25f64.powi(bits as i32) * (0.25 * draw.normal()).exp();
                instance.loss.push(weight * error);
                let bytes = (numel * bits + 7) / 8 + 2 * scales;
                instance.bytes.push(bytes);
                instance.bops.push(macs * bits * bits);
                let compute = macs as f64 * (if bits <= 4 { 4.0 } else { 8.0 }) / 8e12;
                let memory = bytes as f64 / 1e12;
                instance.latency.push(1e3 * (2e-6 + compute.max(memory) * noise));
            }
        }
        instance
    }

    /// The first `count` of bytes, BitOps and latency, each budget at `fraction` of its range.
    pub fn constraints(&self, count: usize, fraction: f64) -> Vec<Constraint<'_>> {
        let bytes = Constraint::Integer { costs: &self.bytes, budget: budget_of(&self.bytes, fraction) };
        let bops = Constraint::Integer { costs: &self.bops, budget: budget_of(&self.bops, fraction) };
        let (least, most) = range(self.latency.iter().copied());
        let latency = Constraint::Real { costs: &self.latency, budget: least + fraction * (most - least) };
        [bytes, bops, latency].into_iter().take(count).collect()
    }
}

fn budget_of(costs: &[i64], fraction: f64) -> i128 {
    let (least, most) = range(costs.iter().map(|&cost| cost as f64));
    (least + fraction * (most - least)).floor() as i128
}

/// Sums of the cheapest and the dearest format of every unit.
fn range(costs: impl Iterator<Item = f64>) -> (f64, f64) {
    let costs: Vec<f64> = costs.collect();
    let rows = costs.chunks(BITS.len());
    rows.fold((0.0, 0.0), |(least, most), row| {
        (
            least + row.iter().copied().fold(f64::INFINITY, f64::min),
            most + row.iter().copied().fold(0.0, f64::max),
        )
    })
}

fn cnn_unit(unit: usize, units: usize, draw: &mut Draw) -> (i64, i64, i64) {
    let stage = (unit * 4 / units.max(1)).min(3);
    let (channels, side) = (64i64 << stage, 56i64 >> stage);
    let widths = [channels / 2, channels, channels * 3 / 2, channels * 2];
    let (out, inp) = (widths[draw.below(4)], widths[draw.below(4)]);
    let numel = match draw.below(4) {
        0 | 1 => out * inp * 9,
        2 => out * inp,
        _ => out * 9,
    };
    (numel, numel * side * side, out)
}

fn llm_unit(unit: usize) -> (i64, i64, i64) {
    let numel = match unit % 7 {
        0 | 3 => 4096 * 4096,
        1 | 2 => 4096 * 1024,
        _ => 11008 * 4096,
    };
    (numel, numel, numel / 128)
}

/// SplitMix64 with the draws that the families need.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 * 2f64.powi(-53)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.uniform() * n as f64) as usize
    }

    /// Standard normal up to the sixth standard deviation: twelve uniforms.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}
