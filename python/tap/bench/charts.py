"""The charts of a result as SVG files of their own."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from tap.bench.contestants import UNIFORM
from tap.bench.result import Net, Row
from tap.files import write_text
from tap.report.svg import Bar, Series, bars, plot

SHOWN = 5
"""Proxies that are drawn beside uniform and random."""


def save(net: Net, folder: Path) -> list[Path]:
    """Write agreement.svg, top1.svg and top1-plain.svg, those that the result has data for."""
    charts = {"agreement": agreement(net), "top1": ladder(net), "top1-plain": ladder(net, plain=True)}
    written = []
    for name, svg in charts.items():
        if svg:
            path = folder / f"{name}.svg"
            write_text(path, standalone(svg))
            written.append(path)
    return written


def agreement(net: Net) -> str:
    """Agreement with configurations relative to the ceiling, one bar a proxy, best first."""
    rows = [(row, row.configurations) for row in net.rows if row.configurations is not None]
    rows.sort(key=lambda item: -item[1].relative)
    items = [
        Bar(
            row.name,
            round(max(one.relative, 0.0), 2),
            "b6" if row.kind == "discovered" else "b3",
            f"{row.name}: {one.value:.3f} ({one.low:.2f} to {one.high:.2f})",
        )
        for row, one in rows
    ]
    label = f"{net.name}: agreement with configurations of equal bytes, over the noise ceiling"
    return bars(items, label=label, unit="agreement / ceiling") if items else ""


def ladder(net: Net, *, plain: bool = False) -> str:
    """Top-1 against stored bits: the best proxies, discovered ones, uniform and random."""
    rows = [row for row in net.rows if any(row.plans)]
    best = sorted((row for row in rows if row.kind == "named"), key=_loss)[:SHOWN]
    others = [row for row in rows if row.kind != "named" and row.name != UNIFORM]
    drawn = [*best, *others, *(row for row in rows if row.name == UNIFORM)]
    series = [_series(row, plain=plain) for row in drawn]
    bits = {plan.budget: plan.bits for row in drawn for plan in row.plans if plan is not None}
    if net.chance and not plain:
        known = [one for one in net.chance if one.budget in bits]
        x, y = [bits[one.budget] for one in known], [one.accuracy[1] for one in known]
        series.append(Series("random, median", x, y, joined=True))
    if not any(value == value for one in series for value in one.y):
        return ""
    label = f"{net.name}: top-1 against stored bits a weight" + (", no lifts" if plain else "")
    return plot(series, label=label, x_name="stored bits a weight", y_name="top-1", percent=True)


def standalone(svg: str) -> str:
    """The chart with its style inside, as a file that any viewer draws.

    >>> standalone('<svg viewBox="0 0 1 1"></svg>')[:39]
    '<svg xmlns="http://www.w3.org/2000/svg"'
    """
    style = (files("tap.report") / "style.css").read_text(encoding="utf-8")
    head, _, rest = svg.partition(">")
    space = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f"{space}><style>{style}</style>{rest}\n"


def _series(row: Row, *, plain: bool) -> Series:
    plans = [plan for plan in row.plans if plan is not None]
    y = [plan.plain_accuracy if plain else plan.accuracy for plan in plans]
    return Series(row.name, [plan.bits for plan in plans], y, joined=True)


def _loss(row: Row) -> float:
    return sum(plan.loss if plan else 1e9 for plan in row.plans)
