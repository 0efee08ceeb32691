"""A network as the search sees it: its table, its measured truth, and what scores mean against them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tap.agreement import Regret, spearman
from tap.errors import TableError
from tap.stats.table import LayerTable

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Net:
    """One search or held-out network."""

    name: str
    table: LayerTable
    target: Any
    """A `Sensitivity` or a `Configurations` of the same model."""
    evaluate: Callable[[Scores], float] | None = None
    """Share of the accuracy kept, in [0, 1], by the really quantized network under the plan that the scores
    lead to; see `tap.search.fitness.PlanAccuracy`."""

    @property
    def by_configurations(self) -> bool:
        """Whether the truth is whole configurations, the judge that counts."""
        return hasattr(self.target, "choice")

    def agreement(self, scores: Scores) -> float:
        """Spearman with the truth, the mean over the groups; NaN for scores that are all alike."""
        predicted = self.predicted(scores)
        truth = np.asarray(self.target.loss if self.by_configurations else self.target.values).ravel()
        return float(np.mean([spearman(predicted[group], truth[group]) for group in self.groups()]))

    @cached_property
    def regret(self) -> Regret | None:
        """What choices by scores give away; None where no choice can be wrong."""
        try:
            return Regret(self.target, costs=None if self.by_configurations else self._sizes())
        except TableError:
            return None

    def _sizes(self) -> Scores:
        """Bytes of each unit in each format; weights times bits where the table has no bytes."""
        columns, shape = self.table.columns, np.asarray(self.target.values).shape
        if "bytes" in columns:
            return np.broadcast_to(np.asarray(columns["bytes"], dtype=float).reshape(shape[0], -1), shape)
        numel = np.array([[unit.numel] for unit in self.table.units], dtype=float)
        return np.asarray(numel * np.asarray(columns["bits"], dtype=float).reshape(shape[0], -1))

    def predicted(self, scores: Scores) -> Scores:
        """What the truth is compared with: scores [L * F], or their sum over each configuration [M]."""
        if not self.by_configurations:
            return np.asarray(scores, dtype=float).ravel()
        return np.asarray(scores[np.arange(len(scores)), self.target.choice].sum(axis=1))

    def groups(self) -> list[NDArray[np.int64]]:
        """Positions that are ranked among each other: one group, or the strata of equal bytes."""
        if not self.by_configurations:
            return [np.arange(self.target.values.size)]
        strata = np.asarray(self.target.stratum)
        return [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]

    def wrong(self, scores: Scores, *, count: int = 4) -> list[str]:
        """The units whose place the scores misjudge most, as lines for a prompt."""
        if self.by_configurations:
            return self._wrong_configurations(scores, count)
        measured = _ranks(np.asarray(self.target.values).ravel())
        predicted = _ranks(np.asarray(scores, dtype=float).ravel())
        gap, n_formats = predicted - measured, len(self.table.formats)
        lines = []
        for position in np.argsort(-np.abs(gap), kind="stable")[:count]:
            unit, form = divmod(int(position), n_formats)
            lines.append(
                f"{self.name}: {self._unit(unit)} in {self.table.formats[form]} is ranked"
                f" {predicted[position]:.0f} of {len(gap)} (1 = harmless), measured {measured[position]:.0f}"
            )
        return lines

    def _wrong_configurations(self, scores: Scores, count: int) -> list[str]:
        """Correlate each unit's bits with how much worse a configuration is than predicted."""
        bits = np.asarray(self.table.columns["bits"], dtype=float)
        if bits.ndim == 1:
            bits = np.broadcast_to(bits[:, None], (len(self.table.units), len(self.table.formats)))
        chosen = bits[np.arange(len(bits)), np.asarray(self.target.choice)]
        predicted, loss = self.predicted(scores), np.asarray(self.target.loss)
        slope = np.zeros(len(bits))
        for group in self.groups():
            if len(group) > 2:
                surprise = _ranks(loss[group]) - _ranks(predicted[group])
                for unit in range(len(bits)):
                    slope[unit] -= _correlation(chosen[group, unit], surprise)
        slope /= max(1, len(self.groups()))
        lines = []
        for unit in np.argsort(-np.abs(slope), kind="stable")[:count]:
            if slope[unit] != 0.0:
                way = "more" if slope[unit] > 0 else "less"
                lines.append(f"{self.name}: {self._unit(int(unit))} is {way} sensitive than the program says")
        return lines

    def _unit(self, index: int) -> str:
        unit = self.table.units[index]
        return f"{unit.name} ({unit.kind} {unit.inp}->{unit.out}, {index + 1} of {len(self.table.units)})"


def signature(nets: Sequence[Net], scores: Sequence[Scores]) -> str:
    """Hash of the order in which scores put the truths of all nets; equal for behavioural twins.

    Predictions that differ by less than a part in 10^9 count as tied.
    """
    digest = hashlib.sha256(b"tap-signature-1")
    for net, values in zip(nets, scores, strict=True):
        predicted = net.predicted(values)
        for group in net.groups():
            digest.update(_ranks(_rounded(predicted[group])).astype("<f8").tobytes())
    return digest.hexdigest()[:32]


def check_nets(nets: Sequence[Net]) -> None:
    """Refuse nets whose table and truth do not belong together."""
    names = [net.name for net in nets]
    if len(set(names)) != len(names):
        raise TableError(f"two networks have the same name: {', '.join(names)}", hint="name them apart")
    for net in nets:
        units = tuple(unit.name for unit in net.table.units)
        if tuple(net.target.units) != units or tuple(net.target.formats) != tuple(net.table.formats):
            raise TableError(
                f"the truth of {net.name} has other units or formats than its table",
                hint="measure and collect with the same --exclude and --formats",
            )
        if net.table.fingerprint != net.target.fingerprint:
            raise TableError(
                f"the table and the truth of {net.name} come from different weights",
                hint="collect and measure the same model",
            )


def check_choices(nets: Sequence[Net]) -> None:
    """Refuse nets on which a choice cannot be wrong, as regret needs it."""
    for net in nets:
        if net.regret is None:
            raise TableError(
                f"regret says nothing on {net.name}: its cheapest plan is the best",
                hint="choose another fitness, or measure on more samples",
            )


def _rounded(values: Scores) -> Scores:
    scale = np.abs(values).max() if values.size else 0.0
    return np.asarray(np.round(values / scale, 9)) if scale > 0 else values


def _ranks(values: Scores) -> Scores:
    """Average ranks from 1."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    sizes = np.diff(np.r_[starts, len(values)])
    ranks = np.empty(len(values))
    ranks[order] = np.repeat(starts + (sizes + 1) / 2.0, sizes)
    return ranks


def _correlation(first: Scores, second: Scores) -> float:
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / scale if scale > 0 else 0.0
