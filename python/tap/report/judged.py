"""The sections about proxies: agreement with measured truth, scatter, and where each ranks wrongly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tap import proxies as library
from tap.agreement import Agreement, agreement, places_in, spearman
from tap.configurations import Configurations
from tap.errors import ProxyError, TableError
from tap.formats import parse_all
from tap.proxy import Proxy
from tap.report.page import Chart
from tap.report.svg import Series, heat_map, plot
from tap.sensitivity import Sensitivity
from tap.stats.table import LayerTable

Scores = NDArray[np.float64]
SHOWN = 12
"""Proxies in the map of wrong ranks."""
DRAWN = 4
"""Proxies with a scatter."""
DRAWS = 300
"""Bootstrap samples of each interval."""


@dataclass(frozen=True)
class Judged:
    """One proxy: its scores [L, F] of the target's units and formats, and how well they agree."""

    name: str
    scores: Scores
    found: Agreement


def judge(
    sources: Mapping[str, str], table: LayerTable, target: Sensitivity | Configurations
) -> tuple[list[Judged], dict[str, str]]:
    """The proxies that have a score, best first, and what was wrong with the others."""
    rows, columns = places_in(table, target)
    judged, failed = [], {}
    for name, source in sources.items():
        try:
            scores = Proxy(source).score(table)[np.ix_(rows, columns)]
        except (ProxyError, TableError) as error:
            failed[name] = error.message
            continue
        judged.append(Judged(name, scores, agreement(scores, target, draws=DRAWS)))
    return sorted(judged, key=lambda one: -float(np.nan_to_num(one.found.spearman, nan=-2.0))), failed


def judged_charts(
    table: LayerTable, target: Sensitivity | Configurations, *, also: Sequence[str] = (), name: str = ""
) -> tuple[Chart, ...]:
    """Table, scatter and map of wrong ranks for every named proxy; `also` are drawn whatever their place."""
    sources = {name: library.source(name) for name in dict.fromkeys([*library.names(), *also])}
    judged, failed = judge(sources, table, target)
    if not judged:
        return (_agreement(judged, failed, target, name),)
    drawn = [one for one in judged if one.name in also] + [judged[0], judged[len(judged) // 2], judged[-1]]
    drawn += [one for one in judged if one.name == library.DEFAULT]
    unique = list({one.name: one for one in drawn}.values())[: max(DRAWN, len(also))]
    shown = list({one.name: one for one in [*judged[:SHOWN], *unique]}.values())
    return (
        _agreement(judged, failed, target, name),
        _scatter(unique, target, name),
        _wrong(shown, judged, target, name),
    )


def _agreement(
    judged: Sequence[Judged], failed: Mapping[str, str], target: Sensitivity | Configurations, name: str
) -> Chart:
    by_whole = isinstance(target, Configurations)
    ceiling = "over the ceiling" if by_whole else "within a format, over the ceiling"
    rows: list[dict[str, Any]] = [
        {
            "proxy": one.name,
            "spearman": one.found.spearman,
            "95 % interval": f"{one.found.interval[0]:.2f} to {one.found.interval[1]:.2f}",
            ceiling: one.found.relative,
            "kendall": one.found.kendall,
            "top-k": one.found.topk,
        }
        for one in judged
    ]
    rows += [{"proxy": name, "95 % interval": message} for name, message in failed.items()]
    what = "configurations of equal bytes, averaged over the strata" if by_whole else "units and formats"
    text = (
        f"Rank correlation of each named proxy with the measured loss of {what}; 95 % by the bootstrap. "
        f"The noise ceiling, {target.ceiling:.2f}, is what a perfect proxy would reach."
    )
    return Chart(_titled("Proxy agreement", name), text, rows=rows)


def _scatter(drawn: Sequence[Judged], target: Sensitivity | Configurations, name: str) -> Chart:
    charts = []
    for one in drawn:
        label = f"{one.name}: Spearman {one.found.spearman:.2f}"
        charts.append((label, _scatter_of(one, target, label)))
    what = (
        "Rank within configurations of equal bytes, predicted and measured."
        if isinstance(target, Configurations)
        else "Score against measured loss of each unit in each format; a value of 0 or less has no place on "
        "a logarithmic axis. Bars are standard errors."
    )
    return Chart(
        _titled("Predicted and measured", name),
        f"{what} The best, a middling, the worst proxy.",
        tuple(charts),
    )


def _scatter_of(one: Judged, target: Sensitivity | Configurations, label: str) -> str:
    series = []
    if isinstance(target, Configurations):
        predicted = predict(one.scores, target)
        for stratum in np.unique(target.stratum):
            rows = np.flatnonzero(target.stratum == stratum)
            size = f"{target.bytes[rows].mean() / 1e3:,.1f} kB"
            names = [f"configuration {row}" for row in rows]
            series.append(Series(size, ranks(predicted[rows]), ranks(target.loss[rows]), names=names))
        return plot(series, label=label, x_name="predicted rank", y_name="measured rank")
    log = bool((one.scores > 0).mean() > 0.5)
    for column, form in enumerate(target.formats):
        names = [f"{unit}, {form}" for unit in target.units]
        x, y, error = one.scores[:, column], target.values[:, column], target.stderr[:, column]
        series.append(Series(form, list(x), list(y), list(error), names=names))
    return plot(series, label=label, x_name="score", y_name="measured loss", log_x=log, log_y=True)


def _wrong(
    shown: Sequence[Judged], judged: Sequence[Judged], target: Sensitivity | Configurations, name: str
) -> Chart:
    misses = {one.name: wrong_ranks(one.scores, target) for one in judged}
    label = "Where each proxy ranks wrongly"
    columns = np.stack([misses[one.name] for one in shown], axis=1)
    svg = heat_map(target.units, [one.name for one in shown], columns, label=label, scale="signed")
    rows = []
    for one in judged:
        miss = misses[one.name]
        order = np.argsort(-np.abs(np.nan_to_num(miss)))[:3]
        told = ", ".join(f"{target.units[unit]} {miss[unit]:+.2g}" for unit in order)
        rows.append({"proxy": one.name, "largest misses": told})
    if isinstance(target, Configurations):
        text = (
            "How the error of the predicted rank goes with the bits that a unit has, over configurations of "
            "equal bytes (rank correlation): above 0, blue, the proxy expects too much of bits given to this "
            "unit; below 0, orange, too little."
        )
    else:
        text = (
            "Rank that the proxy gives a unit less its measured rank, averaged over formats: above 0, blue, "
            "it takes the unit for more sensitive than it is; below 0, orange, for less."
        )
    return Chart(_titled(label, name), text, ((label, svg),), rows, folded=True)


def wrong_ranks(scores: Scores, target: Sensitivity | Configurations) -> Scores:
    """For each unit [L], how far a proxy overrates it (above 0) or underrates it (below 0).

    For a `Sensitivity`: places in the ranking, averaged over formats. For `Configurations`: Spearman, from -1
    to 1, of the measured less the predicted rank of the loss with the bits of the unit.
    """
    if isinstance(target, Sensitivity):
        off = [
            np.subtract(ranks(scores[:, column]), ranks(target.values[:, column]))
            for column in range(scores.shape[1])
        ]
        return np.asarray(np.mean(off, axis=0))
    predicted, missed = predict(scores, target), np.zeros(len(target.loss))
    for stratum in np.unique(target.stratum):
        rows = np.flatnonzero(target.stratum == stratum)
        missed[rows] = np.subtract(ranks(target.loss[rows]), ranks(predicted[rows])) / len(rows)
    bits = np.array([form.bits for form in parse_all(target.formats)], np.float64)[target.choice]
    return np.array([float(spearman(missed, bits[:, unit])) for unit in range(len(target.units))])


def predict(scores: Scores, target: Configurations) -> Scores:
    """The sum of the scores [L, F] of the formats that each configuration chose: [M]."""
    return np.asarray(scores[np.arange(scores.shape[0]), target.choice].sum(axis=1))


def ranks(values: Any) -> list[float]:
    """Ranks from 1, ties averaged.

    >>> ranks([0.5, 0.1, 0.5])
    [2.5, 1.0, 2.5]
    """
    array = np.asarray(values, np.float64)
    _, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return [float(last[k] - (counts[k] - 1) / 2) for k in inverse]


def _titled(what: str, name: str) -> str:
    return f"{what} ({name})" if name else what
