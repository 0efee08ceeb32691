"""The demo's report: table, accuracy, bits by depth, sensitivity, predicted against measured."""

from __future__ import annotations

from typing import Any

import numpy as np

from tap.demo.flow import BEST, BITS, CHANCE, FOUND, UNIFORM, Demo
from tap.report import Chart, Page
from tap.report.plan import bits_chart
from tap.report.svg import Series, heat_map, plot


def table(demo: Demo) -> list[dict[str, Any]]:
    """The demo's table: one row a proxy, and those to compare with."""
    return [
        {
            "proxy": row.name,
            "agreement / ceiling": row.agreement,
            "regret (KL)": demo.regret(row),
            **{f"top-1 at {bits:g} bits": value for bits, value in zip(BITS, row.accuracy, strict=True)},
            **{f"{bits:g} bits, no lift": value for bits, value in zip(BITS, row.plain, strict=True)},
        }
        for row in demo.rows
    ]


def page(demo: Demo) -> Page:
    """The report."""
    rows = table(demo)
    marked = frozenset((BEST, UNIFORM, CHANCE, FOUND))
    text = (
        "Agreement: rank correlation with measured configurations of equal bytes, over the noise ceiling. "
        "Regret: measured KL above the best known plan, averaged over the budgets. Top-1 on 800 images, with "
        "batch-norm statistics corrected on the calibration images, and without that lift."
    )
    sensitivity = demo.sensitivity
    heat = heat_map(
        sensitivity.units,
        sensitivity.formats,
        np.asarray(sensitivity.values),
        errors=np.asarray(sensitivity.stderr),
        label="Measured sensitivity of each unit in each format",
    )
    facts = (
        ("Full precision", f"{100 * demo.full:.2f}% top-1"),
        ("Units", str(len(sensitivity.units))),
        ("Configurations measured", str(len(demo.configurations.loss))),
        ("Noise ceiling", f"{demo.configurations.ceiling:.2f}"),
    )
    plans = [(f"budget of {bits:g} bits: {plan.bytes:,.0f} bytes", plan) for bits, plan in demo.plans.items()]
    sections = (
        Chart("Proxies", text, rows=rows, marked=marked),
        Chart("Accuracy and size", "Top-1 without the lift, where plans differ most.", _accuracy(demo)),
        bits_chart(plans),
        Chart("Sensitivity", "Measured: KL added by one unit alone in a format.", (("Sensitivity", heat),)),
        Chart(
            "Predicted and measured", "Configurations of equal bytes; ranks within a budget.", _scatter(demo)
        ),
        Chart(
            "Found by the search", "The program, written without an LLM.", rows=[{"program": demo.program}]
        ),
    )
    return Page("tap demo", "A small residual network on handwritten digits.", facts, sections)


def _accuracy(demo: Demo) -> tuple[tuple[str, str], ...]:
    names = [row.name for row in demo.rows if row.name not in (BEST, UNIFORM, CHANCE, FOUND)][:3]
    series = [
        Series(row.name, BITS, row.plain, joined=True)
        for row in demo.rows
        if row.name in (BEST, UNIFORM, CHANCE, FOUND, *names)
    ]
    label = "Top-1 against average bits"
    return ((label, plot(series, label=label, x_name="average bits", y_name="top-1", percent=True)),)


def _scatter(demo: Demo) -> tuple[tuple[str, str], ...]:
    """Rank of the predicted loss against rank of the measured one, one chart a proxy."""
    truth = demo.configurations
    charts = []
    for name, scores in demo.predicted.items():
        series = []
        for stratum, bits in enumerate(BITS):
            rows = np.flatnonzero(truth.stratum == stratum)
            sums = scores[np.arange(scores.shape[0]), truth.choice[rows]].sum(axis=1)
            series.append(Series(f"{bits:g} bits", _ranks(sums), _ranks(truth.loss[rows])))
        label = f"{name}: measured rank against predicted rank"
        charts.append((label, plot(series, label=label, x_name="predicted rank", y_name="measured rank")))
    return tuple(charts)


def _ranks(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[float]:
    return [float(rank + 1) for rank in np.argsort(np.argsort(values, kind="stable"), kind="stable")]
