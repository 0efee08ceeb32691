"""What a target asks of an allocation before it is solved: ties, formats, and bytes as it stores them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tap.errors import ExportError
from tap.export.targets import find, tied
from tap.formats import Format, parse
from tap.stats.units import Unit

if TYPE_CHECKING:
    from tap.plan import Plan


@dataclass(frozen=True)
class Fit:
    """The rules of one target for L units and F formats."""

    groups: tuple[tuple[str, ...], ...]
    """Units that the target stores as one weight."""
    allowed: NDArray[np.bool_]
    """[L, F]: what the target holds."""
    bytes: NDArray[np.int64]
    """[L, F]: bytes on disk there, where allowed."""


def fit(units: Sequence[Unit], formats: Sequence[Format], target: str) -> Fit:
    """The rules of a target; a unit that none of the formats fits is an `ExportError` that says why.

    >>> units = [Unit(f"0.{name}", "linear", 64, 64, 1, 4096) for name in ("q_proj", "k_proj", "o_proj")]
    >>> found = fit(units, [parse("int3"), parse("int4"), parse("int8")], "vllm")
    >>> found.groups, found.allowed[0].tolist()
    ((('0.q_proj', '0.k_proj'),), [False, True, True])
    """
    place = find(target)
    refusals = [[place.refusal(unit, form) for form in formats] for unit in units]
    for unit, row in zip(units, refusals, strict=True):
        if all(row):
            raise ExportError(
                f"{target} cannot hold '{unit.name}' in any of the formats: {row[-1]}",
                hint=f"it holds {place.holds.describe()}; or leave the unit out: tap collect --exclude",
            )
    size = place.counted or place.sizes
    allowed = np.array([[reason is None for reason in row] for row in refusals], np.bool_)
    counted = [
        [size(unit, form) if ok else form.stored_bytes(unit) for form, ok in zip(formats, row, strict=True)]
        for unit, row in zip(units, allowed, strict=True)
    ]
    return Fit(tuple(map(tuple, tied(units, place))), allowed, np.array(counted, np.int64))


def for_target(plan: Plan, target: str) -> Plan:
    """The plan under a target's rules, its choices still as they were: `resolve` solves it again."""
    found = fit(plan.units, [parse(form.name) for form in plan.formats], target)
    return replace(
        plan,
        groups=(*plan.groups, *found.groups),
        allowed=found.allowed if plan.allowed is None else plan.allowed & found.allowed,
        costs={**plan.costs, "bytes": found.bytes.astype(np.float64)},
        provenance={**plan.provenance, "target": target},
    )
