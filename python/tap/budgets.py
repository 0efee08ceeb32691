"""Budgets as people write them: `4.25bits`, `12MB`, `35%`, `bops=40G`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tap.errors import BudgetError
from tap.formats import Format
from tap.plan import PlanFormat
from tap.stats.units import Unit

Costs = dict[str, NDArray[np.float64]]
Formats = Sequence[Format | PlanFormat]

_FORM = re.compile(r"(?:(?P<name>[a-z]\w*)=)?(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<unit>[A-Za-z%]*)")
_SIZES = {"b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30}
_PREFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_HINT = "write 4.25bits, 12MB, 35% or NAME=NUMBER for another cost, for example bops=40G"


def costs_of(units: Sequence[Unit], formats: Sequence[Format]) -> Costs:
    """What each unit costs in each format [L, F].

    `bytes` counts scales too; `bops` is MACs x weight bits x activation bits.

    >>> from tap.formats import parse_all
    >>> unit = Unit("fc", "linear", out=4, inp=8, pos=1, macs=32)
    >>> costs_of([unit], parse_all(["int4"]))["bops"].tolist()
    [[2048.0]]
    """
    sizes = [[form.stored_bytes(unit) for form in formats] for unit in units]
    operations = [[unit.macs * form.bits * form.act_bits for form in formats] for unit in units]
    return {"bytes": np.array(sizes, np.float64), "bops": np.array(operations, np.float64)}


def parse_budgets(
    texts: Iterable[str],
    units: Sequence[Unit],
    formats: Formats,
    costs: Mapping[str, NDArray[np.float64]],
) -> dict[str, float]:
    """Upper limits by cost. `3bits` is the bytes of the uniform 3-bit format, in between in proportion.

    `35%` is a share of the units' size in float32. A form that is none of these is a `BudgetError`.

    >>> from tap.formats import parse_all
    >>> unit, formats = Unit("fc", "linear", out=4, inp=8, pos=1, macs=32), parse_all(["int4"])
    >>> parse_budgets(["50%", "bops=2k"], [unit], formats, costs_of([unit], formats))
    {'bytes': 64.0, 'bops': 2000.0}
    """
    budgets: dict[str, float] = {}
    for text in texts:
        name, limit = _parse(text, units, formats, costs)
        budgets[name] = min(limit, budgets.get(name, limit))
    if not budgets:
        raise BudgetError("no budget was given", hint=_HINT)
    return budgets


def _parse(
    text: str,
    units: Sequence[Unit],
    formats: Formats,
    costs: Mapping[str, NDArray[np.float64]],
) -> tuple[str, float]:
    found = _FORM.fullmatch(text.strip())
    if not found:
        raise BudgetError(f"'{text}' is not a budget", hint=_HINT)
    name, number, unit = found["name"], float(found["number"]), found["unit"].lower()
    if name not in (None, "bytes"):
        if name not in costs:
            raise BudgetError(f"'{text}': there is no cost '{name}'", hint=f"costs: {', '.join(costs)}")
        if unit not in _PREFIXES:
            raise BudgetError(f"'{text}' has the unknown unit '{unit}'", hint="k, M, G or T")
        return name, number * _PREFIXES[unit]
    if unit in ("bit", "bits"):
        return "bytes", _between(text, number, formats, costs["bytes"])
    if unit == "%":
        return "bytes", number / 100 * 4 * sum(one.numel for one in units)
    if unit in _SIZES:
        return "bytes", number * _SIZES[unit]
    raise BudgetError(
        f"'{text}' has the unknown unit '{found['unit']}'" if unit else f"'{text}' has no unit", hint=_HINT
    )


def _between(text: str, bits: float, formats: Formats, sizes: NDArray[np.float64]) -> float:
    """Bytes of the uniform format with so many bits; between two formats in proportion."""
    uniform = sizes.sum(axis=0)
    points: dict[float, float] = {}
    for form, size in zip(formats, uniform, strict=True):
        points[form.bits] = min(float(size), points.get(form.bits, float(size)))
    places = sorted(points)
    if bits < places[0]:
        raise BudgetError(
            f"'{text}' is below the smallest format, which has {places[0]:g} bits",
            hint=f"{points[places[0]]:,.0f} bytes is the smallest size; collect with a coarser format",
        )
    return float(np.floor(np.interp(bits, places, [points[place] for place in places])))
