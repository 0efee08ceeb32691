"""Agreement of many scores with one truth at once, on common bootstrap draws, so that they can be paired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tap.configurations import Configurations
from tap.rank import spearman
from tap.sensitivity import Sensitivity

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Agreed:
    """How N scores agree with a truth of G groups (strata, or formats).

    A constant prediction counts as agreement 0.
    """

    groups: tuple[str, ...]
    by_group: Floats
    """[N, G]: Spearman within each group."""
    value: Floats
    """[N]: the mean over strata; for a sensitivity, over all units and formats pooled."""
    draws: Floats
    """[D, N]: `value` on bootstrap draws of configurations, or of units; the same draws for all N."""
    ceiling: float
    regret: Floats
    """[N]: for configurations, loss of the one ranked first over the least, as part of the mean's over the
    least, averaged over strata; NaN for a sensitivity."""

    @property
    def relative(self) -> Floats:
        """[N]: the mean over groups, over the noise ceiling, which is of the ranking within a group."""
        return np.asarray(self.by_group.mean(axis=1) / self.ceiling)

    def interval(self, which: int) -> tuple[float, float]:
        """95 % of `value` of one score."""
        low, high = np.quantile(self.draws[:, which], [0.025, 0.975])
        return float(low), float(high)

    def against(self, reference: int) -> tuple[Floats, Floats]:
        """Difference to one score [N], and its two-sided p value [N] by the paired bootstrap."""
        apart = self.draws - self.draws[:, [reference]]
        count = len(apart)
        tail = np.minimum((apart <= 0).sum(axis=0), (apart >= 0).sum(axis=0))
        p = np.minimum(1.0, 2 * (tail + 1) / (count + 1))
        return self.value - self.value[reference], np.where(np.ptp(apart, axis=0) == 0, 1.0, p)


def with_truth(
    scores: Sequence[Floats], truth: Configurations | Sensitivity, *, draws: int = 1000, seed: int = 0
) -> Agreed:
    """`with_configurations` or `with_sensitivity`, as the truth is."""
    if isinstance(truth, Configurations):
        return with_configurations(scores, truth, draws=draws, seed=seed)
    return with_sensitivity(scores, truth, draws=draws, seed=seed)


def with_configurations(
    scores: Sequence[Floats], truth: Configurations, *, draws: int = 1000, seed: int = 0
) -> Agreed:
    """Agreement within strata of equal bytes; each of `scores` is [L, F] in the truth's order.

    >>> truth = Configurations(
    ...     ("a", "b"), ("int2", "int4"), np.array([[0, 0], [0, 1], [1, 0], [1, 1]]),
    ...     np.array([3.0, 2.0, 1.5, 1.0]), *np.zeros((2, 4)), *np.zeros((2, 4), int), ceiling=1.0,
    ... )
    >>> with_configurations([np.array([[2.0, 0.5], [1.0, 0.1]])], truth).value.tolist()
    [1.0]
    """
    units = np.arange(truth.choice.shape[1])
    predicted = np.stack([score[units, truth.choice].sum(axis=1) for score in scores])
    parts = [np.flatnonzero(truth.stratum == group) for group in np.unique(truth.stratum)]
    names = [str(group) for group in np.unique(truth.stratum)]
    kept = [(name, part) for name, part in zip(names, parts, strict=True) if np.ptp(truth.loss[part]) > 0]
    by_group: Floats = np.stack([_rank(predicted[:, part], truth.loss[part]) for _, part in kept], axis=1)
    rng = np.random.default_rng(seed)
    samples = np.zeros((draws, len(predicted)))
    for row in samples:
        again = [part[rng.integers(len(part), size=len(part))] for _, part in kept]
        row[:] = np.mean([_rank(predicted[:, part], truth.loss[part]) for part in again], axis=0)
    regret = np.mean([_regret(predicted[:, part], truth.loss[part]) for _, part in kept], axis=0)
    budgets = truth.meta.get("budgets") or []
    groups = tuple(str(budgets[int(name)]) if int(name) < len(budgets) else name for name, _ in kept)
    value = np.asarray(by_group.mean(axis=1))
    return Agreed(groups, by_group, value, samples, truth.ceiling, np.asarray(regret))


def with_sensitivity(
    scores: Sequence[Floats], truth: Sensitivity, *, draws: int = 1000, seed: int = 0
) -> Agreed:
    """Agreement with the measured sensitivity; each of `scores` is [L, F] in the truth's order.

    >>> values = np.array([[3.0, 1.0], [5.0, 2.0], [4.0, 1.5]])
    >>> truth = Sensitivity(("a", "b", "c"), ("int2", "int4"), values, values / 10, ceiling=0.9)
    >>> with_sensitivity([values**2], truth).by_group.tolist()
    [[1.0, 1.0]]
    """
    table, values = np.stack(scores), truth.values
    by_group = np.stack([_rank(table[:, :, f], values[:, f]) for f in range(values.shape[1])], axis=1)
    rng = np.random.default_rng(seed)
    samples = np.zeros((draws, len(table)))
    for row in samples:
        again = rng.integers(len(values), size=len(values))
        row[:] = _rank(table[:, again].reshape(len(table), -1), values[again].ravel())
    pooled = _rank(table.reshape(len(table), -1), values.ravel())
    nothing = np.full(len(table), np.nan)
    return Agreed(truth.formats, by_group, pooled, samples, truth.ceiling, nothing)


def _rank(rows: Floats, row: Floats) -> Floats:
    found: Floats = np.nan_to_num(np.asarray(spearman(rows, row)), nan=0.0)
    return found


def _regret(predicted: Floats, loss: Floats) -> Floats:
    """Ties for the first place share it."""
    first = predicted == predicted.min(axis=1, keepdims=True)
    picked = (first * loss).sum(axis=1) / first.sum(axis=1)
    return np.asarray((picked - loss.min()) / (loss.mean() - loss.min()))
