"""All networks of a benchmark together: mean rank, worst case, and where a proxy falls below uniform."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tap.bench.contestants import UNIFORM
from tap.bench.result import Net, Planned, Row

CERTAIN = 2.0
"""A plan is below uniform for certain when its loss is larger by so many standard errors."""


@dataclass(frozen=True)
class Overall:
    """One contestant over the networks that it took part in."""

    name: str
    kind: str
    nets: int
    rank: float
    """Mean over networks of its place by agreement with configurations, 1 the best."""
    relative: float
    """The smallest agreement with configurations relative to the ceiling."""
    loss_rank: float
    """Mean over networks and budgets of its place by measured loss."""
    below: int
    """Budgets, over all networks, at which its measured loss is above that of the uniform plan."""
    certain: int
    """Those where it is above for certain."""
    compared: int
    """Budgets at which both have a plan."""
    worst: float
    """The largest fall of top-1 below uniform; negative when it is above everywhere."""
    accuracy: float
    """Mean top-1 over networks and budgets."""


def overall(nets: Sequence[Net]) -> list[Overall]:
    """Every contestant that is in all networks, the one with the best mean place by measured loss first."""
    names = [row.name for row in nets[0].rows] if nets else []
    common = [name for name in names if all(any(row.name == name for row in net.rows) for net in nets)]
    found = [_one(name, nets, common) for name in common]
    return sorted(found, key=lambda one: (math.isnan(one.loss_rank), one.loss_rank))


def _one(name: str, nets: Sequence[Net], common: Sequence[str]) -> Overall:
    places, relatives, losses, accuracies = [], [], [], []
    below = certain = compared = 0
    worst = -math.inf
    for net in nets:
        row, uniform = net.row(name), net.row(UNIFORM)
        if row.configurations is not None:
            places.append(1 + sum(_value(net.row(other)) > row.configurations.value for other in common))
            relatives.append(row.configurations.relative)
        for budget, (plan, base) in enumerate(zip(row.plans, uniform.plans, strict=True)):
            if plan is None:
                continue
            rivals = [net.row(other).plans[budget] for other in common]
            losses.append(1 + sum(rival is not None and rival.loss < plan.loss for rival in rivals))
            accuracies.append(plan.accuracy)
            if base is not None:
                compared += 1
                below += plan.loss > base.loss
                certain += _certainly(plan, base)
                worst = max(worst, base.accuracy - plan.accuracy)
    return Overall(
        name,
        nets[0].row(name).kind,
        len(nets),
        _mean(places),
        min(relatives, default=math.nan),
        _mean(losses),
        below,
        certain,
        compared,
        worst if compared else math.nan,
        _mean(accuracies),
    )


def _value(row: Row) -> float:
    return row.configurations.value if row.configurations is not None else -math.inf


def _certainly(plan: Planned, base: Planned) -> bool:
    return plan.loss - base.loss > CERTAIN * math.hypot(plan.loss_error, base.loss_error)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan
