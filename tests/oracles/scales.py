"""The search for the scale of one row on a grid of integers, value by value, with sums in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_EQUAL = 1e-6
"""Gains that differ by less, relatively, count as equal: sums in float32 may order them either way."""

Row = NDArray[np.float32]


def error(row: Row, scale: float, half: int) -> float:
    """The squared error of a row on the grid of a scale."""
    values = row.astype(np.float64)
    codes = np.clip(np.rint(values / scale), -half, half - 1)
    return float(np.square(values - codes * scale).sum())


def bounds(row: Row, steps: Row, half: int, bins: int, starts: int, exchanges: int) -> tuple[float, float]:
    """The least and the largest error that the search may end with: they differ where gains are equal."""
    top = float(np.abs(row).max()) or 1.0
    points, unit = row.astype(np.float64), top
    if bins:
        points, unit = np.rint(row / np.float32(top) * np.float32(bins // 2)).astype(np.float64), bins / 2
    gains = np.array([_fitted(points, step * unit, half)[1] for step in steps.astype(np.float64)])
    least = np.sort(gains)[-starts]
    plain = top / (half - 0.5)
    ends = [_end(row, top * float(step), plain, half, exchanges) for step in steps]
    certain = [end for end, gain in zip(ends, gains, strict=True) if gain > least * (1 + _EQUAL)]
    equal = [end for end, gain in zip(ends, gains, strict=True) if abs(gain - least) <= least * _EQUAL]
    errors = [error for end in equal for error in _best([*certain, end])]
    return min(errors), max(errors)


def _best(ends: list[tuple[float, float]]) -> list[float]:
    """The errors of the ends with the largest gain."""
    most = max(gain for gain, _ in ends)
    return [error for gain, error in ends if gain >= most * (1 - _EQUAL)]


def _end(row: Row, scale: float, plain: float, half: int, exchanges: int) -> tuple[float, float]:
    """The gain and the error after some exchanges from a scale, or of the plain one where it gains more."""
    best, gain = _fitted(row.astype(np.float64), plain, half)
    for _ in range(exchanges):
        scale, reached = _fitted(row.astype(np.float64), scale, half)
        if reached > gain:
            best, gain = scale, reached
    return gain, error(row, best, half)


def _fitted(points: NDArray[np.float64], scale: float, half: int) -> tuple[float, float]:
    """The best scale for the codes on the grid of `scale`, and its gain over a row of zeros."""
    codes = _codes(points, scale, half)
    along, norm = float(points @ codes), float(codes @ codes)
    return (along / norm if along else scale, along * along / norm) if norm else (scale, 0.0)


def _codes(points: NDArray[np.floating], scale: float, half: int) -> NDArray[np.float64]:
    """Codes in float32: the largest value lies halfway between two codes on the plain scale."""
    turns = points.astype(np.float32) * (np.float32(1) / np.float32(scale))
    return np.asarray(np.clip(np.rint(turns), -half, half - 1), np.float64)
