"""The best format for each unit under the budgets, with a certificate."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tap import _core
from tap.errors import TableError
from tap.problem import Groups, Interactions, Pairs, Problem

Status = Literal["optimal", "feasible", "limit"]
Objective = Literal["sum", "max", "lexicographic"]


@dataclass(frozen=True, eq=False)
class Allocation:
    """One format for each unit, and what is proven about it.

    >>> plan = allocate([[1.0, 0.0]], {"bits": [[4, 8]]}, {"bits": 8})
    >>> plan.status, plan.bound, plan.gap
    ('optimal', 0.0, 0.0)
    """

    choice: NDArray[np.int64]
    """Format of each unit [L]; -1 for excluded units, and everywhere when status is "limit"."""
    objective: float
    """Loss of the choice, summed anew from the tables; infinite when status is "limit"."""
    bound: float
    """No choice that fits the budgets has a smaller objective; rounding is allowed for."""
    gap: float
    """(objective - bound) / sum of the absolute chosen losses and interactions."""
    status: Status
    """`optimal`: proven, up to rounding. `feasible`: a limit ended the search, and `gap` says how much better
    a choice may be. `limit`: a limit ended it before any choice was found, which proves nothing."""
    used: Mapping[str, float]
    """Total of every cost; integer costs give an `int`."""
    prices: Mapping[str, float]
    """Loss saved by one more unit of each budget at the margin of the relaxed problem."""
    nodes: int
    """Search states visited."""
    seconds: float
    alternatives: tuple[Allocation, ...] = ()
    """With `top_k`: the next best plans that differ in enough units from this one and from each other."""


def allocate(
    loss: ArrayLike,
    costs: Mapping[str, ArrayLike],
    budgets: Mapping[str, float],
    *,
    groups: Groups | None = None,
    allowed: ArrayLike | None = None,
    forced: Mapping[int, int] | None = None,
    forbidden: Iterable[tuple[int, int]] = (),
    excluded: Iterable[int] = (),
    weights: ArrayLike | None = None,
    interactions: Interactions | None = None,
    objective: Objective = "sum",
    top_k: int = 1,
    min_different: int = 1,
    time_limit: float | None = None,
    node_limit: int | None = None,
) -> Allocation:
    """Minimise the summed loss over one format for each unit, every budgeted cost within its budget.

    Integer costs (or floats that are whole numbers) are added exactly. Other costs are compared with their
    budget up to 1e-12 of it, so that a budget summed in another order still fits.

    Args:
        loss: [L, F], finite, any sign.
        costs: [L, F] by name, at least 0; those without a budget are only reported in `used`.
        budgets: largest total of each named cost.
        groups: units that choose together: a label for each unit [L], or lists of tied units.
        allowed: mask [L, F] of the formats that each unit may take; tables may hold anything elsewhere.
        forced: format of some units.
        forbidden: (unit, format) pairs.
        excluded: units that take no part: no loss, no cost, choice -1.
        weights: factors [L] of the losses.
        interactions: {((unit, format), (other unit, format)): value}, added to the loss when both are chosen;
            any sign, weights do not change them. For tens of units: the search is a branch and bound.
        objective: "sum"; "lexicographic": among equal sums the smallest total of the first budgeted cost,
            then of the second, and so on; or "max": the worst unit loses least, and among these choices
            the summed loss is least.
        top_k: how many plans; the others are `alternatives`, each the best that differs from all before it.
        min_different: in how many units at least.
        time_limit: seconds; the answer then depends on the machine, its status stays true.
        node_limit: search states, 50 million unless told.

    Raises:
        InfeasibleError: nothing fits; `smallest` has the smallest achievable total of each budgeted cost.
        TableError: a table has a wrong shape or number.
        BudgetError: a budget is not a number.

    >>> loss = [[3.0, 0.5, 0.1], [9.0, 1.0, 0.2]]
    >>> bits = [[2, 4, 8], [2, 4, 8]]
    >>> plan = allocate(loss, {"bits": bits}, {"bits": 10})
    >>> plan.choice.tolist(), plan.objective, plan.status, plan.used
    ([1, 1], 1.5, 'optimal', {'bits': 8})
    """
    problem = Problem.build(
        loss,
        costs,
        groups=groups,
        allowed=allowed,
        forced=forced,
        forbidden=forbidden,
        excluded=excluded,
        weights=weights,
    )
    for name in budgets:
        if name not in problem.costs:
            raise TableError(f"budget '{name}' has no cost of that name", hint=f"costs: {', '.join(costs)}")
    if objective not in ("sum", "max", "lexicographic"):
        raise TableError(f"unknown objective '{objective}'", hint="sum, max or lexicographic")
    if objective == "lexicographic" and not budgets:
        raise TableError("the objective 'lexicographic' needs a budget: its cost breaks ties")
    if interactions and objective != "sum":
        raise TableError(f"interactions go with the objective 'sum', not '{objective}'")
    pairs = problem.pairs(interactions) if interactions else None
    solver = _Solver(problem, budgets, objective, Clock(time_limit), node_limit, pairs)
    if objective == "max":
        if top_k != 1:
            raise TableError("top_k needs the objective 'sum' or 'lexicographic'")
        return solver.smallest_worst()
    return solver.best(top_k, min_different)


class Clock:
    """Seconds since the start, and what is left of a limit."""

    def __init__(self, limit: float | None) -> None:
        self.started, self.limit = time.perf_counter(), limit

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self.started

    @property
    def left(self) -> float | None:
        """Of the limit, if there is one."""
        return None if self.limit is None else max(self.limit - self.seconds, 0.0)


@dataclass(frozen=True, eq=False)
class _Solver:
    """One problem with its budgets, solved as often as the objective needs."""

    problem: Problem
    budgets: Mapping[str, float]
    objective: Objective
    clock: Clock
    node_limit: int | None
    pairs: Pairs | None

    def best(self, top_k: int, min_different: int) -> Allocation:
        """The best choice, with `top_k` - 1 alternatives that differ enough from it and from each other."""
        first = self.solve(self.problem.allowed, [])
        if first is None:
            raise self.problem.infeasible(self.budgets)
        if top_k == 1:
            return first
        plans, apart = [first], []
        room = int(self.problem.taking_part.sum()) - max(min_different, 1)
        while len(plans) < top_k and plans[-1].status != "limit":
            same = np.arange(self.problem.loss.shape[1]) == plans[-1].choice[:, None]
            apart.append((same.astype(np.int64), room))
            if (following := self.solve(self.problem.allowed, apart)) is None:
                break
            plans.append(following)
        return replace(first, alternatives=tuple(plans[1:]), seconds=self.clock.seconds)

    def smallest_worst(self) -> Allocation:
        """The choice whose worst unit loses least, and among these the one of least summed loss."""
        problem = self.problem
        members = problem.taking_part[:, None] & problem.allowed
        steps = np.unique(problem.loss[members]) if members.any() else np.zeros(1)
        low, high, proven, nodes = 0, len(steps), 0, 0
        found: Allocation | None = None
        while low < high:
            middle = (low + high) // 2
            mask = problem.allowed & ((problem.loss <= steps[middle]) | ~problem.taking_part[:, None])
            plan = self.solve(mask, []) if problem.has_choice(mask) else None
            nodes += plan.nodes if plan else 0
            if plan is not None and plan.status != "limit":
                found, high = plan, middle
                continue
            low = middle + 1
            if plan is None:
                # Nothing fits below a threshold that is proven too small.
                proven = max(proven, middle + 1)
        if found is None:
            if proven < len(steps):
                return replace(self.nothing(nodes), bound=float(steps[proven]))
            raise problem.infeasible(self.budgets)
        taken = problem.loss[np.arange(len(problem.loss)), np.maximum(found.choice, 0)][problem.taking_part]
        worst = float(taken.max(initial=-math.inf)) if taken.size else 0.0
        bound = min(worst, float(steps[min(proven, len(steps) - 1)]))
        status: Status = "optimal" if bound == worst else "feasible"
        gap = 0.0 if bound == worst else (worst - bound) / max(abs(worst), abs(bound))
        return replace(
            found,
            objective=worst,
            bound=bound,
            gap=gap,
            status=status,
            nodes=nodes,
            seconds=self.clock.seconds,
        )

    def solve(
        self, allowed: NDArray[np.bool_], extra: list[tuple[NDArray[np.int64], int]]
    ) -> Allocation | None:
        """One call of the core; None when nothing fits."""
        problem = self.problem
        pairs = [problem.pair(name, budget) for name, budget in self.budgets.items()]
        goal = "lexicographic" if self.objective == "lexicographic" else "sum"
        status, chosen, value, bound, prices, nodes = _core.knapsack(
            problem.loss,
            [*pairs, *extra],
            allowed,
            problem.groups,
            goal,
            self.clock.left,
            self.node_limit,
            self.pairs,
        )
        if status == "infeasible":
            return None
        if status == "limit":
            return replace(self.nothing(nodes), bound=bound)
        choice = problem.shown(chosen)
        return Allocation(
            choice=choice,
            objective=value,
            bound=bound,
            gap=relative_gap(problem, choice, value, bound, self.pairs),
            status=status,  # type: ignore[arg-type]
            used={name: problem.used(name, choice) for name in problem.costs},
            prices=dict(zip(self.budgets, prices, strict=False)),
            nodes=nodes,
            seconds=self.clock.seconds,
        )

    def nothing(self, nodes: int) -> Allocation:
        """The answer when a limit came before any choice."""
        choice = np.full(len(self.problem.loss), -1, np.int64)
        prices = dict.fromkeys(self.budgets, 0.0)
        return Allocation(
            choice, math.inf, -math.inf, math.inf, "limit", {}, prices, nodes, self.clock.seconds
        )


def relative_gap(
    problem: Problem, choice: NDArray[np.int64], value: float, bound: float, pairs: Pairs | None = None
) -> float:
    """Distance of value and bound over the sum of the absolute chosen losses and interactions."""
    if value <= bound:
        return 0.0
    chosen = problem.loss[np.arange(len(choice)), np.maximum(choice, 0)]
    scale = float(np.abs(chosen).sum())
    if pairs is not None:
        (left, f, right, g), values = pairs[0].T, pairs[1]
        scale += float(np.abs(values[(choice[left] == f) & (choice[right] == g)]).sum())
    return (value - bound) / scale if scale > 0 else math.inf
