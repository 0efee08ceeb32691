"""Every best trade of one cost against the loss: the whole frontier, or the best choice at many budgets."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tap import _core
from tap.allocate import Allocation, relative_gap
from tap.errors import InfeasibleError, TableError
from tap.problem import Groups, Problem, limit


@dataclass(frozen=True, eq=False)
class Frontier:
    """Choices of rising cost and falling loss.

    >>> points = frontier([[1.0, 0.0]], [[4, 8]])
    >>> len(points), points.choice(1).tolist()
    (2, [1])
    """

    cost: NDArray[np.float64]
    """Total cost of each point [N]."""
    loss: NDArray[np.float64]
    """Total loss of each point [N]."""
    supported: NDArray[np.bool_]
    """Whether a point [N] lies on the lower convex hull of these points."""
    gap: NDArray[np.float64]
    """Proven relative gap of each point [N]; zero for the whole frontier."""
    seconds: float
    _row: Callable[[int], NDArray[np.int64]] = field(repr=False)

    def choice(self, point: int) -> NDArray[np.int64]:
        """Format of each unit [L] in one point; -1 for excluded units."""
        return self._row(range(len(self))[point])

    @property
    def choices(self) -> NDArray[np.int64]:
        """Format of each unit in each point [N, L]; a whole frontier may have 10^5 points."""
        return np.stack([self.choice(point) for point in range(len(self))])

    def __len__(self) -> int:
        return len(self.cost)


def frontier(
    loss: ArrayLike,
    cost: ArrayLike,
    *,
    groups: Groups | None = None,
    allowed: ArrayLike | None = None,
    forced: Mapping[int, int] | None = None,
    forbidden: Iterable[tuple[int, int]] = (),
    excluded: Iterable[int] = (),
    weights: ArrayLike | None = None,
    budgets: Sequence[float] | None = None,
    time_limit: float | None = None,
    node_limit: int | None = None,
) -> Frontier:
    """Every Pareto point of one cost against the loss, or the best choice for each of a ladder of budgets.

    Without `budgets` no choice beats any point in both cost and loss, and every such pair of values is there.
    With `budgets` there is one point for each, in their order, from one set of reductions. The other options
    are those of `allocate`.

    Raises:
        InfeasibleError: a budget of the ladder fits nothing.
        TableError: a table has a wrong shape or number, or a limit ended the whole frontier early.

    >>> points = frontier([[3.0, 0.5, 0.25], [9.0, 1.0, 0.25]], [[2, 4, 8], [2, 4, 8]])
    >>> points.cost.tolist(), points.loss.tolist()
    ([4.0, 6.0, 8.0, 12.0, 16.0], [12.0, 4.0, 1.5, 0.75, 0.5])
    """
    started = time.perf_counter()
    problem = Problem.build(
        loss,
        {"cost": cost},
        groups=groups,
        allowed=allowed,
        forced=forced,
        forbidden=forbidden,
        excluded=excluded,
        weights=weights,
    )
    if budgets is not None:
        return _ladder(problem, budgets, time_limit, node_limit, started)
    pair = problem.pair("cost", math.inf)
    found = _core.ParetoPoints(problem.loss, pair, problem.allowed, problem.groups, time_limit, node_limit)
    if not found.complete:
        raise TableError(
            "the frontier has more points than the limit allows",
            hint="pass budgets=[...] for a ladder, or raise node_limit",
        )

    def row(point: int) -> NDArray[np.int64]:
        return problem.shown(found.choice(point))

    gaps = np.zeros(len(found.loss))
    return Frontier(found.cost, found.loss, found.supported, gaps, time.perf_counter() - started, row)


class Ladder:
    """One cost with its reductions kept: each `at` solves another budget without reading the tables again.

    Options are those of `allocate`; the objective is the sum, or "lexicographic" with `cheapest`.

    >>> ladder = Ladder([[3.0, 0.5, 0.25], [9.0, 1.0, 0.25]], [[2, 4, 8], [2, 4, 8]])
    >>> [ladder.at(budget).choice.tolist() for budget in (6, 12)]
    [[0, 1], [1, 2]]
    """

    def __init__(
        self,
        loss: ArrayLike,
        cost: ArrayLike,
        *,
        groups: Groups | None = None,
        allowed: ArrayLike | None = None,
        forced: Mapping[int, int] | None = None,
        forbidden: Iterable[tuple[int, int]] = (),
        excluded: Iterable[int] = (),
        weights: ArrayLike | None = None,
        cheapest: bool = False,
    ) -> None:
        self._problem = Problem.build(
            loss,
            {"cost": cost},
            groups=groups,
            allowed=allowed,
            forced=forced,
            forbidden=forbidden,
            excluded=excluded,
            weights=weights,
        )
        pair = self._problem.pair("cost", math.inf)
        tables = (self._problem.allowed, self._problem.groups)
        self._kept = _core.KeptKnapsack(self._problem.loss, pair, *tables, cheapest)

    def at(
        self, budget: float, *, time_limit: float | None = None, node_limit: int | None = None
    ) -> Allocation:
        """The best choice within one budget; `InfeasibleError` when nothing fits."""
        started, problem = time.perf_counter(), self._problem
        rung = limit("cost", budget, integer=problem.costs["cost"].dtype == np.int64)
        if (found := self._kept.solve(rung, time_limit, node_limit)) is None:
            raise problem.infeasible({"cost": budget})
        choice = problem.shown(found[0])
        value = problem.value(choice)
        bound = value - found[1]
        return Allocation(
            choice=choice,
            objective=value,
            bound=bound,
            gap=relative_gap(problem, choice, value, bound),
            status="optimal" if found[4] else "feasible",
            used={"cost": problem.used("cost", choice)},
            prices={"cost": found[2]},
            nodes=found[3],
            seconds=time.perf_counter() - started,
        )


def _ladder(
    problem: Problem,
    budgets: Sequence[float],
    time_limit: float | None,
    node_limit: int | None,
    started: float,
) -> Frontier:
    integer = problem.costs["cost"].dtype == np.int64
    rungs = [limit("cost", budget, integer=integer) for budget in budgets]
    kept = _core.KeptKnapsack(
        problem.loss, problem.pair("cost", math.inf), problem.allowed, problem.groups, False
    )
    found = [kept.solve(rung, time_limit, node_limit) for rung in rungs]
    n_units = len(problem.loss)
    choices = np.empty((len(found), n_units), np.int64)
    costs, losses, gaps = np.empty(len(found)), np.empty(len(found)), np.empty(len(found))
    for at, (rung, budget) in enumerate(zip(found, budgets, strict=True)):
        if rung is None:
            raise InfeasibleError(
                f"no plan fits a budget of {budget:,}; the smallest is {problem.smallest('cost'):,}",
                smallest={"cost": problem.smallest("cost")},
            )
        choices[at] = problem.shown(rung[0])
        costs[at] = problem.used("cost", choices[at])
        losses[at] = problem.value(choices[at])
        gaps[at] = relative_gap(problem, choices[at], losses[at], losses[at] - rung[1])

    def row(point: int) -> NDArray[np.int64]:
        line: NDArray[np.int64] = choices[point].copy()
        return line

    seconds = time.perf_counter() - started
    return Frontier(costs, losses, _on_hull(costs, losses), gaps, seconds, row)


def _on_hull(cost: NDArray[np.float64], loss: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each point lies on the lower convex hull of all, from the cheapest to the least loss."""
    order = np.lexsort((loss, cost))
    hull: list[int] = []
    for at in order:
        if hull and loss[at] >= loss[hull[-1]]:
            continue
        while len(hull) > 1:
            a, b = hull[-2], hull[-1]
            if (loss[a] - loss[b]) * (cost[at] - cost[a]) < (loss[a] - loss[at]) * (cost[b] - cost[a]):
                hull.pop()
            else:
                break
        hull.append(int(at))
    marked = {(cost[at], loss[at]) for at in hull}
    return np.array([(c, value) in marked for c, value in zip(cost, loss, strict=True)], np.bool_)
