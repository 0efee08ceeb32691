"""How well scores agree with the truth: rank correlation with a target."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tap import _core
from tap.errors import DataError, TableError
from tap.stats.table import LayerTable

Rows = NDArray[np.float64]

RUNGS = 8
"""Budgets of a regret, evenly between the cheapest and the dearest plan, unless said."""
_LARGE = 2.0**53
"""Up to here whole numbers are exact; other costs are counted in a power of 2 that brings them near."""


def spearman(scores: Rows, target: Rows) -> Rows | float:
    """Spearman's rho of `scores` [N, n] or [n] against `target` [n]: [N] values or one.

    Ties get average ranks. A NaN or a constant row or target gives NaN, as in `scipy.stats.spearmanr`.
    A shape that does not fit is a `DataError`.

    >>> spearman(np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]), np.array([10.0, 20.0, 30.0]))
    array([ 1., -1.])
    """
    return _run(_core.spearman, scores, target)


def kendall(scores: Rows, target: Rows) -> Rows | float:
    """Kendall's tau-b of `scores` [N, n] or [n] against `target` [n]: [N] values or one.

    Takes n log n steps a row. A NaN or a constant row or target gives NaN, as in `scipy.stats.kendalltau`.
    A shape that does not fit is a `DataError`.

    >>> float(kendall(np.array([1.0, 3.0, 2.0]), np.array([10.0, 20.0, 30.0])))
    0.3333333333333333
    """
    return _run(_core.kendall, scores, target)


def weighted_tau(scores: Rows, target: Rows) -> Rows | float:
    """Weighted tau of `scores` [N, n] or [n] against `target` [n]: [N] values or one.

    A pair weighs 1/(1+r_i) + 1/(1+r_j), r = 0 for the largest value, averaged over the ranks of either side:
    the defaults of `scipy.stats.weightedtau`, except that a NaN gives NaN. Source: S. Vigna, WWW 2015.
    A shape that does not fit is a `DataError`.

    >>> float(weighted_tau(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 30.0])))
    1.0
    """
    return _run(_core.weighted_tau, scores, target)


def topk(scores: Rows, target: Rows, *, k: int | None = None) -> Rows | float:
    """Share of the `k` largest scores that are among the `k` largest of the target: [N] values or one.

    `scores` is [N, n] or [n], `target` [n]; `k` is a tenth of n, at least 1, unless given. Values that tie
    for the last places share them evenly. A NaN or a constant row or target gives NaN. A shape that does not
    fit is a `DataError`.

    >>> float(topk(np.array([1.0, 5.0, 4.0, 2.0]), np.array([1.0, 2.0, 4.0, 3.0]), k=2))
    0.5
    """
    size = np.asarray(target).size
    chosen = max(1, size // 10) if k is None else k
    if chosen < 1:
        raise DataError(f"k is {chosen}", hint="give the number of top values to compare, at least 1")
    return _run(lambda rows, row: _core.top_k(rows, row, chosen), scores, target)


def _run(kernel: Callable[[Rows, Rows], Rows], scores: Rows, target: Rows) -> Rows | float:
    """Bring the arrays into the shape the kernel takes, and its answer back into the caller's."""
    rows = np.ascontiguousarray(scores, dtype=np.float64)
    row = np.ascontiguousarray(target, dtype=np.float64)
    if row.ndim != 1 or rows.ndim not in (1, 2) or rows.shape[-1] != row.size:
        raise DataError(
            f"scores of shape {rows.shape} do not fit a target of shape {row.shape}",
            hint="scores are [N, n] or [n], the target is [n]",
        )
    if rows.ndim == 1:
        return float(kernel(rows[None, :], row)[0])
    return kernel(rows, row)


@dataclass(frozen=True)
class Agreement:
    """How well scores agree with one truth.

    >>> Agreement(0.8, 0.6, 0.7, 0.5, {"int2": 0.8}, 0.9, (0.7, 0.9)).spearman
    0.8
    """

    spearman: float
    """Over all units and formats at once for a sensitivity, the mean over strata for configurations."""
    kendall: float
    weighted_tau: float
    topk: float
    per_group: Mapping[str, float]
    """Spearman's rho within each format, or within each stratum."""
    relative: float
    """Mean of `per_group` over the target's ceiling, which is of the ranking within such a group."""
    interval: tuple[float, float]
    """95 % of `spearman` when units, or configurations within strata, are drawn again with replacement."""


def agreement(scores: Rows, target: Any, *, draws: int = 1000, seed: int = 0) -> Agreement:
    """Agreement of `scores` [L, F] with a `Sensitivity` or `Configurations` of the same units and formats.

    A large score means that the loss grows. The interval takes `draws` bootstrap samples, reproducible by
    `seed`. Scores of another shape are a `DataError`.

    >>> from types import SimpleNamespace
    >>> values = np.array([[3.0, 1.0], [5.0, 2.0], [4.0, 1.5]])
    >>> truth = SimpleNamespace(formats=("int2", "int4"), values=values, ceiling=0.9)
    >>> found = agreement(values**2, truth)
    >>> found.spearman, dict(found.per_group), round(found.relative, 2)
    (1.0, {'int2': 1.0, 'int4': 1.0}, 1.11)
    """
    scores = np.asarray(scores, np.float64)
    rng = np.random.default_rng(seed)
    if hasattr(target, "choice"):
        units, formats = target.choice.shape[1], len(target.formats)
        _check(scores, (units, formats))
        predicted = np.zeros(len(target.loss))
        for unit in range(units):
            predicted += scores[unit, target.choice[:, unit]]
        parts = [np.flatnonzero(target.stratum == number) for number in np.unique(target.stratum)]
        names = [str(number) for number in np.unique(target.stratum)]
        return _strata(
            predicted, np.asarray(target.loss, np.float64), parts, names, target.ceiling, draws, rng
        )
    values = np.asarray(target.values, np.float64)
    _check(scores, values.shape)
    per_group = {
        name: float(spearman(scores[:, place], values[:, place])) for place, name in enumerate(target.formats)
    }
    drawn = rng.integers(len(values), size=(draws, len(values)))
    samples = [float(spearman(scores[rows].ravel(), values[rows].ravel())) for rows in drawn]
    row, truth = scores.ravel(), values.ravel()
    return Agreement(
        float(spearman(row, truth)),
        float(kendall(row, truth)),
        float(weighted_tau(row, truth)),
        float(topk(row, truth)),
        per_group,
        float(np.mean(list(per_group.values()))) / target.ceiling,
        _interval(samples),
    )


class Regret:
    """What deciding by scores gives away by one truth, whose best plans are found once.

    >>> from types import SimpleNamespace
    >>> values = np.array([[3.0, 1.0], [5.0, 2.0], [4.0, 1.5]])
    >>> truth = SimpleNamespace(formats=("int2", "int4"), values=values)
    >>> of = Regret(truth, costs=np.array([[2.0, 4.0], [2.0, 4.0], [2.0, 4.0]]), budgets=[8.0])
    >>> of(values), of(-values)
    (0.0, 1.0)
    """

    def __init__(
        self, target: Any, *, costs: Rows | None = None, budgets: int | Sequence[float] = RUNGS
    ) -> None:
        choice = getattr(target, "choice", None)
        units = choice.shape[1] if choice is not None else np.asarray(target.values).shape[0]
        self.shape = (units, len(target.formats))
        if choice is None:
            if costs is None:
                raise DataError(
                    "regret by a sensitivity needs costs", hint="give costs [L, F], such as bytes"
                )
            costs = np.asarray(costs, np.float64)
            _check(costs, self.shape, "costs")
            if not (np.isfinite(costs) & (costs >= 0)).all():
                raise DataError("a cost is negative or not a number", hint="costs are finite and not below 0")
        self._truth = _core_truth(
            target, np.arange(units), np.arange(len(target.formats)), units, costs, budgets
        )

    def __call__(self, scores: Rows) -> float:
        """Of scores [L, F]; NaN when one is not finite. Another shape is a `DataError`."""
        scores = np.asarray(scores, np.float64)
        _check(scores, self.shape)
        return float(self._truth.regret(np.ascontiguousarray(scores.T).reshape(1, -1))[0])


def regret(
    scores: Rows, target: Any, *, costs: Rows | None = None, budgets: int | Sequence[float] = RUNGS
) -> float:
    """What deciding by `scores` [L, F] gives away: 0 is the best decision, 1 no better than not knowing.

    With a `Sensitivity`: under each budget the exact plan by the scores and the one by the truth are found;
    the regret is how much more the first loses by the truth, as part of what the cheapest plan loses, the
    mean over budgets. `costs` [L, F] are then needed; `budgets` are totals of them, or the number of rungs of
    an even ladder. With `Configurations`: the loss of the one ranked first in each stratum above the least,
    as part of the mean's; the mean over strata. `tap.screen` and the search go by the same.

    Raises:
        DataError: scores or costs of another shape, or no costs for a sensitivity.
        TableError: no plan fits a budget, or no plan is better than the cheapest.

    >>> from types import SimpleNamespace
    >>> choice, loss = np.array([[0, 1], [1, 0]]), np.array([0.3, 0.1])
    >>> truth = SimpleNamespace(formats=("int2", "int4"), choice=choice, loss=loss, stratum=[3, 3])
    >>> regret(np.array([[0.5, 0.1], [0.2, 0.1]]), truth)
    0.0
    """
    return Regret(target, costs=costs, budgets=budgets)(scores)


def _strata(
    predicted: Rows,
    loss: Rows,
    parts: Sequence[NDArray[np.int64]],
    names: Sequence[str],
    ceiling: float,
    draws: int,
    rng: np.random.Generator,
) -> Agreement:
    """Agreement within each stratum, averaged over those in which the losses differ."""
    kept = [(name, part) for name, part in zip(names, parts, strict=True) if np.ptp(loss[part]) > 0]

    def mean(measure: Callable[[Rows, Rows], Rows | float]) -> float:
        return float(np.mean([measure(predicted[part], loss[part]) for _, part in kept]))

    samples = []
    for _ in range(draws):
        again = [part[rng.integers(len(part), size=len(part))] for _, part in kept]
        samples.append(float(np.mean([spearman(predicted[part], loss[part]) for part in again])))
    per_group = {name: float(spearman(predicted[part], loss[part])) for name, part in kept}
    return Agreement(
        mean(spearman),
        mean(kendall),
        mean(weighted_tau),
        mean(topk),
        per_group,
        mean(spearman) / ceiling,
        _interval(samples),
    )


def _interval(samples: Sequence[float]) -> tuple[float, float]:
    """The middle 95 % of those that are defined."""
    defined = [sample for sample in samples if sample == sample]
    if not defined:
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [0.025, 0.975])
    return float(low), float(high)


def _check(values: Rows, shape: tuple[int, ...], what: str = "scores") -> None:
    if values.shape != shape:
        raise DataError(
            f"{what} of shape {values.shape} do not fit a target of {shape}", hint=f"{what} are [L, F]"
        )


def truth_of(target: Any, table: LayerTable, *, budgets: int | Sequence[float] | None = None) -> _core.Truth:
    """The target as the core judges by it, its units and formats found in the table by name.

    `budgets`, for regret by a sensitivity, are average bits a weight, or the number of rungs of a ladder.

    Raises:
        TableError: the target is of another model, or has units or formats that the table lacks.
    """
    units, formats = places_in(table, target)
    costs = None
    if budgets is not None and not hasattr(target, "choice"):
        costs = _bytes(table)[np.ix_(units, formats)]
        if not isinstance(budgets, int):
            numel = sum(table.units[int(unit)].numel for unit in units)
            budgets = [bits * numel / 8 for bits in budgets]
    return _core_truth(target, units, formats, len(table.units), costs, budgets)


def places_in(table: LayerTable, target: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the units and the formats of a target stand in the table: [its units] and [its formats].

    Raises:
        TableError: the target is of another model, or has units or formats that the table lacks.
    """
    if target.fingerprint and table.fingerprint and target.fingerprint != table.fingerprint:
        raise TableError(
            "the target was measured on another model than the table",
            hint="collect the table and measure the target on the same weights",
        )
    names = [unit.name for unit in table.units]
    return _places(names, target.units, "unit"), _places(table.formats, target.formats, "format")


def _core_truth(
    target: Any,
    units: NDArray[np.int64],
    formats: NDArray[np.int64],
    n_units: int,
    costs: Rows | None,
    budgets: int | Sequence[float] | None,
) -> _core.Truth:
    """The target in the core's form: its units and formats by their place in scores of `n_units` units."""
    try:
        if hasattr(target, "choice"):
            places = formats[np.asarray(target.choice)] * n_units + units
            return _core.Truth.configurations(
                np.ascontiguousarray(places, np.uint32),
                np.ascontiguousarray(target.loss, np.float64),
                np.ascontiguousarray(target.stratum, np.int64),
            )
        places = formats[:, None] * n_units + units
        values = np.ascontiguousarray(np.asarray(target.values, np.float64).T)
        whole, rungs = np.zeros(0, np.int64), list[int]()
        if costs is not None and budgets is not None:
            whole, rungs = _ladder(costs, budgets)
        return _core.Truth.sensitivity(
            values.ravel(), places.ravel().astype(np.uint32), len(formats), whole, rungs
        )
    except ValueError as error:
        raise TableError(f"the target cannot judge scores: {error}") from error


def _bytes(table: LayerTable) -> Rows:
    """The column `bytes` [L, F], as whole numbers."""
    if "bytes" not in table.columns:
        raise TableError("regret needs the column 'bytes'", hint="collect the table with formats")
    cost = np.asarray(table.columns["bytes"], np.float64).reshape(len(table.units), -1)
    if not (np.isfinite(cost) & (cost >= 0)).all():
        raise TableError("the column 'bytes' has a value that is no size", hint="collect the table again")
    return np.rint(np.broadcast_to(cost, (len(table.units), len(table.formats))))


def _ladder(costs: Rows, budgets: int | Sequence[float]) -> tuple[NDArray[np.int64], list[int]]:
    """Whole costs, format-major in one row, and whole budgets; fractions are rounded to the safe side."""
    dearest = costs.max(axis=1).sum()
    whole_numbers = dearest < _LARGE and (costs == np.rint(costs)).all()
    scale = 1.0 if whole_numbers else 2.0 ** (52 - math.ceil(math.log2(dearest)))
    whole = np.ceil(costs * scale).astype(np.int64)
    if isinstance(budgets, int):
        if budgets < 1:
            raise DataError(f"a ladder of {budgets} budgets", hint="give the number of rungs, at least 1")
        least, most = int(whole.min(axis=1).sum()), int(whole.max(axis=1).sum())
        rungs = [least + (most - least) * rung // (budgets + 1) for rung in range(1, budgets + 1)]
    else:
        given = np.asarray(budgets, np.float64)
        if given.ndim != 1 or given.size == 0 or not np.isfinite(given).all():
            raise DataError("budgets are no list of numbers", hint="give at least one finite budget")
        rungs = [math.floor(min(budget, 2 * dearest) * scale) for budget in given.tolist()]
    return np.ascontiguousarray(whole.T).ravel(), rungs


def _places(names: Sequence[str], wanted: Sequence[str], what: str) -> NDArray[np.int64]:
    """Where each wanted name stands among the names of the table."""
    place = {name: at for at, name in enumerate(names)}
    missing = [name for name in wanted if name not in place]
    if missing:
        raise TableError(
            f"the target has the {what} '{missing[0]}', which the table lacks",
            hint=f"the table has {', '.join(names)}",
        )
    return np.array([place[name] for name in wanted], np.int64)
