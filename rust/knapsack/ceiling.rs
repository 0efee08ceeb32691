//! Largest loss with which a state between two supported points may still lead to a new point, by its cost.
//!
//! A point that costs x' must lie below the staircase known so far, which caps its excess. To get from x to x'
//! a state pays `up` or `down` for each unit of cost, so the cap at x is the largest cap of a point once that
//! is paid; and a state that a stair beats leads nowhere. Both are tabulated in buckets of equal width, caps
//! in wide ones and stairs in narrow ones, rounded towards keeping too much.

use pulp::{Arch, Simd, WithSimd};

use super::interval::Span;
use super::state::{Key, MOST, coarse, upper};

/// What the classes that have not entered yet can do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rest {
    /// Least excess per cost added and per cost taken away.
    pub rates: [f64; 2],
    /// Largest cost that they can add and take away together.
    pub reach: [i64; 2],
}

/// The caps for one staircase and one rest.
#[derive(Clone, Debug, Default)]
pub struct Ceiling {
    /// Upper half of the largest loss in each narrow bucket: of the stairs, then of what may lead to a point.
    limit: Vec<i32>,
    /// Largest excess of a point in each wide bucket, by the points known from the start.
    known: Vec<f64>,
    /// The same by these and the stairs.
    corner: Vec<f64>,
    /// Largest excess of a state in each wide bucket.
    cap: Vec<f64>,
    /// Price of what lies below each narrow bucket of a wide one, rounded down.
    ramp: Vec<i32>,
    /// Number of narrow buckets.
    len: usize,
    /// At the ends of the interval, before what lies outside is paid: below the cheaper, above the dearer.
    ends: [f64; 2],
    rest: Rest,
    /// Units of loss to one.
    units: f64,
    span: i64,
    price: f64,
    error: f64,
    /// A wide bucket holds 2^wide of cost, a narrow one 2^narrow.
    wide: u32,
    narrow: u32,
}

/// Caps of states outside the ends.
#[derive(Clone, Copy, Debug)]
pub struct Outside {
    ends: [f64; 2],
    rest: Rest,
    span: i64,
    price: f64,
}

impl Outside {
    /// Whether a state outside the ends may lead to a point between them.
    #[inline(always)]
    pub fn may_return<K: Key>(self, key: K) -> bool {
        let ([below, above], Rest { rates, reach }) = (self.ends, self.rest);
        let (cost, is_below) = (key.cost(), key.cost() < 0);
        let pick = |below, above| if is_below { below } else { above };
        let (end, rate) = (pick(below, above), pick(rates[0], rates[1]));
        let (out, reach) = if is_below { (-cost, reach[0]) } else { (cost - self.span, reach[1]) };
        let cap = end - rate * out as f64 - self.price * cost as f64;
        (coarse(key.upper()) < cap + 1.0) & (out <= reach) & (reach != 0)
    }
}

/// Coarse ticks of a unit.
const TICKS: f64 = (1 << 29) as f64;
const WIDE: i64 = 32;
const NARROW: i64 = 4096;
/// Buckets that are filled at once.
const STEP: usize = 8;

impl Ceiling {
    /// Begins an interval with points known to exist, by rising cost and falling loss; returns the largest
    /// excess of a point below them.
    pub fn begin(&mut self, known: &[(i64, f64)], span: &Span) -> f64 {
        (self.span, self.price) = (span.cost, span.price);
        self.wide = (0..63).find(|wide| span.cost >> wide < WIDE).unwrap_or(63);
        self.known.clear();
        self.known.resize((span.cost >> self.wide) as usize + 1, f64::NEG_INFINITY);
        for (at, &(cost, loss)) in known.iter().enumerate() {
            let next = known.get(at + 1).map_or(span.cost, |&(cost, _)| cost);
            for bucket in cost >> self.wide..=next >> self.wide {
                let end = next.min((bucket << self.wide).saturating_add(1 << self.wide));
                let cap = &mut self.known[bucket as usize];
                *cap = cap.max(loss + span.price * end as f64);
            }
        }
        self.known.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// Counts losses in coarse ticks from now on, with so many units to one, and raises all caps by a bound on the
    /// rounding error of an excess.
    pub fn count(&mut self, units: f64, error: f64) {
        self.units = units;
        self.price = self.price * units * TICKS;
        self.known.iter_mut().for_each(|cap| *cap = *cap * units * TICKS);
        // Three roundings to whole ticks.
        self.error = error * units * TICKS + 3.0;
    }

    /// Tabulates what may lead to a point; returns the largest excess of one.
    pub fn fill<K: Key>(&mut self, stairs: &[K], rest: &Rest) -> f64 {
        Arch::new().dispatch(Fill { ceiling: self, stairs, rest })
    }

    #[inline(always)]
    fn tabulate<K: Key>(&mut self, stairs: &[K], rest: &Rest) -> f64 {
        let buckets = (2 * stairs.len() as i64).clamp(WIDE, NARROW);
        self.narrow = self.wide;
        while self.narrow > 0 && self.span >> self.narrow < buckets {
            self.narrow -= 1;
        }
        self.lay(stairs);
        self.bound();
        let mut most = f64::NEG_INFINITY;
        for (corner, known) in self.corner.iter_mut().zip(&self.known) {
            *corner = corner.min(*known) + self.error;
            most = most.max(*corner);
        }
        self.rest = Rest { rates: rest.rates.map(|rate| rate * self.units * TICKS), reach: rest.reach };
        self.spread();
        for (at, chunk) in self.limit[..self.len].chunks_mut(self.ramp.len()).enumerate() {
            let cap = upper(self.cap[at] - self.price * ((at as i64) << self.wide) as f64);
            for (limit, ramp) in chunk.iter_mut().zip(&self.ramp) {
                let cap = cap - ramp;
                *limit = if *limit < cap { *limit } else { cap };
            }
        }
        most / TICKS / self.units
    }

    /// Caps on the loss between the ends, each for 2^shift of cost, and that shift.
    #[inline]
    pub fn inside(&self) -> (&[i32], u32) {
        (&self.limit[..self.len], self.narrow)
    }

    /// What is known of the states outside the ends.
    #[inline]
    pub fn outside(&self) -> Outside {
        Outside { ends: self.ends, rest: self.rest, span: self.span, price: self.price }
    }

    /// Tabulates the staircase: above the loss of the last stair that costs no more than each narrow bucket.
    #[inline(always)]
    fn lay<K: Key>(&mut self, stairs: &[K]) {
        let (n, round) = ((self.span >> self.narrow) as usize + 1, (1i64 << self.narrow) - 1);
        let bucket = |stair: &K| ((stair.cost().max(0) + round) >> self.narrow) as usize;
        if self.limit.len() < n + STEP {
            self.limit.resize(n + STEP, 0);
        }
        self.len = n;
        let mut from = stairs.first().map_or(n, bucket).min(n);
        self.limit[..from].fill(MOST);
        for (at, stair) in stairs.iter().enumerate() {
            let to = stairs.get(at + 1).map_or(n, bucket).min(n);
            let limit = stair.upper() + 1;
            // A few buckets at once; what is too much the next stair overwrites.
            self.limit[from..from + STEP].fill(limit);
            if to > from + STEP {
                self.limit[from + STEP..to].fill(limit);
            }
            from = to;
            if from == n {
                break;
            }
        }
        let width = self.price * (1i64 << self.narrow) as f64;
        self.ramp.clear();
        self.ramp.extend((0..1 << (self.wide - self.narrow)).map(|at| (f64::from(at) * width) as i32));
    }

    /// Largest excess of a point below the staircase in each wide bucket.
    #[inline(always)]
    fn bound(&mut self) {
        let width = self.price * (1i64 << self.narrow) as f64;
        self.corner.clear();
        for (at, chunk) in self.limit[..self.len].chunks(self.ramp.len()).enumerate() {
            let start = self.price * ((at as i64) << self.wide) as f64;
            let most = chunk.iter().zip(&self.ramp).map(|(limit, ramp)| limit + ramp).fold(0, i32::max);
            let most = coarse(most) + (start + width);
            let last = chunk.first().map_or(most, |&limit| coarse(limit) + self.price * self.span as f64);
            self.corner.push(most.min(last));
        }
    }

    /// Caps of states from those of points: what lies whole buckets away is paid for.
    #[inline(always)]
    fn spread(&mut self) {
        let n = self.corner.len();
        let width = (1i64 << self.wide) as f64;
        let [up, down] = self.rest.rates.map(|rate| rate * width);
        self.cap.clear();
        self.cap.extend_from_slice(&self.corner);
        let mut reach = [f64::NEG_INFINITY; 2];
        for at in 0..n {
            let back = n - 1 - at;
            self.cap[at] = self.cap[at].max(reach[1]);
            self.cap[back] = self.cap[back].max(reach[0]);
            // The last bucket may be narrower than the others: what lies beyond it pays from its start.
            let paid = if back == 0 { reach[1] } else { reach[1] - down };
            reach = [self.corner[back].max(reach[0] - up), self.corner[at].max(paid)];
        }
        self.ends = reach;
    }
}

/// Tabulates with the instructions of the machine.
struct Fill<'a, K> {
    ceiling: &'a mut Ceiling,
    stairs: &'a [K],
    rest: &'a Rest,
}

impl<K: Key> WithSimd for Fill<'_, K> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        self.ceiling.tabulate(self.stairs, self.rest)
    }
}
