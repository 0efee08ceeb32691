"""Rounding with error compensation from its definition, in 64 bits, one row and one column at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def values(scale: float, zero: float, low: int, high: int) -> Array:
    """All values of a grid."""
    return (np.arange(low, high + 1) - zero) * scale


def errors(weights: Array, rounded: Array, upper: Array) -> Array:
    """e of one row by forward substitution: w - q = e U."""
    found = np.zeros(len(weights))
    for j in range(len(weights)):
        carried = sum(found[i] * upper[i, j] for i in range(j))
        found[j] = (weights[j] - rounded[j] - carried) / upper[j, j]
    return found


def corrected(weights: Array, errors: Array, upper: Array) -> Array:
    """v of one row: what each column is when its turn comes."""
    return np.array(
        [weights[j] - sum(errors[i] * upper[i, j] for i in range(j)) for j in range(len(weights))]
    )
