"""Bit allocation by looking at every assignment."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Problem:
    """minimise sum loss[l, c_l] subject to sum cost_k[l, c_l] <= budget_k, groups equal, choices allowed."""

    loss: np.ndarray
    """[L, F]"""
    costs: Mapping[str, np.ndarray]
    """Each [L, F]."""
    budgets: Mapping[str, float]
    groups: Sequence[Sequence[int]] = ()
    """Units that choose the same format; the others stand alone."""
    allowed: np.ndarray | None = None
    """[L, F] of bool."""
    interactions: Mapping[tuple[tuple[int, int], tuple[int, int]], float] = field(default_factory=dict)
    """Added when unit l has format f and unit m has format g."""

    @property
    def n_units(self) -> int:
        return len(self.loss)

    def blocks(self) -> list[list[int]]:
        """All groups, the units that stand alone as groups of one."""
        tied = {unit for group in self.groups for unit in group}
        alone = [[unit] for unit in range(self.n_units) if unit not in tied]
        return [list(group) for group in self.groups] + alone

    def choices(self) -> np.ndarray:
        """Every allowed assignment that respects the groups, int [N, L]; budgets not looked at."""
        allowed = np.ones(self.loss.shape, bool) if self.allowed is None else self.allowed
        blocks = self.blocks()
        options = [
            [f for f in range(self.loss.shape[1]) if all(allowed[u, f] for u in block)] for block in blocks
        ]
        rows = np.array(list(itertools.product(*options)), np.int64).reshape(-1, len(blocks))
        result = np.zeros((len(rows), self.n_units), np.int64)
        for place, block in enumerate(blocks):
            for unit in block:
                result[:, unit] = rows[:, place]
        return result

    def total(self, table: np.ndarray, choices: np.ndarray) -> np.ndarray:
        """Sum over units of table[l, c_l]; exact for integers below 2^63 and for short binary fractions."""
        return table[np.arange(self.n_units), choices].sum(axis=1)

    def objective(self, choices: np.ndarray) -> np.ndarray:
        """Loss of each assignment, pairs included."""
        total = self.total(self.loss, choices)
        for ((left, f), (right, g)), value in self.interactions.items():
            total = total + value * ((choices[:, left] == f) & (choices[:, right] == g))
        return total

    def worst(self, choices: np.ndarray) -> np.ndarray:
        """The largest loss of any unit in each assignment."""
        return self.loss[np.arange(self.n_units), choices].max(axis=1)

    def feasible(self, choices: np.ndarray) -> np.ndarray:
        """Which assignments keep every budget."""
        keep = np.ones(len(choices), bool)
        for name, budget in self.budgets.items():
            keep &= self.total(self.costs[name], choices) <= budget
        return keep

    def smallest(self) -> dict[str, float]:
        """The least total of each cost, each by itself."""
        choices = self.choices()
        return {name: min(self.total(self.costs[name], choices)) for name in self.budgets}


def optimum(problem: Problem, *, objective: str = "sum") -> float | None:
    """The smallest objective, or None when nothing fits."""
    choices = problem.choices()
    choices = choices[problem.feasible(choices)]
    if not len(choices):
        return None
    return float((problem.worst if objective == "max" else problem.objective)(choices).min())


def lexicographic(problem: Problem, cost: str) -> tuple[float, float] | None:
    """The smallest loss, and the smallest cost among the assignments that reach it."""
    choices = problem.choices()
    choices = choices[problem.feasible(choices)]
    if not len(choices):
        return None
    losses = problem.objective(choices)
    best = choices[losses == losses.min()]
    return float(losses.min()), float(problem.total(problem.costs[cost], best).min())


def ranked(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """All feasible assignments with their losses, best first."""
    choices = problem.choices()
    choices = choices[problem.feasible(choices)]
    losses = problem.objective(choices)
    order = np.argsort(losses, kind="stable")
    return choices[order], losses[order]


def pareto(problem: Problem, cost: str) -> list[tuple[float, float, bool]]:
    """Every (cost, loss) that nothing beats in both, by ascending cost; True when it is on the lower hull.

    A point is on the hull when no chord between two other points passes strictly below it.
    """
    choices = problem.choices()
    points = sorted(
        set(zip(problem.total(problem.costs[cost], choices), problem.objective(choices), strict=True))
    )
    front: list[tuple[float, float]] = []
    for c, loss in points:
        if not front or loss < front[-1][1]:
            front.append((float(c), float(loss)))
    return [(c, loss, _supported(c, loss, front)) for c, loss in front]


def _supported(cost: float, loss: float, front: list[tuple[float, float]]) -> bool:
    for left in front:
        for right in front:
            if left[0] < cost < right[0]:
                share = (cost - left[0]) / (right[0] - left[0])
                chord = left[1] + share * (right[1] - left[1])
                if loss > chord + 1e-12 * (abs(left[1]) + abs(right[1])):
                    return False
    return True


def by_table(problem: Problem, cost: str) -> float | None:
    """One budget of small integer costs: best loss of each exact total, unit by unit (exactly one choice)."""
    allowed = np.ones(problem.loss.shape, bool) if problem.allowed is None else problem.allowed
    best: dict[int, float] = {0: 0.0}
    for block in problem.blocks():
        after: dict[int, float] = {}
        for spent, loss in best.items():
            for f in range(problem.loss.shape[1]):
                if not all(allowed[unit, f] for unit in block):
                    continue
                total = spent + sum(int(problem.costs[cost][unit, f]) for unit in block)
                value = loss + sum(float(problem.loss[unit, f]) for unit in block)
                if total <= problem.budgets[cost] and value < after.get(total, math.inf):
                    after[total] = value
        best = after
    return min(best.values(), default=None)
