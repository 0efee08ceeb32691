"""Rank correlations of two vectors by looking at every pair; NaN anywhere or a constant vector gives NaN."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def average_ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1; equal values share the average of their places."""
    below = [sum(other < value for other in values) for value in values]
    equal = [sum(other == value for other in values) for value in values]
    return [b + (e + 1) / 2 for b, e in zip(below, equal, strict=True)]


def pearson(x: Sequence[float], y: Sequence[float]) -> float:
    """Covariance over the product of the deviations, summed without rounding error."""
    n = len(x)
    mean_x, mean_y = math.fsum(x) / n, math.fsum(y) / n
    covariance = math.fsum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    spread = math.fsum((a - mean_x) ** 2 for a in x) * math.fsum((b - mean_y) ** 2 for b in y)
    return covariance / math.sqrt(spread) if spread > 0 else math.nan


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Pearson's correlation of the average ranks."""
    if _hopeless(x, y):
        return math.nan
    return pearson(average_ranks(x), average_ranks(y))


def _sign(a: float, b: float) -> int:
    return (a > b) - (a < b)


def kendall(x: Sequence[float], y: Sequence[float]) -> float:
    """Kendall's tau-b: (concordant - discordant) / sqrt(pairs not tied in x * pairs not tied in y)."""
    if _hopeless(x, y):
        return math.nan
    n = len(x)
    score, free_x, free_y = 0, 0, 0
    for i in range(n):
        for j in range(i):
            a, b = _sign(x[i], x[j]), _sign(y[i], y[j])
            score, free_x, free_y = score + a * b, free_x + a * a, free_y + b * b
    return score / math.sqrt(free_x * free_y) if free_x * free_y else math.nan


def weighted_tau(x: Sequence[float], y: Sequence[float]) -> float:
    """Vigna's tau with additive hyperbolic weights, averaged over ranking by (x, y) and by (y, x).

    The element with the largest value has rank 0; a pair weighs 1/(rank_i + 1) + 1/(rank_j + 1).
    """
    if _hopeless(x, y):
        return math.nan
    return (_weighted(x, y, _places(x, y)) + _weighted(x, y, _places(y, x))) / 2


def _places(first: Sequence[float], second: Sequence[float]) -> list[int]:
    """How many elements come before each one in descending order of (first, second)."""
    keys = list(zip(first, second, strict=True))
    order = sorted(range(len(keys)), key=lambda i: (keys[i], i), reverse=True)
    places = [0] * len(keys)
    for place, i in enumerate(order):
        places[i] = place
    return places


def _weighted(x: Sequence[float], y: Sequence[float], places: Sequence[int]) -> float:
    terms, free_x, free_y = [], [], []
    for i in range(len(x)):
        for j in range(i):
            weight = 1 / (places[i] + 1) + 1 / (places[j] + 1)
            a, b = _sign(x[i], x[j]), _sign(y[i], y[j])
            terms.append(weight * a * b)
            free_x.append(weight * a * a)
            free_y.append(weight * b * b)
    spread = math.fsum(free_x) * math.fsum(free_y)
    return math.fsum(terms) / math.sqrt(spread) if spread > 0 else math.nan


def _hopeless(x: Sequence[float], y: Sequence[float]) -> bool:
    """Too short, not a number somewhere, or all the same."""
    if len(x) < 2 or np.isnan(x).any() or np.isnan(y).any():
        return True
    return len(set(x)) == 1 or len(set(y)) == 1


def topk(x: Sequence[float], y: Sequence[float], k: int) -> float:
    """Expected share of the k largest of x among the k largest of y; ties at the edge are drawn by lot."""
    if _hopeless(x, y):
        return math.nan
    k = min(k, len(x))
    return math.fsum(_chance(x, i, k) * _chance(y, i, k) for i in range(len(x))) / k


def _chance(values: Sequence[float], i: int, k: int) -> float:
    """The chance that element i is among the k largest when equal values are ordered by lot."""
    above = sum(other > values[i] for other in values)
    equal = sum(other == values[i] for other in values)
    return min(1.0, max(0, k - above) / equal)
