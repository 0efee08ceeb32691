//! Across the units of one column: L numbers to L numbers, for one format.

use pulp::{Arch, Simd, WithSimd};

use crate::dsl::kernels::elementwise::{eights, larger, smaller};
use crate::dsl::kernels::reduce::{in_lanes, total};
use crate::dsl::ops::Op;
use crate::math;

/// `out = op(x)` over the units on the widest vectors of the machine; operators of another kind give NaN.
pub fn network(op: Op, x: &[f64], out: &mut [f64], order: &mut Vec<(f64, u32)>) {
    Arch::new().dispatch(Dispatched { op, x, out, units: x.len(), order });
}

struct Dispatched<'a> {
    op: Op,
    x: &'a [f64],
    out: &'a mut [f64],
    units: usize,
    order: &'a mut Vec<(f64, u32)>,
}

impl WithSimd for Dispatched<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        here(self.op, self.x, self.out, self.units, self.order);
    }
}

/// The same on vectors chosen before. The first `units` of `x` and `out` count; what follows is a pad, whose results
/// are of no matter. `order` is memory to use again.
#[inline(always)]
pub fn network_by<S: Simd>(
    simd: S,
    op: Op,
    x: &[f64],
    out: &mut [f64],
    units: usize,
    order: &mut Vec<(f64, u32)>,
) {
    simd.vectorize(Dispatched { op, x, out, units, order });
}

#[inline(always)]
fn here(op: Op, padded: &[f64], out: &mut [f64], units: usize, order: &mut Vec<(f64, u32)>) {
    let x = padded.get(..units).unwrap_or_default();
    let n = x.len() as f64;
    match op {
        Op::Zscore => {
            let mean = total(x, |v| v) / n;
            let deviation = deviation(x, mean);
            eights([padded], out, |[v]| (v - mean) / deviation);
        }
        Op::Minmax => {
            let (low, high) = (least(x), greatest(x));
            eights([padded], out, |[v]| (v - low) / (high - low));
        }
        Op::Softmax => {
            let high = greatest(x);
            eights([padded], out, |[v]| math::exp(v - high));
            let sum = total(out.get(..units).unwrap_or_default(), |v| v);
            out.iter_mut().for_each(|v| *v /= sum);
        }
        Op::NetSum => out.fill(total(x, |v| v)),
        Op::NetMean => out.fill(total(x, |v| v) / n),
        Op::NetMax => out.fill(greatest(x)),
        Op::NetMin => out.fill(least(x)),
        Op::NetStd => out.fill(deviation(x, total(x, |v| v) / n)),
        _ => in_order(op, x, out.get_mut(..units).unwrap_or_default(), order),
    }
}

/// Operators for which it matters which unit comes first.
#[inline(always)]
fn in_order(op: Op, x: &[f64], out: &mut [f64], order: &mut Vec<(f64, u32)>) {
    match op {
        Op::Rank => rank(x, out, order),
        Op::Cumsum => running(x.iter(), out.iter_mut()),
        Op::SuffixMean => {
            running(x.iter().rev(), out.iter_mut().rev());
            let units = out.len();
            out.iter_mut().enumerate().for_each(|(unit, out)| *out /= (units - unit) as f64);
        }
        Op::Prev => shifted(out, x, 0, 1),
        Op::Next => shifted(out, x, 1, 0),
        _ => out.fill(f64::NAN),
    }
}

#[inline(always)]
fn least(x: &[f64]) -> f64 {
    in_lanes(x, f64::INFINITY, smaller)
}

#[inline(always)]
fn greatest(x: &[f64]) -> f64 {
    in_lanes(x, f64::NEG_INFINITY, larger)
}

#[inline(always)]
fn deviation(x: &[f64], mean: f64) -> f64 {
    (total(x, |v| (v - mean) * (v - mean)) / x.len() as f64).sqrt()
}

/// Sums of the first one, two, three ... elements.
#[inline(always)]
fn running<'a>(x: impl Iterator<Item = &'a f64>, out: impl Iterator<Item = &'a mut f64>) {
    let mut sum = 0.0;
    for (out, x) in out.zip(x) {
        sum += x;
        *out = sum;
    }
}

/// A copy moved by one unit: `from` drops the first of x, `to` the first of out, which keeps its own.
#[inline(always)]
fn shifted(out: &mut [f64], x: &[f64], from: usize, to: usize) {
    out.copy_from_slice(x);
    let moved = x.get(from..x.len().saturating_sub(to)).unwrap_or_default();
    if let Some(place) = out.get_mut(to..to + moved.len()) {
        place.copy_from_slice(moved);
    }
}

/// The longest column that is ranked by comparing all with all: n^2 steps, eight or more at once.
const COUNTED: usize = 160;

/// Average ranks from 1; any NaN makes all NaN.
///
/// The rank of v is (smaller values + values not larger + 1) / 2.
#[inline(always)]
fn rank(x: &[f64], out: &mut [f64], order: &mut Vec<(f64, u32)>) {
    if x.iter().fold(false, |nan, v| nan | v.is_nan()) {
        return out.fill(f64::NAN);
    }
    if x.len() > COUNTED {
        return rank_sorted(x, out, order);
    }
    for (x_block, out) in x.chunks(16).zip(out.chunks_mut(16)) {
        let mut block = [0.0; 16];
        block.iter_mut().zip(x_block).for_each(|(to, from)| *to = *from);
        let mut counts = [1_i64; 16];
        for other in x {
            for (count, v) in counts.iter_mut().zip(&block) {
                *count += i64::from(other < v) + i64::from(other <= v);
            }
        }
        out.iter_mut().zip(counts).for_each(|(out, count)| *out = 0.5 * count as f64);
    }
}

fn rank_sorted(x: &[f64], out: &mut [f64], order: &mut Vec<(f64, u32)>) {
    order.clear();
    // Adding 0 turns -0 into 0, so that equal numbers stand together in the total order.
    order.extend(x.iter().zip(0..).map(|(v, place)| (v + 0.0, place)));
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let mut below = 0;
    for tie in order.chunk_by(|a, b| a.0 == b.0) {
        let average = below as f64 + (tie.len() as f64 + 1.0) / 2.0;
        for (_, place) in tie {
            if let Some(out) = out.get_mut(*place as usize) {
                *out = average;
            }
        }
        below += tie.len();
    }
}
