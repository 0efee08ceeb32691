//! Loops that do at once what a program says in several operators: read, touch, combine two numbers, touch, and sum.
//!
//! Each element takes the operations one at a time and sums keep the order of `reduce`, so the bits are those of one
//! operator after the other; only the passes over memory between them are gone.

use pulp::{Simd, WithSimd};

use crate::dsl::kernels::reduce::{in_pairs, whole};

/// What becomes of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Nothing.
    Plain,
    /// |v|.
    Abs,
    /// v v.
    Square,
}

/// How two numbers are combined, left and right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// left right.
    Mul,
    /// added + left right, rounded twice.
    MulAdd,
    /// left + right.
    Add,
    /// left - right.
    Sub,
    /// right - left.
    SubFrom,
    /// Two products of what the right is: added right + left touch(right), each rounded.
    TwoAdd,
    /// added right - left touch(right).
    TwoSub,
    /// left touch(right) - added right.
    TwoSubFrom,
}

/// The numbers on the right: computed, or as a table holds them.
#[derive(Clone, Copy, Debug)]
pub enum Numbers<'a> {
    /// Computed.
    Wide(&'a [f64]),
    /// Of a table.
    Short(&'a [f32]),
}

/// `pair(left, touch(right))`; without a pair `touch(right)`.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a> {
    /// How left and right are combined; none leaves out the left.
    pub pair: Option<Pair>,
    /// As long as the right where there is a pair.
    pub left: &'a [f64],
    /// For `MulAdd` and the pairs of two products.
    pub added: &'a [f64],
    /// What becomes of the right first.
    pub touch: Touch,
    /// The right.
    pub right: Numbers<'a>,
}

impl Chain<'_> {
    /// Puts the elements into `out`.
    #[inline(always)]
    pub fn store<S: Simd>(self, simd: S, out: &mut [f64]) {
        self.run(simd, Store(out));
    }

    /// The sum of one block of the elements, each touched by `after`.
    #[inline(always)]
    pub fn sum<S: Simd>(self, simd: S, after: Touch) -> f64 {
        match after {
            Touch::Plain => self.run(simd, Sum(|v: f64| v)),
            Touch::Abs => self.run(simd, Sum(|v: f64| v.abs())),
            Touch::Square => self.run(simd, Sum(|v: f64| v * v)),
        }
    }

    #[inline(always)]
    fn run<S: Simd, E: End>(self, simd: S, end: E) -> E::Output {
        match self.right {
            Numbers::Wide(right) => self.touched(simd, right, end),
            Numbers::Short(right) => self.touched(simd, right, end),
        }
    }

    #[inline(always)]
    fn touched<S: Simd, B: Copy + Into<f64>, E: End>(self, simd: S, right: &[B], end: E) -> E::Output {
        match self.touch {
            Touch::Plain => self.paired(simd, right, |v| v, end),
            Touch::Abs => self.paired(simd, right, |v| v.abs(), end),
            Touch::Square => self.paired(simd, right, |v| v * v, end),
        }
    }

    #[inline(always)]
    fn paired<S: Simd, B: Copy + Into<f64>, E: End>(
        self,
        simd: S,
        right: &[B],
        touch: impl Fn(f64) -> f64,
        end: E,
    ) -> E::Output {
        let (one, two) = ([self.left], [self.left, self.added]);
        match self.pair {
            None => simd.vectorize(of([], right, |[], v| touch(v), end)),
            Some(Pair::Mul) => simd.vectorize(of(one, right, |[a], v| a * touch(v), end)),
            Some(Pair::MulAdd) => simd.vectorize(of(two, right, |[a, c], v| c + a * touch(v), end)),
            Some(Pair::Add) => simd.vectorize(of(one, right, |[a], v| a + touch(v), end)),
            Some(Pair::Sub) => simd.vectorize(of(one, right, |[a], v| a - touch(v), end)),
            Some(Pair::SubFrom) => simd.vectorize(of(one, right, |[a], v| touch(v) - a, end)),
            Some(Pair::TwoAdd) => simd.vectorize(of(two, right, |[a, c], v| c * v + a * touch(v), end)),
            Some(Pair::TwoSub) => simd.vectorize(of(two, right, |[a, c], v| c * v - a * touch(v), end)),
            Some(Pair::TwoSubFrom) => simd.vectorize(of(two, right, |[a, c], v| a * touch(v) - c * v, end)),
        }
    }
}

/// What becomes of the elements.
///
/// Eights are asked for one by one: see `elementwise::eights`.
trait End {
    type Output;
    fn take(self, eights: impl Iterator<Item = [f64; 8]>, rest: impl Iterator<Item = f64>) -> Self::Output;
}

struct Store<'a>(&'a mut [f64]);

impl End for Store<'_> {
    type Output = ();

    #[inline(always)]
    fn take(self, mut eights: impl Iterator<Item = [f64; 8]>, rest: impl Iterator<Item = f64>) {
        let (out, out_rest) = self.0.as_chunks_mut::<8>();
        out.iter_mut().for_each(|to| *to = eights.next().unwrap_or([f64::NAN; 8]));
        out_rest.iter_mut().zip(rest).for_each(|(to, from)| *to = from);
    }
}

struct Sum<F>(F);

impl<F: Fn(f64) -> f64> End for Sum<F> {
    type Output = f64;

    #[inline(always)]
    fn take(self, eights: impl Iterator<Item = [f64; 8]>, rest: impl Iterator<Item = f64>) -> f64 {
        let mut lanes = [0.0; 8];
        for eight in eights {
            for (lane, v) in lanes.iter_mut().zip(eight) {
                *lane += (self.0)(v);
            }
        }
        let mut lanes = whole(lanes);
        for (lane, v) in lanes.iter_mut().zip(rest) {
            *lane += (self.0)(v);
        }
        in_pairs(lanes)
    }
}

struct Loop<'a, const N: usize, B, F, E> {
    wide: [&'a [f64]; N],
    right: &'a [B],
    f: F,
    end: E,
}

fn of<'a, const N: usize, B, F: Fn([f64; N], f64) -> f64, E>(
    wide: [&'a [f64]; N],
    right: &'a [B],
    f: F,
    end: E,
) -> Loop<'a, N, B, F, E> {
    Loop { wide, right, f, end }
}

impl<const N: usize, B, F, E> WithSimd for Loop<'_, N, B, F, E>
where
    B: Copy + Into<f64>,
    F: Fn([f64; N], f64) -> f64,
    E: End,
{
    type Output = E::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> E::Output {
        let Loop { wide, right, f, end } = self;
        let (rights, right_rest) = right.as_chunks::<8>();
        let (mut rights, mut wides) = (rights.iter(), wide.map(|wide| wide.as_chunks::<8>().0.iter()));
        let eights = std::iter::from_fn(|| {
            let right = rights.next()?;
            let wide = wides.each_mut().map(|wides| wides.next().copied().unwrap_or([f64::NAN; 8]));
            let element = |lane: usize| f(std::array::from_fn(|side| wide[side][lane]), right[lane].into());
            Some(std::array::from_fn(element))
        });
        let mut rests = wide.map(|wide| wide.as_chunks::<8>().1.iter());
        let rest = right_rest.iter().map(|right| {
            let wide = rests.each_mut().map(|rests| rests.next().copied().unwrap_or(f64::NAN));
            f(wide, (*right).into())
        });
        end.take(eights, rest)
    }
}
