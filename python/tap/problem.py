"""The tables of an allocation problem, checked and brought into the one form that the solver reads."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tap.errors import BudgetError, InfeasibleError, TableError

Cost = NDArray[np.int64] | NDArray[np.float64]
Groups = Sequence[int] | Sequence[Sequence[int]] | NDArray[Any]
Interactions = Mapping[tuple[tuple[int, int], tuple[int, int]], float]
"""((unit, format), (other unit, format)) to what is added to the loss when both are chosen."""
Pairs = tuple[NDArray[np.uint32], NDArray[np.float64]]
"""Interactions as the solver takes them: rows (unit, format, unit, format) [N, 4] and values [N]."""

_EXACT = 2.0**53
_UNLIMITED = 1 << 100
_LARGEST = 2**63 - 1


@dataclass(frozen=True, eq=False)
class Problem:
    """Loss [L, F], costs [L, F] by name, and what each unit may take."""

    loss: NDArray[np.float64]
    costs: Mapping[str, Cost]
    allowed: NDArray[np.bool_]
    groups: NDArray[np.uint32]
    """Group of each unit [L], numbered from 0 in order of first appearance."""
    taking_part: NDArray[np.bool_]
    """Units [L] that are not excluded."""

    @staticmethod
    def build(
        loss: ArrayLike,
        costs: Mapping[str, ArrayLike],
        *,
        groups: Groups | None = None,
        allowed: ArrayLike | None = None,
        forced: Mapping[int, int] | None = None,
        forbidden: Iterable[tuple[int, int]] = (),
        excluded: Iterable[int] = (),
        weights: ArrayLike | None = None,
    ) -> Problem:
        """Check every table; a wrong one is a `TableError` that names the table, the unit and the format."""
        losses = _floats("loss", loss)
        if losses.ndim != 2 or losses.size == 0:
            raise TableError(f"loss has shape {losses.shape}; it must be [units, formats], both at least 1")
        mask = _allowed(allowed, losses.shape)
        _restrict(mask, forced or {}, forbidden)
        taking_part = np.ones(len(losses), np.bool_)
        if left_out := [_unit(unit, len(losses)) for unit in excluded]:
            taking_part[left_out] = False
            mask[left_out] = np.arange(losses.shape[1]) == 0
        # Most tables have no hole, and then half of the checks are for nothing.
        matters = None if not left_out and mask.all() else mask & taking_part[:, None]
        if matters is not None and not (usable := mask.any(axis=1)).all():
            raise TableError(f"unit {int(np.argmin(usable))} has no allowed format")
        if weights is not None:
            losses = losses * _weights(weights, len(losses))[:, None]
        losses = np.ascontiguousarray(losses if matters is None else np.where(matters, losses, 0.0))
        _check("loss", losses, signed=True)
        tables = {name: _cost(name, cost, losses.shape, matters) for name, cost in costs.items()}
        return Problem(losses, tables, mask, _groups(groups, taking_part), taking_part)

    def pair(self, name: str, budget: float) -> tuple[Any, Any]:
        """The table of a cost with its budget, as the solver takes it: both integers or both floats."""
        table = self.costs[name]
        return table, limit(name, budget, integer=table.dtype == np.int64)

    def smallest(self, name: str) -> float:
        """Smallest achievable total of a cost; an `int` for integer costs."""
        table = self.costs[name]
        n_groups = int(self.groups.max()) + 1
        sums = np.zeros((n_groups, table.shape[1]), table.dtype)
        np.add.at(sums, self.groups, table)
        usable = self._shared(self.allowed)
        if not (some := usable.any(axis=1)).all():
            members = np.flatnonzero(self.groups == int(np.argmin(some)))
            raise TableError(f"units {members.tolist()} are tied but share no allowed format")
        least = np.where(usable, sums, sums.max()).min(axis=1)
        return sum(int(value) for value in least) if table.dtype == np.int64 else math.fsum(least)

    def has_choice(self, mask: NDArray[np.bool_]) -> bool:
        """Whether every group has a format that `mask` [L, F] allows to all its units."""
        return bool(self._shared(mask).any(axis=1).all())

    def _shared(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Formats [groups, F] that all units of a group may take."""
        shared = np.ones((int(self.groups.max()) + 1, mask.shape[1]), np.bool_)
        np.logical_and.at(shared, self.groups, mask)
        return shared

    def used(self, name: str, choice: NDArray[np.int64]) -> float:
        """Total of a cost under a choice [L]; an `int` for integer costs."""
        table = self.costs[name]
        chosen = table[np.arange(len(table)), np.maximum(choice, 0)]
        if table.dtype != np.int64:
            return math.fsum(chosen)
        return int(chosen.sum()) if len(chosen) * int(chosen.max()) <= _LARGEST else sum(chosen.tolist())

    def value(self, choice: NDArray[np.int64]) -> float:
        """Total loss of a choice [L]."""
        return math.fsum(self.loss[np.arange(len(choice)), np.maximum(choice, 0)])

    def shown(self, choice: NDArray[np.uint32]) -> NDArray[np.int64]:
        """A choice of the core as the caller sees it: -1 for excluded units."""
        shown = choice.astype(np.int64)
        shown[~self.taking_part] = -1
        return shown

    def pairs(self, interactions: Interactions) -> Pairs:
        """The interactions between units that take part, checked."""
        n_units, n_formats = self.loss.shape
        cells, values = [], []
        for key, value in interactions.items():
            try:
                (left, f), (right, g) = key
            except (TypeError, ValueError):
                raise TableError(f"interaction {key!r} is not ((unit, format), (unit, format))") from None
            row = (
                *(_unit(left, n_units), _unit(f, n_formats, "format")),
                *(_unit(right, n_units), _unit(g, n_formats, "format")),
            )
            if left == right:
                raise TableError(f"interaction {key!r} names one unit twice", hint="add it to the loss")
            if not math.isfinite(value):
                raise TableError(f"the interaction {key!r} is {value}, not finite")
            if self.taking_part[left] and self.taking_part[right]:
                cells.append(row)
                values.append(value)
        return np.array(cells, np.uint32).reshape(-1, 4), np.array(values, np.float64)

    def infeasible(self, budgets: Mapping[str, float]) -> InfeasibleError:
        """The error that says how far each budget is from what can be reached."""
        smallest = {name: self.smallest(name) for name in budgets}
        over = [name for name, least in smallest.items() if least > budgets[name]]
        if over:
            parts = [
                f"{name} needs at least {smallest[name]:,.10g} of {budgets[name]:,.10g}" for name in over
            ]
            message = f"no plan fits the budgets: {'; '.join(parts)}"
        else:
            message = f"each budget can be met alone, but not all together: {', '.join(budgets)}"
        return InfeasibleError(message, hint="raise a budget, or allow cheaper formats", smallest=smallest)


def limit(name: str, budget: float, *, integer: bool) -> Any:
    """The budget as the solver takes it: an `int`, rounded down, for integer costs."""
    if isinstance(budget, bool) or not isinstance(budget, (int, float, np.integer, np.floating)):
        raise BudgetError(f"budget '{name}' is {budget!r}, not a number")
    if math.isnan(budget):
        raise BudgetError(f"budget '{name}' is not a number")
    if not integer:
        return float(budget)
    if abs(budget) >= _UNLIMITED:
        return _UNLIMITED if budget > 0 else -_UNLIMITED
    return math.floor(budget)


def _floats(name: str, table: ArrayLike) -> NDArray[np.float64]:
    try:
        return np.asarray(table, np.float64)
    except (TypeError, ValueError) as error:
        raise TableError(f"{name} is not a table of numbers: {error}") from error


def _check(name: str, table: Cost, *, signed: bool) -> None:
    if signed or table.dtype != np.int64:
        good = np.isfinite(table).all() and (signed or table.min(initial=0.0) >= 0)
    else:
        good = table.min(initial=0) >= 0
    if not good:
        bad = ~np.isfinite(table) if signed else ~np.isfinite(table) | (table < 0)
        unit, column = np.argwhere(bad)[0]
        value, what = table[unit, column], "finite" if signed else "a finite number of at least 0"
        raise TableError(f"{name} of unit {unit} in format {column} is {value}, not {what}")


def _cost(name: str, cost: ArrayLike, shape: tuple[int, ...], matters: NDArray[np.bool_] | None) -> Cost:
    """Integer tables, and float tables of whole numbers, as int64; the rest as float64.

    Cells that do not matter become 0; without `matters` all do.
    """
    table = np.asarray(cost)
    if table.shape != shape:
        raise TableError(f"cost '{name}' has shape {table.shape}, not {shape} as the loss")
    if table.dtype.kind in "iu":
        if table.size and int(table.max()) > np.iinfo(np.int64).max:
            raise TableError(f"cost '{name}' has numbers beyond 64 bits")
        whole = (table if matters is None else np.where(matters, table, 0)).astype(np.int64)
        _check(f"cost '{name}'", whole, signed=False)
        return np.ascontiguousarray(whole)
    real = _floats(f"cost '{name}'", table)
    if matters is not None:
        real = np.where(matters, real, 0.0)
    _check(f"cost '{name}'", real, signed=False)
    if (real == np.floor(real)).all() and real.max(initial=0.0) <= _EXACT:
        return np.ascontiguousarray(real.astype(np.int64))
    return np.ascontiguousarray(real)


def _allowed(allowed: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    if allowed is None:
        return np.ones(shape, np.bool_)
    mask = np.array(allowed, np.bool_)
    if mask.shape != shape:
        raise TableError(f"allowed has shape {mask.shape}, not {shape} as the loss")
    return mask


def _restrict(
    mask: NDArray[np.bool_], forced: Mapping[int, int], forbidden: Iterable[tuple[int, int]]
) -> None:
    n_units, n_formats = mask.shape
    for unit, column in forbidden:
        mask[_unit(unit, n_units), _unit(column, n_formats, "format")] = False
    for unit, column in forced.items():
        at, taken = _unit(unit, n_units), _unit(column, n_formats, "format")
        if not mask[at, taken]:
            raise TableError(f"unit {at} is forced into format {taken}, which it may not take")
        mask[at] = np.arange(n_formats) == taken


def _unit(index: int, size: int, what: str = "unit") -> int:
    if not 0 <= index < size:
        raise TableError(f"there is no {what} {index}: they run from 0 to {size - 1}")
    return int(index)


def _weights(weights: ArrayLike, n_units: int) -> NDArray[np.float64]:
    vector = _floats("weights", weights)
    if vector.shape != (n_units,) or not np.isfinite(vector).all() or (vector < 0).any():
        raise TableError(f"weights must be {n_units} finite numbers of at least 0, one a unit")
    return vector


def _groups(groups: Groups | None, taking_part: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """One label a unit from labels [L] or from lists of tied units; excluded units stand alone."""
    n_units = len(taking_part)
    if groups is None and taking_part.all():
        return np.arange(n_units, dtype=np.uint32)
    labels = np.arange(n_units)
    if groups is not None and len(groups) and np.ndim(groups[0]) == 0:
        if len(groups) != n_units:
            raise TableError(f"groups has {len(groups)} labels, not one for each of {n_units} units")
        _, labels = np.unique(np.asarray(groups), return_inverse=True)
    elif groups is not None:
        for tied in groups:
            members = [_unit(unit, n_units) for unit in tied]  # type: ignore[union-attr]
            joined = np.isin(labels, labels[members])
            if members:
                labels[joined] = labels[members].min()
    labels = np.where(taking_part, labels, n_units + np.arange(n_units))
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.uint32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.uint32)
    return np.ascontiguousarray(rank[inverse])
