//! The solver for several budgets: dual, a short search for easy problems, then branch and bound below rising cutoffs.

use super::branch::explore;
use super::dual::Dual;
use super::kept::Kept;
use super::outcome::{Limits, Meter};
use super::problem::Classes;
use super::search::{Found, Search};

/// States of the short search; most problems with few distinct costs end there.
const SHORT: u64 = 3000;

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
    loop {
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
        cut *= 1.6;
    }
}
