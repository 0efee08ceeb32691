//! Sums over samples n of gradients and of their squares: `sum g_n` and `sum g_n^2`, `g_n = sum_p a_np b_np^T`.
//!
//! A tile of g_n, some rows by three vectors, never leaves the registers; its sums over all samples stay in the first
//! cache, and go to memory once. The tile has as many rows as the machine has registers for.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Vectors of a row of a tile.
const VECTORS: usize = 3;
/// Elements of b that are laid out as tiles read them, at once: a megabyte stays in the cache.
const BLOCK: usize = 1 << 18;
/// Rows that a thread takes at once.
const ROWS: usize = 64;

/// What the sums cannot be made of.
#[derive(Debug)]
pub struct Misfit(pub &'static str);

/// The factors of all samples: `a` [samples, positions, rows] and `b` [samples, positions, columns].
#[derive(Clone, Copy)]
pub struct Outer<'a> {
    a: &'a [f32],
    b: &'a [f32],
    positions: usize,
    rows: usize,
    columns: usize,
}

impl<'a> Outer<'a> {
    /// Factors of `positions` positions a sample.
    ///
    /// # Errors
    /// An axis without elements, or factors of unequal length.
    pub fn new(
        a: &'a [f32],
        b: &'a [f32],
        positions: usize,
        (rows, columns): (usize, usize),
    ) -> Result<Outer<'a>, Misfit> {
        if positions == 0 || rows == 0 || columns == 0 {
            return Err(Misfit("no axis is empty"));
        }
        if a.len() / rows != b.len() / columns || a.len() % rows + b.len() % columns != 0 {
            return Err(Misfit("both factors have the same samples and positions"));
        }
        Ok(Outer { a, b, positions, rows, columns })
    }

    /// Add to `total` and `square` [rows, columns], on so many threads (0: all cores).
    ///
    /// # Errors
    /// Sums of another shape.
    pub fn add(&self, total: &mut [f32], square: &mut [f32], threads: usize) -> Result<(), Misfit> {
        if total.len() / self.columns != self.rows || total.len() != square.len() {
            return Err(Misfit("the sums have the rows of a and the columns of b"));
        }
        if threads != 1
            && self.rows > ROWS
            && let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(threads).build()
        {
            let size = ROWS * self.columns;
            let parts = total.par_chunks_mut(size).zip(square.par_chunks_mut(size)).enumerate();
            pool.install(|| {
                parts.for_each(|(part, (total, square))| self.add_rows(part * ROWS, total, square))
            });
        } else {
            self.add_rows(0, total, square);
        }
        Ok(())
    }

    fn add_rows(&self, first: usize, total: &mut [f32], square: &mut [f32]) {
        Arch::new().dispatch(Add { outer: *self, first, total, square });
    }
}

/// Adds to the sums of the rows from `first` on.
struct Add<'a> {
    outer: Outer<'a>,
    first: usize,
    total: &'a mut [f32],
    square: &'a mut [f32],
}

impl WithSimd for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if S::REGISTER_COUNT >= 32 {
            self.tiles::<S, 8>(simd);
        } else {
            self.tiles::<S, 4>(simd);
        }
    }
}

impl Add<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const R: usize>(self, simd: S) {
        let Outer { a, b, positions, rows, columns } = self.outer;
        let (width, items) = (S::F32_LANES * VECTORS, b.len() / columns);
        let block = (BLOCK / items.max(1) / width).max(1) * width;
        let mut left = vec![[0.0; R]; items];
        let mut right = vec![[simd.splat_f32s(0.0); VECTORS]; items * block.min(columns).div_ceil(width)];
        for start in (0..columns).step_by(block) {
            let starts = (start..columns.min(start + block)).step_by(width);
            for (start, panel) in starts.clone().zip(right.chunks_exact_mut(items.max(1))) {
                for (to, from) in panel.iter_mut().zip(b.chunks_exact(columns)) {
                    for (to, at) in to.iter_mut().zip((start..).step_by(S::F32_LANES)) {
                        *to = simd.partial_load_f32s(part(from, at, S::F32_LANES));
                    }
                }
            }
            let sums = self.total.chunks_mut(R * columns).zip(self.square.chunks_mut(R * columns));
            for ((total, square), row) in sums.zip((self.first..).step_by(R)) {
                for (to, from) in left.iter_mut().zip(a.chunks_exact(rows)) {
                    for (to, from) in to.iter_mut().zip(part(from, row, R)) {
                        *to = *from;
                    }
                }
                for (start, panel) in starts.clone().zip(right.chunks_exact(items.max(1))) {
                    let [sum, squares] = tile(simd, &left, panel, positions);
                    add_to(simd, total, columns, start, &sum);
                    add_to(simd, square, columns, start, &squares);
                }
            }
        }
    }
}

type Tile<V, const R: usize> = [[V; VECTORS]; R];

/// The sums over samples of one tile of g and of g^2.
#[inline(always)]
fn tile<S: Simd, const R: usize>(
    simd: S,
    a: &[[f32; R]],
    b: &[[S::f32s; VECTORS]],
    positions: usize,
) -> [Tile<S::f32s, R>; 2] {
    let none = [[simd.splat_f32s(0.0); VECTORS]; R];
    let (mut sum, mut squares) = (none, none);
    for (a, b) in a.chunks_exact(positions).zip(b.chunks_exact(positions)) {
        let mut each = none;
        for (a, b) in a.iter().zip(b) {
            for r in 0..R {
                let left = simd.splat_f32s(a[r]);
                for v in 0..VECTORS {
                    each[r][v] = simd.mul_add_e_f32s(left, b[v], each[r][v]);
                }
            }
        }
        for r in 0..R {
            for v in 0..VECTORS {
                sum[r][v] = simd.add_f32s(sum[r][v], each[r][v]);
                squares[r][v] = simd.mul_add_e_f32s(each[r][v], each[r][v], squares[r][v]);
            }
        }
    }
    [sum, squares]
}

/// Add a tile to rows of `columns` values, from one column on; what lies beyond the rows is left out.
#[inline(always)]
fn add_to<S: Simd, const R: usize>(
    simd: S,
    rows: &mut [f32],
    columns: usize,
    start: usize,
    tile: &Tile<S::f32s, R>,
) {
    for (row, values) in rows.chunks_exact_mut(columns).zip(tile) {
        for (value, at) in values.iter().zip((start..).step_by(S::F32_LANES)) {
            let end = columns.min(at + S::F32_LANES);
            let to = row.get_mut(at.min(end)..end).unwrap_or_default();
            simd.partial_store_f32s(to, simd.add_f32s(simd.partial_load_f32s(to), *value));
        }
    }
}

/// At most `count` values from one place on.
#[inline(always)]
fn part(values: &[f32], at: usize, count: usize) -> &[f32] {
    let end = values.len().min(at + count);
    values.get(at.min(end)..end).unwrap_or_default()
}
