"""A plan: the format of every unit, why it was chosen, and all that a new budget needs to choose again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tap.costs import average_bits
from tap.errors import PlanError
from tap.stats.units import Unit


@dataclass(frozen=True)
class PlanFormat:
    """A candidate format as a plan records it."""

    name: str
    bits: float
    """Nominal bits of a weight, without scales."""
    act_bits: float = 16.0
    """Bits of an activation; 16 when activations are not quantized."""


@dataclass(frozen=True)
class Solution:
    """What the allocator says about the choice."""

    objective: float
    """Sum of the scores of the chosen formats."""
    bound: float
    """No choice within the budgets has a smaller objective."""
    gap: float
    """(objective - bound) relative to the sum of the absolute chosen scores; 0 when proven optimal."""
    status: str
    """`optimal`, or `feasible` when a limit ended the search, as the allocator returned it."""
    used: Mapping[str, float]
    """What the choice costs, by the cost's name."""
    prices: Mapping[str, float] = field(default_factory=dict)
    """Marginal price of each budget: objective saved by one more unit of it."""


@dataclass(frozen=True)
class Plan:
    """The chosen format of each of L units among F, with the scores and costs [L, F] it was chosen from.

    `save` writes versioned JSON (schema: `tap/data/plan.schema.json`); `load` refuses what it does not know.

    >>> unit = Unit("fc", "linear", out=4, inp=8, pos=1, macs=32)
    >>> two = (PlanFormat("int2", 2.0), PlanFormat("int4", 4.0))
    >>> scores, sizes = np.array([[3.0, 1.0]]), np.array([[8.0, 16.0]])
    >>> plan = Plan.solve([unit], two, scores=scores, costs={"bytes": sizes}, budgets={"bytes": 16})
    >>> plan.choices, plan.resolve({"bytes": 9}).choices
    ({'fc': 'int4'}, {'fc': 'int2'})
    """

    units: tuple[Unit, ...]
    formats: tuple[PlanFormat, ...]
    choice: tuple[int, ...]
    """Index into `formats` of each unit."""
    scores: NDArray[np.float64]
    """[L, F]: the loss that the choice minimises the sum of."""
    costs: Mapping[str, NDArray[np.float64]]
    """[L, F] each, in the cost's own measure; `bytes` is always there."""
    budgets: Mapping[str, float]
    """Upper limits of total costs, by the cost's name."""
    solution: Solution
    fingerprint: str = ""
    """Identity of the model: names, shapes and weights."""
    groups: tuple[tuple[str, ...], ...] = ()
    """Tied units: the members of a group get the same format."""
    allowed: NDArray[np.bool_] | None = None
    """[L, F]: False where a user or a target forbids the format; None allows all."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Where the scores come from: proxy, its program and hash, model, data, versions."""

    @staticmethod
    def solve(
        units: Sequence[Unit],
        formats: Sequence[PlanFormat],
        *,
        scores: NDArray[np.float64],
        costs: Mapping[str, NDArray[np.float64]],
        budgets: Mapping[str, float],
        fingerprint: str = "",
        groups: Iterable[Sequence[str]] = (),
        allowed: NDArray[np.bool_] | None = None,
        provenance: Mapping[str, Any] | None = None,
        time_limit: float | None = None,
    ) -> Plan:
        """Choose the formats with the smallest total score within the budgets.

        `InfeasibleError` when nothing fits, `PlanError` when the parts do not fit each other.
        """
        from tap.allocate import allocate

        tied = tuple(tuple(group) for group in groups)
        names = [unit.name for unit in units]
        check_parts(names, len(formats), scores, costs, budgets, tied)
        numbers = [[names.index(name) for name in group] for group in tied]
        found = allocate(
            scores, costs, budgets, groups=numbers or None, allowed=allowed, time_limit=time_limit
        )
        if found.status == "limit":
            raise PlanError("the time limit ended before any plan was found", hint="allow more time")
        solution = Solution(
            objective=float(found.objective),
            bound=float(found.bound),
            gap=float(found.gap),
            status=str(found.status),
            used=total_costs(costs, found.choice.tolist()),
            prices={name: float(price) for name, price in found.prices.items()},
        )
        return Plan(
            units=tuple(units),
            formats=tuple(formats),
            choice=tuple(int(index) for index in found.choice),
            scores=np.asarray(scores, np.float64),
            costs={name: np.asarray(cost, np.float64) for name, cost in costs.items()},
            budgets={name: float(limit) for name, limit in budgets.items()},
            solution=solution,
            fingerprint=fingerprint,
            groups=tied,
            allowed=allowed,
            provenance=dict(provenance or {}),
        )

    def resolve(self, budgets: Mapping[str, float] | None = None, *, time_limit: float | None = None) -> Plan:
        """Choose again under other budgets (None keeps them), from this plan alone: no model, no data."""
        return Plan.solve(
            self.units,
            self.formats,
            scores=self.scores,
            costs=self.costs,
            budgets=self.budgets if budgets is None else budgets,
            fingerprint=self.fingerprint,
            groups=self.groups,
            allowed=self.allowed,
            provenance=self.provenance,
            time_limit=time_limit,
        )

    def restrict(
        self, *, pin: Mapping[str, str] | None = None, forbid: Iterable[tuple[str, str]] = ()
    ) -> Plan:
        """Fix the format of some units and forbid others, then choose the rest again.

        A pin replaces what was allowed to its unit before. Unknown units or formats are a `PlanError`.
        """
        shape = (len(self.units), len(self.formats))
        allowed = np.ones(shape, np.bool_) if self.allowed is None else self.allowed.copy()
        for name, format_name in (pin or {}).items():
            row, column = self.unit_index(name), self.format_index(format_name)
            tied = next((group for group in self.groups if name in group), (name,))
            for member in tied:
                row = self.unit_index(member)
                allowed[row] = False
                allowed[row, column] = True
        for name, format_name in forbid:
            allowed[self.unit_index(name), self.format_index(format_name)] = False
        return replace(self, allowed=allowed).resolve()

    @property
    def choices(self) -> dict[str, str]:
        """The chosen format's name, by unit."""
        return {
            unit.name: self.formats[index].name for unit, index in zip(self.units, self.choice, strict=True)
        }

    @property
    def bytes(self) -> float:
        """Stored size of all units in their formats, scales included."""
        return float(self.solution.used["bytes"])

    @property
    def average_bits(self) -> float:
        """Stored bits a weight of the units, scales included; see `tap.costs.average_bits`."""
        return average_bits(self.bytes, self.units)

    def cost_range(self, name: str = "bytes") -> tuple[float, float]:
        """Smallest and largest total of one cost, tied units and forbidden formats respected."""
        cost, allowed = self.costs[name], self.allowed
        kept = np.ones(cost.shape, np.bool_) if allowed is None else allowed
        tied = [tuple(self.unit_index(unit) for unit in group) for group in self.groups]
        alone = set(range(len(self.units))) - {row for group in tied for row in group}
        low = high = 0.0
        for rows in [*tied, *((row,) for row in alone)]:
            totals = cost[list(rows)].sum(axis=0)[kept[list(rows)].all(axis=0)]
            low, high = low + float(totals.min()), high + float(totals.max())
        return low, high

    def unit_index(self, name: str) -> int:
        """Row of the unit called `name`; a `PlanError` that names the nearest when there is none."""
        return _index(name, [unit.name for unit in self.units], "unit")

    def format_index(self, name: str) -> int:
        """Column of the format called `name`; a `PlanError` that names the nearest when there is none."""
        return _index(name, [form.name for form in self.formats], "format")

    def require_model(self, units: Sequence[Unit], fingerprint: str) -> None:
        """Raise `PlanError` unless this plan was made for the model with these units and fingerprint."""
        missing = [unit.name for unit in self.units if unit.name not in {other.name for other in units}]
        if missing:
            raise PlanError(
                f"the model lacks the unit '{missing[0]}' (and {len(missing) - 1} others of the plan)",
                hint="pass the model that the plan was made for",
            )
        if self.fingerprint and fingerprint and self.fingerprint != fingerprint:
            raise PlanError(
                f"the plan is for the model {self.fingerprint[:12]}, not {fingerprint[:12]}",
                hint="the weights differ; make a plan for this model with tap collect and tap allocate",
            )

    def save(self, path: str | Path) -> None:
        """Write JSON, whole or not at all."""
        from tap.planfile import write

        write(self, path)

    @staticmethod
    def load(path: str | Path) -> Plan:
        """Read what `save` wrote; unknown fields, units, formats or a newer version are a `PlanError`."""
        from tap.planfile import read

        return read(path)


def check_parts(
    names: list[str],
    n_formats: int,
    scores: NDArray[np.float64],
    costs: Mapping[str, NDArray[np.float64]],
    budgets: Mapping[str, float],
    groups: Sequence[Sequence[str]],
) -> None:
    """Raise `PlanError` unless the parts of a plan fit each other."""
    shape = (len(names), n_formats)
    for what, values in {
        "scores": scores,
        **{f"cost '{name}'": cost for name, cost in costs.items()},
    }.items():
        if np.shape(values) != shape:
            raise PlanError(
                f"{what} has shape {np.shape(values)}, not {shape}: one row a unit, one column a format"
            )
        if not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            raise PlanError(f"{what} of unit '{names[row]}' is not finite in format {column}")
    if "bytes" not in costs:
        raise PlanError("a plan needs the cost 'bytes'", hint="tap.costs.bytes(units, formats) gives it")
    for name in budgets:
        if name not in costs:
            raise PlanError(f"budget '{name}' has no cost", hint=f"costs here: {', '.join(costs)}")
    for group in groups:
        for name in group:
            _index(name, names, "unit")


def total_costs(costs: Mapping[str, NDArray[np.float64]], choice: Sequence[int]) -> dict[str, float]:
    """Total of each cost, added here rather than believed."""
    rows = np.arange(len(choice))
    return {name: float(np.asarray(cost)[rows, np.asarray(choice)].sum()) for name, cost in costs.items()}


def _index(name: str, names: Sequence[str], what: str) -> int:
    if name not in names:
        import difflib

        near = difflib.get_close_matches(name, names, 3)
        raise PlanError(
            f"the plan has no {what} '{name}'", hint=f"did you mean {' or '.join(near or list(names)[:5])}?"
        )
    return list(names).index(name)
