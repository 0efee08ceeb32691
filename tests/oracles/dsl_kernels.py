"""What each operator of the proxy language computes, in numpy and plain loops."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np


def compare(op: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Comparisons give 1 or 0."""
    kernels = {
        "<": np.less,
        "<=": np.less_equal,
        ">": np.greater,
        ">=": np.greater_equal,
        "==": np.equal,
        "!=": np.not_equal,
    }
    return lambda a, b: kernels[op](a, b).astype(np.float64)


def power(base: np.ndarray, exponent: float) -> np.ndarray:
    """A literal exponent: roots, the inverse, small whole powers by repeated squaring, else pow."""
    if exponent == 0.5:
        return np.sqrt(base)
    if exponent == 1:
        return base + 0.0
    if exponent == -1:
        return 1.0 / base
    if exponent in range(2, 9):
        result, factor, left = None, base, int(exponent)
        while left:
            if left % 2:
                result = factor if result is None else result * factor
            factor, left = factor * factor, left // 2
        return result
    return np.power(base, exponent)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)) without overflow: for x < 0 it is exp(x) / (1 + exp(x))."""
    small = np.exp(-np.abs(x))
    return np.where(np.isnan(x), np.nan, np.where(x >= 0, 1.0, small) / (1.0 + small))


def _least(*arrays: np.ndarray) -> np.ndarray:
    result = arrays[0]
    for array in arrays[1:]:
        result = np.minimum(result, array)
    return result


def _most(*arrays: np.ndarray) -> np.ndarray:
    result = arrays[0]
    for array in arrays[1:]:
        result = np.maximum(result, array)
    return result


ELEMENTWISE: dict[str, Callable[..., np.ndarray]] = {
    "neg": np.negative,
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "pow": np.power,
    "where": lambda c, a, b: np.where(c != 0, a, b),
    "abs": np.abs,
    "sign": np.sign,
    "sqrt": np.sqrt,
    "square": lambda x: x * x,
    "exp": np.exp,
    "log": np.log,
    "log1p": np.log1p,
    "log2": np.log2,
    "log10": np.log10,
    "expm1": np.expm1,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": lambda x: np.maximum(x, 0.0),
    "reciprocal": lambda x: 1.0 / x,
    "min": _least,
    "max": _most,
    "clip": lambda v, low, high: np.minimum(np.maximum(v, low), high),
}


def _variance(v: np.ndarray) -> float:
    mean = np.sum(v) / len(v)
    return float(np.sum((v - mean) ** 2) / len(v))


def _quantile(v: np.ndarray, q: float) -> float:
    """The element at place q (n - 1) of the sorted values, or the point between the two beside it."""
    if np.isnan(v).any():
        return math.nan
    place = q * (len(v) - 1)
    ordered = np.sort(v)
    low, high, part = ordered[math.floor(place)], ordered[math.ceil(place)], place - math.floor(place)
    return float(low if low == high else (1 - part) * low + part * high)


def _entropy(v: np.ndarray, scale: float) -> float:
    """Nats of |v| as a distribution over the whole tensor; 0 ln 0 = 0."""
    p = np.abs(v) / np.sum(np.abs(v))
    terms = [0.0 if x == 0 else x * np.log(x) for x in p]
    return float(-np.sum(terms) + np.log(scale))


def _kurtosis(v: np.ndarray) -> float:
    centred = v - np.sum(v) / len(v)
    return float(np.float64(np.mean(centred**4)) / np.mean(centred**2) ** 2 - 3.0)


REDUCTIONS: dict[str, Callable[..., float]] = {
    "sum": lambda v, s: float(s * np.sum(v)),
    "mean": lambda v, s: float(np.sum(v) / len(v)),
    "var": lambda v, s: _variance(v),
    "std": lambda v, s: math.sqrt(x) if (x := _variance(v)) >= 0 else math.nan,
    "norm1": lambda v, s: float(s * np.sum(np.abs(v))),
    "norm2": lambda v, s: float(np.sqrt(s * np.sum(v * v))),
    "count": lambda v, s: float(len(v) * s),
    "min": lambda v, s: float(np.min(v)),
    "max": lambda v, s: float(np.max(v)),
    "median": lambda v, s: _quantile(v, 0.5),
    "quantile": lambda v, s, q: _quantile(v, q),
    "entropy": _entropy,
    "kurtosis": lambda v, s: _kurtosis(v),
}


def _ranks(v: np.ndarray) -> np.ndarray:
    """Average ranks from 1, by counting who is below and who is equal."""
    if np.isnan(v).any():
        return np.full(len(v), np.nan)
    return np.array([np.sum(v < x) + (np.sum(v == x) + 1) / 2 for x in v])


def _softmax(v: np.ndarray) -> np.ndarray:
    weights = np.exp(v - np.max(v))
    return weights / np.sum(weights)


def _cumsum(v: np.ndarray) -> np.ndarray:
    return np.array([np.sum(v[: i + 1]) for i in range(len(v))])


NETWORK: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rank": _ranks,
    "zscore": lambda v: (v - np.mean(v)) / np.sqrt(_variance(v)),
    "minmax": lambda v: (v - np.min(v)) / (np.max(v) - np.min(v)),
    "softmax": _softmax,
    "net_sum": lambda v: np.full(len(v), np.sum(v)),
    "net_mean": lambda v: np.full(len(v), np.mean(v)),
    "net_max": lambda v: np.full(len(v), np.max(v)),
    "net_min": lambda v: np.full(len(v), np.min(v)),
    "net_std": lambda v: np.full(len(v), np.sqrt(_variance(v))),
    "cumsum": _cumsum,
    "suffix_mean": lambda v: np.array([np.mean(v[i:]) for i in range(len(v))]),
    "prev": lambda v: np.concatenate([v[:1], v[:-1]]),
    "next": lambda v: np.concatenate([v[1:], v[-1:]]),
}
