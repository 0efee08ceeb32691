//! Visits every set of moves, one a class, whose excess stays below a threshold, and keeps the best that fits.
//!
//! With prices p, a set is worth its summed excess plus p times the slack it leaves. Moves are sorted by excess;
//! each set is visited once, and a branch is left when no later move can repair its slacks below the
//! threshold (`rates`).

use super::outcome::Meter;
use super::rates::Rates;

/// Moves by rising excess.
#[derive(Clone, Debug, Default)]
pub struct Moves {
    /// Excess of each move, not negative.
    pub excess: Vec<f64>,
    /// Cost change of each move, `[moves * m]`.
    pub change: Vec<i64>,
    /// Class of each move, below `classes`.
    pub class: Vec<u32>,
    /// Number of classes.
    pub classes: usize,
}

/// A set of moves that is being extended.
#[derive(Clone, Copy, Debug)]
struct Frame<const M: usize> {
    slack: [i64; M],
    excess: f64,
    next: usize,
}

/// The best set below a threshold, and whether a limit was passed before all were seen.
#[derive(Clone, Debug, Default)]
pub struct Best {
    /// Worth and moves of the set.
    pub set: Option<(f64, Vec<usize>)>,
    /// Whether a limit was passed.
    pub spent: bool,
}

impl Moves {
    /// Best set of the moves, starting from `slack`, below `threshold`.
    pub fn best(&self, prices: &[f64], slack: &[i64], threshold: f64, meter: &mut Meter) -> Best {
        match prices.len() {
            0..=2 => self.visit::<2>(prices, slack, threshold, meter),
            3 => self.visit::<3>(prices, slack, threshold, meter),
            4 => self.visit::<4>(prices, slack, threshold, meter),
            5..=8 => self.visit::<8>(prices, slack, threshold, meter),
            9..=16 => self.visit::<16>(prices, slack, threshold, meter),
            _ => self.visit::<64>(prices, slack, threshold, meter),
        }
    }

    fn visit<const M: usize>(
        &self,
        prices: &[f64],
        slack: &[i64],
        threshold: f64,
        meter: &mut Meter,
    ) -> Best {
        let m = prices.len();
        let costs: Vec<[i64; M]> = self.change.chunks(m).map(padded).collect();
        let rates = Rates::<M>::new(prices, &self.excess, &costs);
        let priced = |slack: &[i64; M]| -> f64 { slack.iter().zip(prices).map(|(&s, p)| s as f64 * p).sum() };
        let mut threshold = threshold;
        let mut taken = vec![false; self.classes];
        let mut frames = vec![Frame { slack: padded(slack), excess: 0.0, next: 0 }];
        let mut path: Vec<usize> = Vec::new();
        let mut best = Best::default();
        if slack.iter().all(|&slack| slack >= 0) && priced(&frames[0].slack) < threshold {
            threshold = priced(&frames[0].slack);
            best.set = Some((threshold, Vec::new()));
        }
        while let Some(frame) = frames.last_mut() {
            let (at, room) = (frame.next, threshold - frame.excess);
            let ends = at >= self.excess.len() || self.excess[at] >= room;
            if best.spent || ends || rates.least(at, &frame.slack) >= room {
                frames.pop();
                if let Some(last) = path.pop() {
                    taken[self.class[last] as usize] = false;
                }
                continue;
            }
            frame.next += 1;
            let class = self.class[at] as usize;
            if taken[class] {
                continue;
            }
            let mut child =
                Frame { slack: frame.slack, excess: frame.excess + self.excess[at], next: at + 1 };
            child.slack.iter_mut().zip(&costs[at]).for_each(|(slack, cost)| *slack -= cost);
            taken[class] = true;
            path.push(at);
            if child.slack.iter().all(|&slack| slack >= 0) && child.excess + priced(&child.slack) < threshold
            {
                threshold = child.excess + priced(&child.slack);
                best.set = Some((threshold, path.clone()));
            }
            frames.push(child);
            best.spent = meter.spend(1);
        }
        best
    }
}

fn padded<const M: usize>(values: &[i64]) -> [i64; M] {
    let mut out = [0; M];
    out.iter_mut().zip(values).for_each(|(out, value)| *out = *value);
    out
}
