"""Charts as plain SVG text: bars, heat map, scatter and lines, coloured by the page's style sheet.

Marks carry a `<title>`, which browsers show as a tooltip and screen readers read. A charting library would be
a hundred times the size of what these four shapes need, and would need scripts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Bar:
    """One bar: its name, its height, the class of its colour, and what its tooltip says."""

    name: str
    height: float
    style: str
    tip: str


@dataclass(frozen=True)
class Series:
    """Points (x, y) of one name, with the standard error of y where it is known."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    error: Sequence[float] = ()
    joined: bool = False


def bars(items: Sequence[Bar], *, label: str, unit: str) -> str:
    """Vertical bars from left to right, each with its height written above and its name below."""
    step, plot, foot = 34.0, 150.0, 118.0
    width, top = max(step * len(items) + 44, 260), max((bar.height for bar in items), default=1.0) or 1.0
    parts = [_text(4, 14, unit, "axis")]
    for index, bar in enumerate(items):
        x, height = 40 + index * step, plot * bar.height / top
        y = 24 + plot - height
        parts.append(
            f'<g class="{bar.style}"><title>{escape(bar.tip)}</title>'
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{step - 8:.1f}" height="{height:.1f}" rx="2"/></g>'
        )
        middle = x + (step - 8) / 2
        parts.append(_text(middle, y - 4, f"{bar.height:g}", "value", anchor="middle"))
        parts.append(_turned(middle + 4, 24 + plot + 10, bar.name))
    parts.append(
        f'<line class="rule" x1="34" x2="{width - 4:.0f}" y1="{24 + plot:.0f}" y2="{24 + plot:.0f}"/>'
    )
    return _figure(width, 24 + plot + foot, label, parts)


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    values: NDArray[np.float64],
    *,
    label: str,
    errors: NDArray[np.float64] | None = None,
) -> str:
    """One cell for each row and column: darker is larger, on a logarithmic scale."""
    side, left, head = 21.0, 160.0, 34.0
    wide = 84.0
    positive = values[values > 0]
    low, high = (math.log(positive.min()), math.log(positive.max())) if positive.size else (0.0, 1.0)
    parts = [
        _text(left + (j + 0.5) * wide, head - 10, name, "axis", anchor="middle")
        for j, name in enumerate(columns)
    ]
    for i, name in enumerate(rows):
        y = head + i * side
        parts.append(_text(left - 8, y + side - 6, _short(name, 22), "axis", anchor="end"))
        for j, column in enumerate(columns):
            value = float(values[i, j])
            depth = (math.log(value) - low) / ((high - low) or 1.0) if value > 0 else 0.0
            error = "" if errors is None else f" ± {errors[i, j]:.2g}"
            x, shade = left + j * wide, 0.08 + 0.87 * max(depth, 0.0)
            parts.append(
                f'<g class="cell{" dark" if depth > 0.55 else ""}">'
                f"<title>{escape(f'{name}, {column}: {value:.3g}{error}')}</title>"
                f'<rect x="{x:.0f}" y="{y:.0f}" width="{wide - 2:.0f}" height="{side - 2:.0f}" '
                f'style="fill-opacity:{shade:.2f}"/>'
                f"{_text(x + wide / 2 - 1, y + side - 7, f'{value:.2g}', 'number', anchor='middle')}</g>"
            )
    return _figure(left + wide * len(columns) + 8, head + side * len(rows) + 6, label, parts)


def plot(series: Sequence[Series], *, label: str, x_name: str, y_name: str, percent: bool = False) -> str:
    """Points, joined to lines where a series says so, with axes, error bars and a legend below."""
    width, height, left, top = 460.0, 300.0, 58.0, 26.0
    rows = -(-len(series) // 2) if len(series) > 1 else 0
    x_all = [x for one in series for x in one.x]
    y_all = [y for one in series for y in one.y if math.isfinite(y)]
    to_x, x_ticks = _scale(x_all, left, width - 12)
    to_y, y_ticks = _scale(y_all, height - 46, top)
    parts = []
    for tick in y_ticks:
        y = to_y(tick)
        parts.append(f'<line class="grid" x1="{left:.0f}" x2="{width - 8:.0f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        shown = f"{100 * tick:.3g}%" if percent else f"{tick:.3g}"
        parts.append(_text(left - 6, y + 4, shown, "axis", anchor="end"))
    for tick in x_ticks:
        parts.append(_text(to_x(tick), height - 28, f"{tick:.4g}", "axis", anchor="middle"))
    parts.append(_text((left + width) / 2, height - 8, x_name, "axis", anchor="middle"))
    parts.append(_text(4, 11, y_name, "axis"))
    for index, one in enumerate(series):
        parts.append(f'<g class="s{index % 8}">{_marks(one, to_x, to_y, percent)}</g>')
        if rows:
            x, y = left + (index % 2) * 200, height + 14 + (index // 2) * 18
            dot = f'<circle cx="{x:.0f}" cy="{y - 4:.0f}" r="5"/>'
            parts.append(f'<g class="s{index % 8}">{dot}</g>{_text(x + 11, y, one.name, "axis")}')
    return _figure(width, height + rows * 18 + 4, label, parts)


def _marks(one: Series, to_x: Callable[[float], float], to_y: Callable[[float], float], percent: bool) -> str:
    points = [(to_x(x), to_y(y)) for x, y in zip(one.x, one.y, strict=True) if math.isfinite(y)]
    parts = []
    if one.joined and points:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}"/>')
    for index, (x, y) in enumerate(zip(one.x, one.y, strict=True)):
        if not math.isfinite(y):
            continue
        cx, cy = to_x(x), to_y(y)
        error = one.error[index] if index < len(one.error) else 0.0
        if error and math.isfinite(error):
            low, high = to_y(y - error), to_y(y + error)
            parts.append(f'<line x1="{cx:.1f}" x2="{cx:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>')
        shown = f"{100 * y:.2f}%" if percent else f"{y:.4g}"
        parts.append(
            f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="{4 if one.joined else 3}"><title>'
            f"{escape(f'{one.name}: {x:.4g}, {shown}')}</title></circle>"
        )
    return "".join(parts)


def _scale(
    values: Sequence[float], start: float, stop: float
) -> tuple[Callable[[float], float], list[float]]:
    """A map from values to pixels with a little room at both ends, and round ticks inside."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    room = 0.05 * (high - low)
    low, high = low - room, high + room
    raw = (high - low) / 5
    size = 10 ** math.floor(math.log10(raw))
    step = min((s * size for s in (1, 2, 2.5, 5, 10) if s * size >= raw), default=raw)
    ticks = [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return lambda value: start + (stop - start) * (value - low) / (high - low), ticks


def _text(x: float, y: float, text: str, style: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{escape(text)}</text>'


def _turned(x: float, y: float, text: str) -> str:
    return (
        f'<text class="axis" text-anchor="end" transform="translate({x:.1f},{y:.1f}) rotate(-60)">'
        f"{escape(_short(text, 20))}</text>"
    )


def _short(name: str, limit: int) -> str:
    return name if len(name) <= limit else "…" + name[-limit + 1 :]


def _figure(width: float, height: float, label: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" style="width:{width:.0f}px" role="img" '
        f'aria-label="{escape(label, quote=True)}">{"".join(parts)}</svg>'
    )
