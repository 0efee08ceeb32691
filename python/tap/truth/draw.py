"""Configurations of equal bytes: random ones, ones around the uniform format, and ones around given plans."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tap.errors import BudgetError, InfeasibleError

TOLERANCE = 0.005
"""How far the bytes of a configuration may be from its stratum's, as a part of them."""
_MOVES = 2000
_STARTS = 200

Choice = NDArray[np.int64]


def target_bytes(budget: float, cost: NDArray[np.int64], bits: Sequence[float]) -> float:
    """Bytes of a stratum; `cost` is [L, F] bytes, `bits` the nominal bits of the F formats.

    `budget` is bytes, or up to 32 average bits: the bytes of the uniform format, in proportion between two.

    >>> target_bytes(3.0, np.array([[20, 40], [10, 20]]), [2, 4])
    45.0
    """
    if budget > 32:
        return float(budget)
    uniform = cost.sum(axis=0)
    points = {bit: float(min(uniform[f] for f, b in enumerate(bits) if b == bit)) for bit in set(bits)}
    places = sorted(points)
    if not places[0] <= budget <= places[-1]:
        raise BudgetError(
            f"{budget} average bits is outside the formats, which have {places[0]:g} to {places[-1]:g} bits",
            hint="name a budget in between, or more formats",
        )
    return float(np.interp(budget, places, [points[place] for place in places]))


def draw(
    cost: NDArray[np.int64],
    target: float,
    n: int,
    rng: np.random.Generator,
    around: Sequence[Choice] = (),
) -> list[Choice]:
    """`n` different configurations [L] whose `cost` [L, F] adds up to `target` within 0.5 %.

    A third each starts from random formats, from the uniform format nearest to the target, and from the plans
    of `around` (where there are none, half each); some units are changed at random, then units move one by
    one, at random among the moves that help, until the bytes fit.

    Raises:
        InfeasibleError: the formats cannot reach the target.

    >>> cost = np.array([[2, 3, 4]] * 6)
    >>> found = draw(cost, 18, 5, np.random.default_rng(0))
    >>> {int(cost[np.arange(6), choice].sum()) for choice in found}, len(found)
    ({18}, 5)
    """
    low, high = float(cost.min(axis=1).sum()), float(cost.max(axis=1).sum())
    if not low * (1 - TOLERANCE) <= target <= high * (1 + TOLERANCE):
        raise InfeasibleError(
            f"no configuration has {target:.0f} bytes: the formats reach {low:.0f} to {high:.0f}",
            hint="choose a budget in between",
            smallest={"bytes": low},
        )
    found: dict[bytes, Choice] = {}
    for attempt in range(_STARTS * n):
        if len(found) == n:
            break
        start = _start(cost, target, attempt, rng, around)
        choice = _settle(start, cost, target, rng)
        if choice is not None:
            found.setdefault(choice.tobytes(), choice)
    if not found:
        raise InfeasibleError(
            f"no configuration found within {TOLERANCE:.1%} of {target:.0f} bytes",
            hint="choose another budget: few large units leave gaps",
        )
    return list(found.values())


def _start(
    cost: NDArray[np.int64], target: float, attempt: int, rng: np.random.Generator, around: Sequence[Choice]
) -> Choice:
    """A configuration to start from, already changed at random."""
    units, formats = cost.shape
    kinds = 3 if len(around) else 2
    kind = attempt % kinds
    if kind == 0:
        parts = rng.dirichlet(np.full(formats, 0.7))
        return np.asarray(rng.choice(formats, size=units, p=parts), dtype=np.int64)
    if kind == 1:
        nearest = int(np.abs(cost.sum(axis=0) - target).argmin())
        choice = np.full(units, nearest, dtype=np.int64)
    else:
        choice = np.array(around[attempt // kinds % len(around)], dtype=np.int64)
    changed = rng.choice(units, size=rng.integers(0, max(1, units // 2) + 1), replace=False)
    choice[changed] = rng.integers(0, formats, size=len(changed))
    return choice


def _settle(
    choice: Choice, cost: NDArray[np.int64], target: float, rng: np.random.Generator
) -> Choice | None:
    """Move single units, at random among the moves that help, until the bytes fit; None when stuck."""
    choice = choice.copy()
    units = np.arange(len(choice))
    for _ in range(_MOVES):
        gap = float(cost[units, choice].sum()) - target
        if abs(gap) <= TOLERANCE * target:
            return choice
        change = cost - cost[units, choice][:, None]
        helps = np.argwhere(np.abs(gap + change) < abs(gap))
        if not len(helps):
            unit = rng.integers(len(choice))
            choice[unit] = rng.integers(cost.shape[1])
            continue
        unit, format = helps[rng.integers(len(helps))]
        choice[unit] = format
    return None
