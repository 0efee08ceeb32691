//! The solver for several budgets: dual, a short search for easy problems, then branch and bound below rising cutoffs.

use super::branch::explore;
use super::dual::Dual;
use super::kept::Kept;
use super::outcome::{Limits, Meter};
use super::problem::Classes;
use super::search::{Found, Search};

/// States of the short search; most problems with few distinct costs end there.
const SHORT: u64 = 3000;
/// The cutoff grows by so much at least and at most from round to round.
const GROWTH: [f64; 2] = [1.02, 1.6];
/// A round may take so many times the states of the one before.
const LONGER: f64 = 3.0;
/// Rounds of fewer states are all alike.
const FEW: u64 = 16;

/// Solves `classes` from their dual; `None` when nothing fits.
pub fn solve_classes(classes: &Classes, dual: &Dual, meter: &mut Meter) -> Option<Found> {
    if dual.infeasible {
        return None;
    }
    let found = close(classes, &dual.prices, meter);
    (found.items.is_some() || !found.complete).then_some(found)
}

fn close(classes: &Classes, prices: &[f64], meter: &mut Meter) -> Found {
    let search = Search::new(classes, prices);
    let mut short = Meter::new(&Limits { nodes: SHORT.min(meter.left()), time: None });
    let mut found = search.run(&mut short);
    if meter.spend(short.nodes) || found.complete {
        return found;
    }
    let paid = search.paid();
    let mut cut = (1.5 * found.reached).max(search.some_excess());
    let (mut growth, mut before) = (GROWTH[1], 0);
    loop {
        let start = meter.nodes;
        let known = found.items.is_some().then_some(found.value);
        let threshold = known.map_or(cut, |value| value.min(cut));
        let kept = Kept::new(classes, prices, search.base(), threshold);
        let error = search.rounding(threshold);
        let explored = explore(&kept, prices, threshold - paid, meter);
        let reached = explored.bound + paid;
        if let Some((loss, items)) = explored.best {
            let mut choice = search.base().to_vec();
            let placed = kept.class.iter().zip(&items);
            placed.for_each(|(&class, &item)| choice[class as usize] = kept.item[item as usize]);
            found.items = Some(choice);
            found.value = loss + paid;
        }
        found.reached = found.reached.max(reached - error);
        found.complete = !explored.spent
            && (found.items.is_some() && found.value <= threshold || threshold > search.most());
        found.distance = (found.value - reached).max(0.0) + error;
        if found.complete || explored.spent {
            return found;
        }
        growth = raise(growth, [before, meter.nodes - start]);
        before = meter.nodes - start;
        cut *= growth;
    }
}

/// How far the cutoff is raised next, by what the last raise did to the states of a round: without a choice to stop at,
/// a round that ends far above the best one takes much longer than several that come near it.
fn raise(last: f64, states: [u64; 2]) -> f64 {
    let [before, after] = states.map(|states| states.max(FEW) as f64);
    let rise = (after / before).ln() / last.ln();
    let [least, most] = GROWTH;
    if rise > 0.0 { LONGER.powf(1.0 / rise).clamp(least, most) } else { most }
}
