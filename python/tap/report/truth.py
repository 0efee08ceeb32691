"""The sections about measured truth: the sensitivity as a heat map, configurations by size."""

from __future__ import annotations

import numpy as np

from tap.configurations import Configurations
from tap.report.page import Chart
from tap.report.svg import Series, heat_map, plot
from tap.sensitivity import Sensitivity


def sensitivity_chart(truth: Sensitivity, *, name: str = "") -> Chart:
    """Heat map of the measured sensitivity [L, F] with its standard errors."""
    label = "Measured sensitivity of each unit in each format"
    svg = heat_map(truth.units, truth.formats, truth.values, label=label, errors=truth.stderr)
    noisy = int((truth.values < 2 * truth.stderr).sum())
    text = (
        f"Loss added by one unit alone in a format ({truth.meta.get('loss', 'kl')}); darker is worse, on a "
        "logarithmic scale. The line at the foot of a cell is the standard error as a share of the value. "
        f"{noisy} of {truth.values.size} values are within two standard errors of 0; "
        f"noise ceiling {truth.ceiling:.2f}."
    )
    rows = [
        {
            "unit": unit,
            **{
                f"{form}": f"{truth.values[i, j]:.3g} ± {truth.stderr[i, j]:.2g}"
                for j, form in enumerate(truth.formats)
            },
        }
        for i, unit in enumerate(truth.units)
    ]
    return Chart(_titled("Sensitivity", name), text, ((label, svg),), rows, folded=True)


def configurations_chart(truth: Configurations, *, name: str = "") -> Chart:
    """Loss and accuracy of whole configurations against their size, one mark each."""
    strata = np.unique(truth.stratum)
    series, right = [], []
    for stratum in strata:
        rows = np.flatnonzero(truth.stratum == stratum)
        size, label = truth.bytes[rows] / 1e3, f"{truth.bytes[rows].mean() / 1e3:,.1f} kB"
        jitter = size + np.linspace(-0.004, 0.004, len(rows)) * size.mean()
        names = [f"configuration {row}" for row in rows]
        series.append(
            Series(label, list(jitter), list(truth.loss[rows]), list(truth.stderr[rows]), names=names)
        )
        right.append(Series(label, list(jitter), list(truth.accuracy[rows]), names=names))
    label = "Measured loss against size"
    charts = [(label, plot(series, label=label, x_name="size, kB", y_name="loss", log_y=True))]
    if np.isfinite(truth.accuracy).any():
        label = "Measured top-1 against size"
        charts.append((label, plot(right, label=label, x_name="size, kB", y_name="top-1", percent=True)))
    text = (
        f"{len(truth.loss)} whole networks, really quantized, in {len(strata)} strata of equal bytes; marks "
        f"of a stratum are spread sideways. Noise ceiling {truth.ceiling:.2f}."
    )
    table = [
        {
            "stratum": int(stratum),
            "configurations": int((chosen := truth.stratum == stratum).sum()),
            "bytes": int(truth.bytes[chosen].mean()),
            "least loss": float(truth.loss[chosen].min()),
            "median loss": float(np.median(truth.loss[chosen])),
            "largest loss": float(truth.loss[chosen].max()),
            "mean standard error": float(truth.stderr[chosen].mean()),
        }
        for stratum in strata
    ]
    return Chart(_titled("Configurations", name), text, tuple(charts), table)


def _titled(what: str, name: str) -> str:
    return f"{what} ({name})" if name else what
