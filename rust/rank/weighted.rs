//! Weighted tau: agreement in which pairs at the top of either ranking count most.
//!
//! Every pair (i, j) weighs h(r_i) + h(r_j) with the hyperbolic h(r) = 1 / (1 + r), where r = 0 is the largest value. The
//! ranks come once from x (ties told apart by y) and once from y (ties by x), and the two results are averaged.
//! Source: S. Vigna, "A weighted correlation index for rankings with ties", WWW 2015; the merge sort is Knight's.

/// Buffers of one row.
#[derive(Default)]
pub struct Weighted {
    order: Vec<u32>,
    from: Vec<Item>,
    to: Vec<Item>,
}

#[derive(Clone, Copy)]
struct Item {
    x: f64,
    y: f64,
    weight: f64,
}

impl Weighted {
    /// Weighted tau of two rows of equal length without NaN; NaN when either is constant.
    pub fn tau(&mut self, x: &[f64], y: &[f64]) -> f64 {
        f64::midpoint(self.one_way(x, y), self.one_way(y, x))
    }

    /// Weights by the ranks of x, ties of x told apart by y.
    fn one_way(&mut self, x: &[f64], y: &[f64]) -> f64 {
        let at = |row: &[f64], place: u32| row.get(place as usize).copied().unwrap_or(f64::NAN) + 0.0;
        let len = x.len();
        self.order.clear();
        self.order.extend(0..len as u32);
        self.order.sort_unstable_by(|&a, &b| {
            at(x, a).total_cmp(&at(x, b)).then(at(y, a).total_cmp(&at(y, b))).then(a.cmp(&b))
        });
        self.from.clear();
        self.from.extend(self.order.iter().enumerate().map(|(place, &index)| Item {
            x: at(x, index),
            y: at(y, index),
            weight: 1.0 / (len - place) as f64,
        }));
        let all = run_weight(&self.from);
        let tied_x = tie_weight(&self.from, |a, b| a.x == b.x);
        let tied_both = tie_weight(&self.from, |a, b| a.x == b.x && a.y == b.y);
        let discordant = self.discordant();
        let tied_y = tie_weight(&self.from, |a, b| a.y == b.y);
        if self.from.windows(2).all(|pair| matches!(pair, [a, b] if a.y == b.y))
            || self.order.windows(2).all(|pair| matches!(pair, &[a, b] if at(x, a) == at(x, b)))
        {
            return f64::NAN;
        }
        let difference = all - (tied_x + tied_y - tied_both) - 2.0 * discordant;
        (difference / ((all - tied_x) * (all - tied_y)).sqrt()).clamp(-1.0, 1.0)
    }

    /// Weight of the pairs whose y goes down while x goes up; leaves `from` sorted by y.
    fn discordant(&mut self) -> f64 {
        let mut weight = 0.0;
        let mut width = 1;
        while width < self.from.len() {
            self.to.clear();
            for run in self.from.chunks(2 * width) {
                let (left, right) = run.split_at(width.min(run.len()));
                weight += merge(left, right, &mut self.to);
            }
            std::mem::swap(&mut self.from, &mut self.to);
            width *= 2;
        }
        weight
    }
}

/// Merges two runs sorted by y; returns the weight of the pairs with the larger y on the left.
fn merge(left: &[Item], right: &[Item], to: &mut Vec<Item>) -> f64 {
    let mut weight = 0.0;
    let mut remaining: f64 = left.iter().map(|item| item.weight).sum();
    let mut left = left.iter().peekable();
    let mut right = right.iter().peekable();
    loop {
        match (left.peek(), right.peek()) {
            (Some(a), Some(b)) if a.y > b.y => {
                weight += remaining + left.len() as f64 * b.weight;
                to.extend(right.next());
            }
            (Some(a), _) => {
                remaining -= a.weight;
                to.extend(left.next());
            }
            (None, Some(_)) => to.extend(right.next()),
            (None, None) => return weight,
        }
    }
}

/// Weight of all pairs within runs of neighbours that `same` holds equal.
fn tie_weight(items: &[Item], same: impl Fn(&Item, &Item) -> bool) -> f64 {
    items.chunk_by(same).map(run_weight).sum()
}

/// Weight of all pairs of a run: every member meets all others.
fn run_weight(run: &[Item]) -> f64 {
    run.len().saturating_sub(1) as f64 * run.iter().map(|item| item.weight).sum::<f64>()
}
