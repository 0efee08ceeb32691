//! Rows on their grids, the error of each column taken up by the columns still to come. For rows w and an upper
//! triangular U, column by column:
//!
//! `q_j = snap(v_j)`, `e_j = (v_j - q_j) / U_jj`, `v_k -= e_j U_jk` for `k > j`, from `v = w`.
//!
//! Then `w - q = e U`, and with `U^T U` the inverse of H the error `(w - q) H (w - q)^T` is `|e|^2`. With q rounded to
//! the nearest, `q_j = snap(w_j)`, the same steps give the error of that. Lanes are rows. Errors reach the columns of
//! their own block one by one and all later ones a block at a time, four columns from one reading of the errors.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::Misfit;
use super::products::INTEGERS;

/// Columns of a block.
const BLOCK: usize = 64;
/// Later columns that take up errors together.
const LATER: usize = 4;
/// Rows that a thread takes at once.
const ROWS: usize = 128;

/// Scales and zero points [rows, groups of columns], and the ends of the codes.
#[derive(Clone, Copy)]
pub struct Grid<'a> {
    /// Scales.
    pub scale: &'a [f32],
    /// Zero points.
    pub zero: &'a [f32],
    /// Columns that share a scale.
    pub group: usize,
    /// The lowest and the highest code.
    pub codes: (f32, f32),
}

/// U [columns, columns] and the grid of rows that it belongs to.
#[derive(Clone, Copy)]
pub struct Sweep<'a> {
    upper: &'a [f32],
    columns: usize,
    groups: usize,
    grid: Grid<'a>,
}

impl<'a> Sweep<'a> {
    /// For `rows` rows.
    ///
    /// # Errors
    /// Axes without elements, a U that is not square, or a grid of other rows or columns.
    pub fn new(upper: &'a [f32], columns: usize, rows: usize, grid: Grid<'a>) -> Result<Sweep<'a>, Misfit> {
        if columns == 0 || grid.group == 0 {
            return Err(Misfit("no axis is empty"));
        }
        if upper.len() / columns != columns || !upper.len().is_multiple_of(columns) {
            return Err(Misfit("U has as many rows as columns"));
        }
        let groups = columns.div_ceil(grid.group);
        if [grid.scale, grid.zero].iter().any(|part| Some(part.len()) != rows.checked_mul(groups)) {
            return Err(Misfit("each row has a scale and a zero point for each group of its columns"));
        }
        Ok(Sweep { upper, columns, groups, grid })
    }

    /// Replace the rows by their values on the grid, compensated or the nearest, and return the sum of all `|e|^2`.
    #[must_use]
    pub fn round(&self, rows: &mut [f32], nearest: bool, threads: usize) -> f64 {
        let size = ROWS * self.columns;
        let here = |(part, rows): (usize, &mut [f32])| {
            Arch::new().dispatch(Rows { sweep: self.rows_from(part * ROWS), rows, nearest })
        };
        if threads != 1
            && rows.len() > size
            && let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(threads).build()
        {
            let sums = pool.install(|| rows.par_chunks_mut(size).enumerate().map(here).collect::<Vec<f64>>());
            return sums.iter().sum();
        }
        rows.chunks_mut(size).enumerate().map(here).sum()
    }

    /// The same for rows from one on.
    fn rows_from(&self, first: usize) -> Sweep<'a> {
        let (scale, zero) =
            (from(self.grid.scale, first * self.groups), from(self.grid.zero, first * self.groups));
        Sweep { grid: Grid { scale, zero, ..self.grid }, ..*self }
    }
}

struct Rows<'a> {
    sweep: Sweep<'a>,
    rows: &'a mut [f32],
    nearest: bool,
}

impl WithSimd for Rows<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        if S::REGISTER_COUNT >= 32 { self.tiles::<S, 4>(simd) } else { self.tiles::<S, 2>(simd) }
    }
}

impl Rows<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const V: usize>(self, simd: S) -> f64 {
        let Sweep { columns, groups, .. } = self.sweep;
        let lanes = V * S::F32_LANES;
        let mut room = Room {
            values: vec![0.0; columns * lanes],
            weights: vec![0.0; columns * lanes],
            scale: vec![1.0; groups * lanes],
            zero: vec![0.0; groups * lanes],
        };
        let mut total = 0.0;
        for (tile, rows) in self.rows.chunks_mut(lanes * columns).enumerate() {
            let part = self.sweep.rows_from(tile * lanes);
            turn(rows, columns, &mut room.weights, lanes, 0.0);
            turn(head(part.grid.scale, lanes * groups), groups, &mut room.scale, lanes, 1.0);
            turn(head(part.grid.zero, lanes * groups), groups, &mut room.zero, lanes, 0.0);
            total += part.tile::<S, V>(simd, &mut room, self.nearest);
            for (lane, row) in rows.chunks_exact_mut(columns).enumerate() {
                for (to, from) in row.iter_mut().zip(from(&room.weights, lane).iter().step_by(lanes)) {
                    *to = *from;
                }
            }
        }
        total
    }
}

/// Rows beside each other: all lanes of a column, then those of the next.
struct Room {
    values: Vec<f32>,
    /// The weights, and later their values on the grid.
    weights: Vec<f32>,
    scale: Vec<f32>,
    zero: Vec<f32>,
}

type Column<S, const V: usize> = [<S as Simd>::f32s; V];

impl Sweep<'_> {
    #[inline(always)]
    fn tile<S: Simd, const V: usize>(&self, simd: S, room: &mut Room, nearest: bool) -> f64 {
        let columns = self.columns;
        room.values.copy_from_slice(&room.weights);
        let mut later = columns_of::<S, V>(&mut room.values);
        let mut weights = columns_of::<S, V>(&mut room.weights).iter_mut();
        let (scale, zero) = (columns_of::<S, V>(&mut room.scale), columns_of::<S, V>(&mut room.zero));
        let (low, high) = (simd.splat_f32s(self.grid.codes.0), simd.splat_f32s(self.grid.codes.1));
        let none = [simd.splat_f32s(0.0); V];
        let (mut errors, mut total) = ([none; BLOCK], 0.0);
        for start in (0..columns).step_by(BLOCK) {
            let length = BLOCK.min(columns - start);
            let Some((block, rest)) = later.split_at_mut_checked(length) else { break };
            let mut squares = none;
            for (j, value) in block.iter().enumerate() {
                let mut value = *value;
                let above = from(self.upper, start * columns + start + j);
                for (error, &u) in errors.iter().take(j).zip(above.iter().step_by(columns)) {
                    let u = simd.splat_f32s(u);
                    for r in 0..V {
                        value[r] = simd.mul_add_e_f32s(u, error[r], value[r]);
                    }
                }
                let group = (start + j) / self.grid.group;
                let (Some(weight), Some(scale), Some(zero)) =
                    (weights.next(), scale.get(group), zero.get(group))
                else {
                    break;
                };
                let diagonal = above.get(j * columns).copied().unwrap_or(1.0);
                for r in 0..V {
                    let from = if nearest { weight[r] } else { value[r] };
                    weight[r] = snap(simd, from, scale[r], zero[r], low, high);
                    let error = simd.div_f32s(simd.sub_f32s(weight[r], value[r]), simd.splat_f32s(diagonal));
                    squares[r] = simd.mul_add_e_f32s(error, error, squares[r]);
                    if let Some(place) = errors.get_mut(j) {
                        place[r] = error;
                    }
                }
            }
            total += squares.iter().map(|&sum| f64::from(simd.reduce_sum_f32s(sum))).sum::<f64>();
            let place = start * columns + start + length;
            for (k, some) in rest.chunks_mut(LATER).enumerate() {
                let above = from(self.upper, place + k * LATER).chunks(columns);
                take_up(simd, some, &errors, above.take(length));
            }
            later = rest;
        }
        total
    }
}

/// Let some columns take up the errors of a block; `above` are the rows of U from the first of these columns on.
#[inline(always)]
fn take_up<'a, S: Simd, const V: usize>(
    simd: S,
    some: &mut [Column<S, V>],
    errors: &[Column<S, V>],
    above: impl Iterator<Item = &'a [f32]>,
) {
    let mut sums = [[simd.splat_f32s(0.0); V]; LATER];
    for (sum, value) in sums.iter_mut().zip(some.iter()) {
        *sum = *value;
    }
    for (error, row) in errors.iter().zip(above) {
        let mut factors = [0.0; LATER];
        for (factor, &u) in factors.iter_mut().zip(row) {
            *factor = u;
        }
        for k in 0..LATER {
            let u = simd.splat_f32s(factors[k]);
            for r in 0..V {
                sums[k][r] = simd.mul_add_e_f32s(u, error[r], sums[k][r]);
            }
        }
    }
    for (value, sum) in some.iter_mut().zip(sums) {
        *value = sum;
    }
}

/// The nearest value of a grid; codes that are far out are brought near first, where fractions still have room.
#[inline(always)]
fn snap<S: Simd>(simd: S, x: S::f32s, scale: S::f32s, zero: S::f32s, low: S::f32s, high: S::f32s) -> S::f32s {
    let (integers, one) = (simd.splat_f32s(INTEGERS), simd.splat_f32s(1.0));
    let (least, most) =
        (simd.sub_f32s(simd.sub_f32s(low, zero), one), simd.add_f32s(simd.sub_f32s(high, zero), one));
    let code = simd.min_f32s(simd.max_f32s(simd.div_f32s(x, scale), least), most);
    let code = simd.add_f32s(simd.sub_f32s(simd.add_f32s(code, integers), integers), zero);
    simd.mul_f32s(simd.sub_f32s(simd.min_f32s(simd.max_f32s(code, low), high), zero), scale)
}

/// Columns of `V` vectors.
#[inline(always)]
fn columns_of<S: Simd, const V: usize>(values: &mut [f32]) -> &mut [Column<S, V>] {
    S::as_mut_simd_f32s(values).0.as_chunks_mut::<V>().0
}

/// Write rows of so many columns beside each other, one a lane; lanes without a row get `other`.
fn turn(rows: &[f32], columns: usize, out: &mut [f32], lanes: usize, other: f32) {
    out.fill(other);
    for (lane, row) in rows.chunks_exact(columns).enumerate() {
        for (from, to) in row.iter().zip(out.iter_mut().skip(lane).step_by(lanes)) {
            *to = *from;
        }
    }
}

/// What lies from one place on.
#[inline(always)]
fn from(values: &[f32], place: usize) -> &[f32] {
    values.get(place..).unwrap_or_default()
}

/// At most the first `count` values.
fn head(values: &[f32], count: usize) -> &[f32] {
    values.get(..count).unwrap_or(values)
}
