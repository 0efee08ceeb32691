"""How well scores agree with the truth: rank correlation with a target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tap import _core
from tap.errors import DataError, TableError
from tap.stats.table import LayerTable

Rows = NDArray[np.float64]


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


def truth_of(target: Any, table: LayerTable) -> _core.Truth:
    """The target as the core judges by it, its units and formats found in the table by name.

    Raises:
        TableError: the target is of another model, or has units or formats that the table lacks.
    """
    if target.fingerprint and table.fingerprint and target.fingerprint != table.fingerprint:
        raise TableError(
            "the target was measured on another model than the table",
            hint="collect the table and measure the target on the same weights",
        )
    units = _places([unit.name for unit in table.units], target.units, "unit")
    formats = _places(table.formats, target.formats, "format")
    try:
        if hasattr(target, "choice"):
            places = formats[np.asarray(target.choice)] * len(table.units) + units
            return _core.Truth.configurations(
                np.ascontiguousarray(places, np.uint32),
                np.ascontiguousarray(target.loss, np.float64),
                np.ascontiguousarray(target.stratum, np.int64),
            )
        places = formats[:, None] * len(table.units) + units
        values = np.ascontiguousarray(np.asarray(target.values, np.float64).T)
        return _core.Truth.sensitivity(values.ravel(), places.ravel().astype(np.uint32))
    except ValueError as error:
        raise TableError(f"the target cannot judge scores: {error}") from error


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
