"""Standard errors by the bootstrap and the noise ceiling by split halves, from losses of every sample."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tap.rank import spearman

_RESAMPLES = 200
_SPLITS = 40


def bootstrap(samples: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    """Standard error of the mean over axis 0 of `samples` [N, ...]: the deviation over 200 resamples.

    >>> bootstrap(np.zeros((10, 3))).tolist()
    [0.0, 0.0, 0.0]
    """
    n = len(samples)
    flat = samples.reshape(n, -1)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=_RESAMPLES) / n
    return np.asarray((drawn @ flat).std(axis=0, ddof=1).reshape(samples.shape[1:]))


def halves(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means [2, ...] over the even and the odd samples of `samples` [N, ...]."""
    return np.stack([samples[::2].mean(axis=0), samples[1::2].mean(axis=0)])


def ceiling(samples: NDArray[np.float64], groups: NDArray[np.int64], seed: int = 0) -> float:
    """The largest agreement to expect of any prediction with a truth measured on so few samples.

    `samples` is [N, n] for n items in `groups` [n]. Over 40 random halvings of the N samples, Spearman's r of
    the two halves' means is taken within each group and averaged. 2 r / (1 + r) is the reliability of the
    whole (Spearman 1910, Brown 1910), and its square root the correlation of the measured values with the
    true ones, which not even the true values would pass. 0 when the halves do not agree at all; NaN for fewer
    than four samples or when no group has three items that differ.

    >>> rng = np.random.default_rng(0)
    >>> items, noise = np.arange(20.0), rng.normal(size=(500, 20))
    >>> bool(ceiling(items + 0.01 * noise, np.zeros(20, int)) > 0.999)
    True
    >>> bool(ceiling(noise, np.zeros(20, int)) < 0.8)
    True
    """
    n = len(samples)
    if n < 4:
        return float("nan")
    rng = np.random.default_rng(seed)
    first = np.zeros((_SPLITS, n))
    for row in first:
        row[rng.permutation(n)[: n // 2]] = 1
    one = first @ samples / (n // 2)
    two = (1 - first) @ samples / (n - n // 2)
    found = []
    for group in np.unique(groups):
        inside = groups == group
        if inside.sum() >= 3:
            found += [float(spearman(a[inside], b[inside])) for a, b in zip(one, two, strict=True)]
    values = np.array([r for r in found if np.isfinite(r)])
    if not len(values):
        return float("nan")
    r = float(values.mean())
    return math.sqrt(2 * r / (1 + r)) if r > 0 else 0.0
