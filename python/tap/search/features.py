"""Building blocks of the local search: reduced statistics as columns, so that programs over them are cheap.

A program that reads whole samples costs thousands of times more than one that reads a number for each unit.
So every block below is computed once for each net, kept as a column, and put back as text in what is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tap.errors import ProxyError, TableError
from tap.proxy import Proxy
from tap.search.nets import Net
from tap.stats.table import LayerTable

Column = NDArray[np.float64]

ALIKE = 1.0 - 1e-6
"""Blocks whose logarithms correlate beyond this on every net count as one."""

_WEIGHTS = (
    "g2",
    "square(g)",
    "abs(h)",
    "square(w)",
    "x_sq",
    "x_var",
    "gz2",
    "z_var",
    "fisher_z",
    "square(vgrad)",
)
_PAIRS = ("gz2 * x_sq", "g2 * square(w)", "gz2 * x_var", "x_sq / (z_var + eps)", "gz2 / (g2 + eps)")
_NOISE = ("square(dw)", "abs(dw)")
_PLAIN = (
    "mean(square(w))", "mean(abs(w))", "max(abs(w))", "std(w)", "kurtosis(w)", "entropy(w)",
    "sum(g2)", "sum(square(g))", "sum(abs(w * g))", "sum(square(w) * g2)", "sum(abs(h))", "sum(w * hg)",
    "sum(abs(w * synflow))", "sum(abs(w * vgrad))", "mean(x_sq)", "mean(x_var)", "max(x_absmax)",
    "mean(z_var)", "sum(gz2)", "sum(fisher_z)", "mean(abs(x_mean))", "mean(square(z_mean))",
)  # fmt: skip
_SHAPED = (
    "sum(square(sum(dw, in_, pos)))",
    "sum(square(mean(dw, in_, pos)))",
    "max(sum(square(dw), in_, pos))",
    "sum(sum(square(dw), in_, pos) / (sum(square(w), in_, pos) + eps))",
    "max(sum(square(dw), in_, pos) / (sum(square(w), in_, pos) + eps))",
    "mean(sum(x_sq * square(dw), in_, pos) / (z_var + eps))",
    "max(sum(x_sq * square(dw), in_, pos) / (z_var + eps))",
    "sum(gz2 * sum(x_sq * square(dw), in_, pos))",
    "sum(gz2 * square(sum(x_mean * dw, in_, pos)))",
    "sum(square(sum(x_mean * dw, in_, pos)))",
    "sum(abs(sum(g * dw, in_, pos)))",
    "sum(square(sum(g * dw, in_, pos)))",
)  # fmt: skip


def expressions() -> Iterator[str]:
    """All blocks that are tried, the simplest first."""
    for noise in _NOISE:
        yield f"sum({noise})"
        yield f"max({noise})"
        for weight in (*_WEIGHTS, *_PAIRS):
            yield f"sum({weight} * {noise})"
            yield f"mean({weight} * {noise})"
    yield "sum(abs(g * dw))"
    yield "sum(square(g * dw))"
    yield from _SHAPED
    yield from _PLAIN


class Blocks:
    """Computes blocks on a set of nets, each once."""

    def __init__(self, nets: Sequence[Net]) -> None:
        self.nets = list(nets)
        self._values: dict[str, list[Column] | None] = {}

    def values(self, expression: str) -> list[Column] | None:
        """Values [L] or [L, F] on every net; None when an input is missing or a value is not finite."""
        if expression not in self._values:
            self._values[expression] = self._computed(expression)
        return self._values[expression]

    @cached_property
    def base(self) -> tuple[str, ...]:
        """Blocks that vary and differ from each other, the simplest first."""
        own = set.intersection(*(set(net.table.columns) for net in self.nets))
        kept: list[str] = []
        seen: list[Column] = []
        for expression in (*_SHAPE, *sorted(own - set(_SHAPE)), *expressions()):
            values = self.values(expression)
            if values is None:
                continue
            profile = np.concatenate([_profile(value) for value in values])
            if np.any(profile) and not any(_alike(profile, other) for other in seen):
                seen.append(profile)
                kept.append(expression)
        return tuple(kept)

    def tables(self, named: Mapping[str, str]) -> list[LayerTable]:
        """For each net, a table whose columns are the blocks `{name: expression}`."""
        columns: list[dict[str, Column]] = [{} for _ in self.nets]
        for name, expression in named.items():
            for column, value in zip(columns, self.values(expression) or [], strict=True):
                column[name] = value
        return [
            replace(net.table, columns=column, samples={}, blocks=net.table.blocks[:0])
            for net, column in zip(self.nets, columns, strict=True)
        ]

    def _computed(self, expression: str) -> list[Column] | None:
        try:
            proxy = Proxy(f"score = {expression}")
            if proxy.axes:
                return [proxy.score(net.table) for net in self.nets]
            spread = Proxy(f"score = ({expression}) + 0 * bits")
            return [spread.score(net.table)[:, 0] for net in self.nets]
        except (ProxyError, TableError):
            return None


_SHAPE = ("numel", "macs", "depth", "out_channels", "in_channels", "kernel", "is_conv", "is_first", "is_last")


def _profile(values: Column) -> Column:
    """Logarithms of the sizes with signs, centred, of length 1; all zeros for a constant."""
    scale = np.abs(values).max()
    if not scale > 0:
        return np.zeros(values.size)
    flat = np.sign(values) * np.log1p(np.abs(values) / scale * 1e6)
    flat = flat.ravel() - flat.mean()
    norm = np.linalg.norm(flat)
    return np.asarray(flat / norm) if norm > 1e-9 else np.zeros(values.size)


def _alike(first: Column, second: Column) -> bool:
    if first.shape != second.shape:
        return False
    return bool(abs(first @ second) / np.sqrt((first @ first) * (second @ second)) > ALIKE)
