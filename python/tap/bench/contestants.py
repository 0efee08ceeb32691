"""Who takes part: named and discovered proxies, and the plans that need none; each with its choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tap import costs
from tap.allocate import allocate
from tap.errors import InfeasibleError, TapError
from tap.proxy import Proxy
from tap.sensitivity import Sensitivity
from tap.stats.table import LayerTable
from tap.truth.draw import draw

Choice = tuple[int, ...]
"""The format index of every unit."""
UNIFORM, PROTECTED, MEASURED = "uniform", "first and last protected", "measured sensitivity"


@dataclass(frozen=True)
class Contestant:
    """One row of the benchmark."""

    name: str
    kind: str
    """`named`, `discovered`, `baseline` or `measured`."""
    choices: tuple[Choice | None, ...]
    """One a budget; None where it has no plan that fits."""
    scores: NDArray[np.float64] | None = field(default=None, repr=False)
    """[L, F], where it predicts."""
    error: str = ""
    """Why it has no scores."""


@dataclass(frozen=True)
class Ladder:
    """The budgets of a case, all of one cost."""

    names: tuple[str, ...]
    limits: tuple[int, ...]
    cost: NDArray[np.int64]
    """Bytes or bit operations [L, F]."""


def ladder(table: LayerTable, budgets: Sequence[str]) -> Ladder:
    """The budgets that the formats of the table can meet and that leave a choice.

    Raises:
        TapError: none is left, or they are not all bytes or all bit operations.
    """
    parsed = {name: costs.Budget.parse(name) for name in budgets}
    kinds = sorted({budget.cost for budget in parsed.values()})
    if kinds not in (["bytes"], ["bops"]):
        raise TapError(
            f"the budgets of one benchmark are of one cost, not of {' and '.join(kinds)}",
            hint="give only sizes (int4, 4.25bits, 12MB), or only bit operations (bops=40G)",
        )
    cost = costs.tables(kinds, table.units, table.formats)[kinds[0]].astype(np.int64)
    low, high = int(cost.min(axis=1).sum()), int(cost.max(axis=1).sum())
    limits = {name: int(budget.limit(table.units)) for name, budget in parsed.items()}
    kept = {name: limit for name, limit in limits.items() if low < limit < high}
    if not kept:
        raise TapError(
            f"no budget lies between the {low} and {high} {kinds[0]} of the formats", hint="name others"
        )
    return Ladder(tuple(kept), tuple(kept.values()), cost)


def of_programs(
    programs: Mapping[str, str], table: LayerTable, rungs: Ladder, *, kind: str
) -> list[Contestant]:
    """One contestant a program; one that has no finite score stays, with its reason."""
    found = []
    for name, source in programs.items():
        try:
            scores = Proxy(source, columns=table).score(table)
        except TapError as error:
            nothing: tuple[Choice | None, ...] = (None,) * len(rungs.names)
            found.append(Contestant(name, kind, nothing, error=error.message))
            continue
        found.append(of_scores(name, scores, rungs, kind=kind))
    return found


def of_scores(name: str, scores: NDArray[np.float64], rungs: Ladder, *, kind: str) -> Contestant:
    """The contestant that decides by `scores` [L, F]."""
    return Contestant(name, kind, tuple(_plan(scores, rungs.cost, limit) for limit in rungs.limits), scores)


def of_truth(truth: Sensitivity, table: LayerTable, rungs: Ladder) -> Contestant | None:
    """The plan of the measured sensitivity; None when it lacks formats of the table."""
    if set(truth.formats) < set(table.formats):
        return None
    units = [truth.units.index(unit.name) for unit in table.units]
    formats = [truth.formats.index(name) for name in table.formats]
    return of_scores(MEASURED, truth.values[np.ix_(units, formats)], rungs, kind="measured")


def baselines(table: LayerTable, rungs: Ladder) -> list[Contestant]:
    """The finest uniform format that fits, and the same with the first and the last unit in the finest one.

    What the protected plan has left is spent on the units in between, from the input on.
    """
    order = np.argsort(rungs.cost.sum(axis=0), kind="stable")
    uniform = tuple(_uniform(rungs.cost, order, limit) for limit in rungs.limits)
    protected = tuple(_protected(rungs.cost, order, limit) for limit in rungs.limits)
    return [Contestant(UNIFORM, "baseline", uniform), Contestant(PROTECTED, "baseline", protected)]


def random_choices(rungs: Ladder, n: int, seed: int) -> list[list[Choice]]:
    """`n` random configurations at each budget, half of them around the uniform one."""
    rng = np.random.default_rng(seed)
    found = []
    for limit in rungs.limits:
        try:
            found.append([_choice(row) for row in draw(rungs.cost, limit, n, rng)] if n else [])
        except InfeasibleError:
            found.append([])
    return found


def _plan(scores: NDArray[np.float64], cost: NDArray[np.int64], limit: int) -> Choice | None:
    try:
        return _choice(allocate(scores, {"cost": cost}, {"cost": limit}, time_limit=20.0).choice)
    except InfeasibleError:
        return None


def _uniform(cost: NDArray[np.int64], order: NDArray[np.int64], limit: int) -> Choice | None:
    fitting = [int(place) for place in order if cost[:, place].sum() <= limit]
    return (fitting[-1],) * len(cost) if fitting else None


def _protected(cost: NDArray[np.int64], order: NDArray[np.int64], limit: int) -> Choice | None:
    """What is left over goes to the units in between, one format up each, from the input on."""
    if len(cost) < 3:
        return None
    best: Choice | None = None
    for level, place in enumerate(order):
        choice = np.full(len(cost), place)
        choice[[0, -1]] = order[-1]
        left = limit - cost[np.arange(len(cost)), choice].sum()
        if left < 0:
            break
        if level + 1 < len(order):
            for unit in range(1, len(cost) - 1):
                step = cost[unit, order[level + 1]] - cost[unit, place]
                if step <= left:
                    choice[unit], left = order[level + 1], left - step
        best = _choice(choice)
    return best


def _choice(row: NDArray[np.int64]) -> Choice:
    return tuple(int(place) for place in row)
