"""Charts as plain SVG text: bars, heat map, scatter and lines, coloured by the page's style sheet.

Marks carry a `<title>`, which browsers show as a tooltip and screen readers read. A charting library would
put its script into every page and hide the marks from whoever reads without one; as SVG the charts are text,
they print, and they follow the theme by the style sheet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from tap.report.axes import Frame, figure, marker, short, text, turned
from tap.report.colors import cell_classes

MANY = 40
"""More bars than this are drawn narrow."""


@dataclass(frozen=True)
class Bar:
    """One bar: its name, its height, the class of its colour, and what its tooltip says."""

    name: str
    height: float
    style: str
    tip: str
    below: float = 0.0
    """A second value, drawn downwards from the axis in its own scale."""


@dataclass(frozen=True)
class Series:
    """Points (x, y) of one name, with the standard error of y where it is known."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    error: Sequence[float] = ()
    joined: bool = False
    names: Sequence[str] = ()
    """What each point is, for its tooltip."""


def bars(items: Sequence[Bar], *, label: str, unit: str, below: str = "") -> str:
    """Vertical bars from left to right with their heights and names; `below` names the values downwards."""
    step = 34.0 if len(items) <= MANY else 16.0
    plot, deep, foot = 150.0, 60.0 if below else 0.0, 118.0
    width, top = max(step * len(items) + 44, 260), max((bar.height for bar in items), default=1.0) or 1.0
    deepest = max((bar.below for bar in items), default=1.0) or 1.0
    base = 24 + plot
    parts = [text(4, 14, unit, "axis")]
    if below:
        parts.append(text(4, base + deep + 12, below, "axis"))
    for index, bar in enumerate(items):
        x, wide = 40 + index * step, step - (8 if step > 20 else 4)
        y = base - plot * bar.height / top
        down = ""
        if below:
            depth = deep * bar.below / deepest
            down = (
                f'<rect class="down" x="{x:.1f}" y="{base + 2:.1f}" width="{wide:.1f}" height="{depth:.1f}"/>'
            )
        parts.append(
            f'<g class="{bar.style}"><title>{escape(bar.tip)}</title>'
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{base - y:.1f}" rx="2"/>{down}</g>'
        )
        middle = x + wide / 2
        parts.append(text(middle, y - 4, f"{bar.height:g}", "value", anchor="middle"))
        parts.append(turned(middle + 4, base + deep + (24 if below else 10), bar.name))
    parts.append(f'<line class="rule" x1="34" x2="{width - 4:.0f}" y1="{base:.0f}" y2="{base:.0f}"/>')
    return figure(width, base + deep + foot + (14 if below else 0), label, parts)


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    values: NDArray[np.float64],
    *,
    label: str,
    errors: NDArray[np.float64] | None = None,
    scale: str = "log",
) -> str:
    """One cell for each row and column: darker is larger.

    `scale` is `log`, `linear`, or `signed`: linear, blue above 0 and orange below. A line at the foot of a
    cell is the standard error as a share of the value: as wide as the cell when it is as large as the value.
    """
    side, left = 21.0, 160.0
    narrow = len(columns) > 6
    wide, head = (46.0, 108.0) if narrow else (84.0, 34.0)
    depths = _DEPTHS[scale](values)
    parts = [
        turned(left + (j + 0.4) * wide, head - 8, name, anchor="start", degrees=-50)
        if narrow
        else text(left + (j + 0.5) * wide, head - 10, name, "axis", anchor="middle")
        for j, name in enumerate(columns)
    ]
    for i, name in enumerate(rows):
        y = head + i * side
        parts.append(text(left - 8, y + side - 6, short(name, 22), "axis", anchor="end"))
        for j, column in enumerate(columns):
            value, x = float(values[i, j]), left + j * wide
            error = None if errors is None else float(errors[i, j])
            parts.append(_cell(f"{name}, {column}", value, error, x, y, wide, side, float(depths[i, j])))
    width = left + wide * len(columns) + (70 if narrow else 8)
    return figure(width, head + side * len(rows) + 6, label, parts)


def _cell(
    name: str, value: float, error: float | None, x: float, y: float, wide: float, side: float, depth: float
) -> str:
    if not math.isfinite(value):
        return f'<g class="cell"><title>{escape(name)}: none</title></g>'
    opacity = 0.06 + 0.89 * abs(depth)
    said = f"{name}: {value:.3g}" + ("" if error is None else f" ± {error:.2g}")
    whisker = ""
    if error is not None and math.isfinite(error) and value:
        half = (wide / 2 - 4) * min(1.0, abs(error / value))
        middle = x + wide / 2 - 1
        whisker = f'<path d="M{middle - half:.1f} {y + side - 4:.1f}h{2 * half:.1f}"/>'
    return (
        f'<g class="cell {cell_classes(opacity, negative=depth < 0)}">'
        f'<title>{escape(said)}</title><rect x="{x:.0f}" y="{y:.0f}" width="{wide - 2:.0f}" '
        f'height="{side - 2:.0f}" style="fill-opacity:{opacity:.2f}"/>'
        f"{text(x + wide / 2 - 1, y + side - 8, f'{value:.2g}', 'number', anchor='middle')}{whisker}</g>"
    )


def _log_depths(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Depth 0..1 by logarithm; what is not above 0 has depth 0."""
    values = np.asarray(values, np.float64)
    usable = np.isfinite(values) & (values > 0)
    depths = np.zeros(values.shape)
    if usable.any():
        logs = np.log(values[usable])
        depths[usable] = (logs - logs.min()) / (np.ptp(logs) or 1.0)
    return depths


def _signed_depths(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Depth -1..1 in proportion."""
    values = np.nan_to_num(np.asarray(values, np.float64), posinf=0.0, neginf=0.0)
    return values / (float(np.abs(values).max(initial=0.0)) or 1.0)


def _linear_depths(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Depth 0..1 in proportion, from the smallest to the largest."""
    values = np.asarray(values, np.float64)
    return np.asarray((values - values.min()) / (float(np.ptp(values)) or 1.0))


_DEPTHS = {"log": _log_depths, "linear": _linear_depths, "signed": _signed_depths}


def plot(
    series: Sequence[Series],
    *,
    label: str,
    x_name: str,
    y_name: str,
    percent: bool = False,
    log_x: bool = False,
    log_y: bool = False,
) -> str:
    """Points, joined to lines where a series says so, with axes, error bars and a legend below."""
    frame = Frame(
        [x for one in series for x in one.x],
        [y for one in series for y in _ends(one)],
        x_name=x_name,
        y_name=y_name,
        percent=percent,
        log_x=log_x,
        log_y=log_y,
    )
    parts = list(frame.parts)
    rows = -(-len(series) // 2) if len(series) > 1 else 0
    for index, one in enumerate(series):
        parts.append(f'<g class="s{index % 8}">{_marks(index, one, frame)}</g>')
        if rows:
            x, y = frame.left + (index % 2) * 180, frame.height + 14 + (index // 2) * 18
            key = marker(index, x, y - 4, "", size=5)
            parts.append(f'<g class="s{index % 8}">{key}</g>{text(x + 11, y, short(one.name, 26), "axis")}')
    return figure(frame.width, frame.height + rows * 18 + 4, label, parts, shrinks=True)


def _ends(one: Series) -> list[float]:
    """The values of y, and the ends of their error bars."""
    error = [*one.error, *([0.0] * (len(one.y) - len(one.error)))]
    return [*one.y, *(y + e for y, e in zip(one.y, error, strict=True)),
            *(y - e for y, e in zip(one.y, error, strict=True))]  # fmt: skip


def _marks(index: int, one: Series, frame: Frame) -> str:
    kept = [k for k, (x, y) in enumerate(zip(one.x, one.y, strict=True)) if frame.holds(x, y)]
    parts = []
    if one.joined and len(kept) > 1:
        path = " ".join(f"{frame.x(one.x[k]):.1f},{frame.y(one.y[k]):.1f}" for k in kept)
        parts.append(f'<polyline points="{path}"/>')
    for k in kept:
        x, y = one.x[k], one.y[k]
        cx, cy = frame.x(x), frame.y(y)
        error = one.error[k] if k < len(one.error) else 0.0
        said = ""
        if error and math.isfinite(error):
            low = frame.y(y - error) if y - error > 0 or not frame.log_y else frame.height - 46
            parts.append(f'<line x1="{cx:.1f}" x2="{cx:.1f}" y1="{low:.1f}" y2="{frame.y(y + error):.1f}"/>')
            said = f" ± {error:.2g}"
        shown = f"{100 * y:.2f}%" if frame.percent else f"{y:.4g}"
        name = one.names[k] if k < len(one.names) else one.name
        tip = f"{name}: {x:.4g}, {shown}{said}"
        parts.append(marker(index, cx, cy, tip, size=3.5 if one.joined else 3))
    return "".join(parts)
