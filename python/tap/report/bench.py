"""The sections about a benchmark: contestants of each network, their agreement, their accuracy by size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tap.errors import TapError
from tap.report.page import Chart
from tap.report.svg import Series, plot

SHOWN = 5
"""Proxies that are drawn as lines, beside uniform and discovered ones."""


def bench_charts(document: Mapping[str, Any]) -> list[Chart]:
    """One set of sections for each network of a result of `tap bench`."""
    try:
        return [chart for net in document["nets"] for chart in _net(net)]
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise TapError(f"the benchmark lacks {error}", hint="write it again with tap bench") from error


def _net(net: Mapping[str, Any]) -> list[Chart]:
    name, rows = str(net["name"]), sorted(net["rows"], key=_mean_loss)
    ceilings = ", ".join(
        f"{what} {value:.2f}" for what, value in net["ceilings"].items() if value is not None
    )
    text = (
        f"Full precision: {_percent(net['full'])} top-1; formats {', '.join(net['formats'])}; noise ceiling: "
        f"{ceilings or 'none'}. Agreement with measured configurations of equal bytes; loss is the KL to "
        "full precision of the really quantized plan, mean over the budgets; best first."
    )
    charts = [Chart(f"{name}: contestants", text, rows=[_row(row, net) for row in rows])]
    ladder, scatter = _ladder(rows, net), _scatter(rows)
    if ladder:
        label = f"{name}: top-1 against stored bits a weight"
        charts.append(Chart(f"{name}: accuracy and size", "Best proxies by loss, and those without one.",
                            ((label, ladder),)))  # fmt: skip
    if scatter:
        label = f"{name}: agreement and measured loss of the plans"
        told = "One mark a proxy: does a proxy that agrees with the truth make better plans?"
        charts.append(Chart(f"{name}: agreement and plans", told, ((label, scatter),)))
    return charts


def _row(row: Mapping[str, Any], net: Mapping[str, Any]) -> dict[str, Any]:
    agreed = row.get("configurations")
    alone = row.get("sensitivity")
    cells: dict[str, Any] = {
        "contestant": str(row["name"]),
        "kind": str(row["kind"]),
        "agreement": _number(agreed and agreed["value"]),
        "95 % interval": f"{_number(agreed['low']):.2f} to {_number(agreed['high']):.2f}" if agreed else "–",
        "over the ceiling": _number(agreed and agreed["relative"]),
        "agreement, one at a time": _number(alone and alone["value"]),
        "mean loss": _mean_loss(row) if any(row["plans"]) else math.nan,
    }
    for budget, plan in zip(net["budgets"], row["plans"], strict=True):
        cells[f"top-1 at {budget}"] = _percent(plan and plan["accuracy"])
    if row.get("error"):
        cells["kind"] = f"{row['kind']}: {row['error']}"
    return cells


def _ladder(rows: Sequence[Mapping[str, Any]], net: Mapping[str, Any]) -> str:
    drawn = [row for row in rows if row["kind"] == "named" and any(row["plans"])][:SHOWN]
    drawn += [row for row in rows if row["kind"] != "named" and any(row["plans"])]
    series: list[Series] = []
    sizes: dict[str, float] = {}
    for row in drawn:
        plans = [plan for plan in row["plans"] if plan is not None]
        sizes |= {plan["budget"]: plan["bits"] for plan in plans}
        y = [_number(plan["accuracy"]) for plan in plans]
        series.append(Series(str(row["name"]), [plan["bits"] for plan in plans], y, joined=True))
    known = [one for one in net["chance"] if one["budget"] in sizes]
    if known:
        x, y = [sizes[one["budget"]] for one in known], [_number(one["accuracy"][1]) for one in known]
        series.append(Series("random, median", x, y, joined=True))
    if not any(math.isfinite(value) for one in series for value in one.y):
        return ""
    label = f"{net['name']}: top-1 against stored bits a weight"
    return plot(series, label=label, x_name="stored bits a weight", y_name="top-1", percent=True)


def _scatter(rows: Sequence[Mapping[str, Any]]) -> str:
    kept = [row for row in rows if row.get("configurations") and any(row["plans"])]
    if len(kept) < 2:
        return ""
    kinds = list(dict.fromkeys(str(row["kind"]) for row in kept))
    series = [
        Series(
            kind,
            [_number(row["configurations"]["value"]) for row in kept if row["kind"] == kind],
            [_mean_loss(row) for row in kept if row["kind"] == kind],
            names=[str(row["name"]) for row in kept if row["kind"] == kind],
        )
        for kind in kinds
    ]
    label = "Mean measured loss of the plans against agreement"
    return plot(series, label=label, x_name="agreement", y_name="mean loss", log_y=True)


def _mean_loss(row: Mapping[str, Any]) -> float:
    losses = [_number(plan["loss"]) for plan in row["plans"] if plan is not None]
    return sum(losses) / len(losses) if losses else math.inf


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _percent(value: Any) -> str:
    return "–" if value is None else f"{100 * float(value):.2f}%"
