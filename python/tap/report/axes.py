"""Two axes with round ticks, linear or logarithmic, and the few marks that every chart is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape


class Frame:
    """Maps values to pixels inside a box with two axes; `parts` draws the axes.

    >>> frame = Frame([0.0, 10.0], [0.1, 0.2], x_name="size", y_name="score")
    >>> frame.x(0.0) < frame.x(10.0), frame.y(0.1) > frame.y(0.2)
    (True, True)
    """

    def __init__(
        self,
        x_values: Sequence[float],
        y_values: Sequence[float],
        *,
        x_name: str,
        y_name: str,
        percent: bool = False,
        log_x: bool = False,
        log_y: bool = False,
        width: float = 420.0,
        height: float = 290.0,
    ) -> None:
        self.width, self.height, self.percent = width, height, percent
        self.log_x, self.log_y = log_x, log_y
        left, top = 58.0, 26.0
        self._x = _Scale(x_values, left, width - 12, log=log_x)
        self._y = _Scale(y_values, height - 46, top, log=log_y)
        parts = []
        for tick in self._y.ticks():
            y = self.y(tick)
            ends = f'x1="{left:.0f}" x2="{width - 8:.0f}"'
            parts.append(f'<line class="grid" {ends} y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(text(left - 6, y + 4, self.shown(tick), "axis", anchor="end"))
        for tick in self._x.ticks():
            parts.append(text(self.x(tick), height - 28, f"{tick:.4g}", "axis", anchor="middle"))
        parts.append(text((left + width) / 2, height - 8, x_name, "axis", anchor="middle"))
        parts.append(text(4, 11, y_name, "axis"))
        self.parts = parts
        self.left = left

    def x(self, value: float) -> float:
        """Pixels from the left."""
        return self._x.to_pixels(value)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        return self._y.to_pixels(value)

    def holds(self, x: float, y: float) -> bool:
        """Whether the point can be drawn: finite, and above 0 on a logarithmic axis."""
        finite = math.isfinite(x) and math.isfinite(y)
        return finite and (x > 0 or not self.log_x) and (y > 0 or not self.log_y)

    def shown(self, y: float) -> str:
        """A value of the y axis as text."""
        return f"{100 * y:.3g}%" if self.percent else f"{y:.3g}"


class _Scale:
    """One axis, with a little room at both ends."""

    def __init__(self, values: Sequence[float], start: float, stop: float, *, log: bool) -> None:
        usable = [value for value in values if math.isfinite(value) and (value > 0 or not log)]
        self._log, self._start, self._stop = log, start, stop
        low, high = (min(usable), max(usable)) if usable else (1.0, 2.0)
        if log:
            low, high = math.log10(low), math.log10(high)
        if high <= low:
            low, high = low - 0.5, high + 0.5
        room = 0.05 * (high - low)
        self._low, self._high = low - room, high + room

    def to_pixels(self, value: float) -> float:
        if self._log:
            value = math.log10(value)
        share = (value - self._low) / (self._high - self._low)
        return self._start + (self._stop - self._start) * share

    def ticks(self) -> list[float]:
        """About five round numbers; powers of ten, or 1, 2, 5 times those, on a logarithmic axis."""
        if self._log and self._high - self._low > 1.2:
            powers = range(math.floor(self._low), math.ceil(self._high) + 1)
            factors = (1, 2, 5) if self._high - self._low < 2.5 else (1,)
            found = [factor * 10.0**power for power in powers for factor in factors]
            found = [tick for tick in found if self._low <= math.log10(tick) <= self._high]
            return found[:: max(1, -(-len(found) // 7))]
        low, high = (10**self._low, 10**self._high) if self._log else (self._low, self._high)
        raw = (high - low) / 5
        size = 10 ** math.floor(math.log10(raw))
        step = min((s * size for s in (1, 2, 2.5, 5, 10) if s * size >= raw), default=raw)
        return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1) if k or low <= 0]


def text(x: float, y: float, words: str, style: str, *, anchor: str = "start") -> str:
    """Words with their baseline at (x, y)."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{escape(words)}</text>'


def turned(x: float, y: float, words: str, *, degrees: float = -60, anchor: str = "end") -> str:
    """Words at an angle, for names under or over narrow columns."""
    place = f"translate({x:.1f},{y:.1f}) rotate({degrees:g})"
    return f'<text class="axis" text-anchor="{anchor}" transform="{place}">{escape(short(words, 20))}</text>'


def marker(kind: int, x: float, y: float, tip: str, *, size: float = 3.5) -> str:
    """A mark with a tooltip; each of the eight kinds has a shape, so that colour is not needed to tell."""
    title = f"<title>{escape(tip)}</title>" if tip else ""
    shape = kind % 8
    if shape == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:g}">{title}</circle>'
    corners = _SHAPES[shape - 1]
    points = " ".join(f"{x + size * dx:.1f},{y + size * dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{points}">{title}</polygon>'


def short(name: str, limit: int) -> str:
    """The name, its beginning cut off where it is longer than `limit`.

    >>> short("layers.10.attention", 10)
    '…attention'
    """
    return name if len(name) <= limit else "…" + name[-limit + 1 :]


def figure(width: float, height: float, label: str, parts: Sequence[str], *, shrinks: bool = False) -> str:
    """The drawing as one `<svg>`; one that `shrinks` fits a narrow screen, others scroll."""
    style = f"width:{width:.0f}px" + (";max-width:100%" if shrinks else "")
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" style="{style}" role="img" '
        f'aria-label="{escape(label, quote=True)}">{"".join(parts)}</svg>'
    )


_SHAPES: tuple[tuple[tuple[float, float], ...], ...] = (
    ((-1, -1), (1, -1), (1, 1), (-1, 1)),
    ((0, -1.25), (1.1, 0.9), (-1.1, 0.9)),
    ((0, -1.35), (1.2, 0), (0, 1.35), (-1.2, 0)),
    ((0, 1.25), (1.1, -0.9), (-1.1, -0.9)),
    ((-0.4, -1.2), (0.4, -1.2), (0.4, -0.4), (1.2, -0.4), (1.2, 0.4), (0.4, 0.4), (0.4, 1.2), (-0.4, 1.2),
     (-0.4, 0.4), (-1.2, 0.4), (-1.2, -0.4), (-0.4, -0.4)),
    ((-1.3, -0.6), (1.3, -0.6), (1.3, 0.6), (-1.3, 0.6)),
    ((-0.6, -1.3), (0.6, -1.3), (0.6, 1.3), (-0.6, 1.3)),
)  # fmt: skip
"""Corners of the shapes after the circle: square, triangle, diamond, triangle down, cross, two bars."""
