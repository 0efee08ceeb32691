"""A plan beside simpler ones of equal bytes: the uniform plan that fits, and random plans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tap.errors import InfeasibleError

if TYPE_CHECKING:
    from tap.plan import Plan

RANDOM = 8
"""Random plans of equal bytes that are measured beside the plan."""


@dataclass(frozen=True)
class Compared:
    """One measured plan."""

    plan: str
    bytes: int
    loss: float
    """KL to the full-precision model on the judged samples, nats."""
    stderr: float
    accuracy: float
    """Top-1; NaN without labels."""


@dataclass(frozen=True)
class Comparison:
    """Measured plans and what the first one gains."""

    rows: tuple[Compared, ...]
    """The plan first, then the uniform one (where one fits), then the median and the best random one."""
    gain: float
    """Loss saved against the better of the uniform and the median random plan; NaN when there is neither."""
    noise: float
    """Two standard errors of that difference."""


def compared(
    plan: Plan, name: str, simple: Sequence[str], choices: NDArray[np.int64], loss: NDArray[np.float64],
    stderr: NDArray[np.float64], accuracy: NDArray[np.float64],
) -> Comparison:  # fmt: skip
    """Rows of the plan (first of `choices`) and of the simple plans, whose names are `simple`."""

    def row(at: int, title: str) -> Compared:
        size = int(plan.costs["bytes"][np.arange(len(plan.units)), choices[at]].sum())
        return Compared(title, size, float(loss[at]), float(stderr[at]), float(accuracy[at]))

    uniform = [at for at, title in enumerate(simple, 1) if title.startswith("uniform")]
    random = sorted(
        (at for at, title in enumerate(simple, 1) if title.startswith("random")), key=loss.__getitem__
    )
    middle = random[len(random) // 2 : len(random) // 2 + 1]
    rows = (
        row(0, name),
        *(row(at, simple[at - 1]) for at in uniform),
        *(row(at, "random (median)") for at in middle),
        *(row(at, "random (best)") for at in random[:1]),
    )
    rivals = [row(at, "") for at in (*uniform, *middle)]
    if not rivals:
        return Comparison(rows, float("nan"), float("nan"))
    best = min(rivals, key=lambda rival: rival.loss)
    return Comparison(rows, best.loss - rows[0].loss, 2 * float(np.hypot(best.stderr, rows[0].stderr)))


def simple_plans(plan: Plan, seed: int) -> dict[str, NDArray[np.int64]]:
    """The uniform plan with the most bits that fits, random ones with the plan's bytes, rules and ties."""
    from tap.truth.draw import draw

    sizes, allowed = plan.costs["bytes"], plan.allowed
    usable = np.ones(sizes.shape, np.bool_) if allowed is None else allowed
    fits = [
        index for index in range(len(plan.formats))
        if usable[:, index].all() and all(plan.costs[k][:, index].sum() <= v for k, v in plan.budgets.items())
    ]  # fmt: skip
    found: dict[str, NDArray[np.int64]] = {}
    if fits:
        best = max(fits, key=lambda index: plan.formats[index].bits)
        found[f"uniform {plan.formats[best].name}"] = np.full(len(sizes), best)
    labels = np.arange(len(sizes))
    for group in plan.groups:
        members = [plan.unit_index(name) for name in group]
        labels[np.isin(labels, labels[members])] = labels[members].min()
    _, place = np.unique(labels, return_inverse=True)
    costs = np.zeros((place.max() + 1, sizes.shape[1]))
    # A format that is not allowed costs more than any plan, so that no drawn plan has it.
    np.add.at(costs, place, np.where(usable, sizes, 10 * plan.bytes))
    try:
        drawn = draw(costs.astype(np.int64), plan.bytes, RANDOM, np.random.default_rng(seed))
    except InfeasibleError:
        return found
    return found | {f"random {number}": choice[place] for number, choice in enumerate(drawn)}
