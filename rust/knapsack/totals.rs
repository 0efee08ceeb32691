//! Totals of a choice that is changed class by class: what a frontier reports without adding every unit anew.

use super::input::Input;
use super::outcome::Sum;
use super::problem::Classes;
use super::reduce::Reduced;

/// The current item of each class, their cost in grid steps above the cheapest choice, and their loss.
pub struct Totals<'a> {
    input: &'a Input<'a>,
    classes: &'a Classes,
    reduced: &'a Reduced,
    items: Vec<u32>,
    cost: i64,
    loss: Sum,
}

impl<'a> Totals<'a> {
    /// Starts at the cheapest item of each class.
    pub fn new(input: &'a Input<'a>, classes: &'a Classes, reduced: &'a Reduced) -> Self {
        let items = reduced.start[..reduced.len()].to_vec();
        let cost = items.iter().map(|&item| reduced.cost[item as usize]).sum();
        let mut totals = Self { input, classes, reduced, items: Vec::new(), cost, loss: Sum::default() };
        items.iter().enumerate().for_each(|(class, &item)| totals.count(class, item, 1.0));
        totals.items = items;
        totals
    }

    /// Reduced item of each class.
    pub fn items(&self) -> &[u32] {
        &self.items
    }

    /// Moves a class to another item.
    pub fn take(&mut self, class: u32, item: u32) {
        let class = class as usize;
        let old = std::mem::replace(&mut self.items[class], item);
        self.cost += self.reduced.cost[item as usize] - self.reduced.cost[old as usize];
        self.count(class, old, -1.0);
        self.count(class, item, 1.0);
    }

    /// Cost, in the units of the input, and loss of a choice that differs by these changes.
    pub fn with(&self, cost: i64, loss: f64) -> (f64, f64) {
        (self.classes.total_of(0, self.cost + cost), self.loss.with(loss))
    }

    /// Turns costs of choices that differ by at most `most` into the units of the input; the same as `with`.
    #[inline(always)]
    pub fn costs(&self, changes: impl Iterator<Item = i64>, most: i64, costs: &mut Vec<f64>) {
        match self.classes.line(0, self.cost, self.cost + most) {
            Some((floor, step, Some(scale))) => {
                costs.extend(changes.map(|change| (floor + change * step) as f64 / scale));
            }
            Some((floor, step, None)) => costs.extend(changes.map(|change| (floor + change * step) as f64)),
            None => costs.extend(changes.map(|change| self.classes.total_of(0, self.cost + change))),
        }
    }

    /// Losses of choices that differ by these changes.
    #[inline(always)]
    pub fn losses(&self, changes: impl Iterator<Item = f64>, losses: &mut Vec<f64>) {
        losses.extend(changes.map(|change| self.loss.with(change)));
    }

    /// Adds the raw losses of an item.
    fn count(&mut self, class: usize, item: u32, sign: f64) {
        let format = self.classes.format[self.reduced.item[item as usize] as usize] as usize;
        for &unit in self.classes.members_of(class) {
            self.loss.add(sign * self.input.loss[unit as usize * self.input.formats + format]);
        }
    }
}
