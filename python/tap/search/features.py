"""Statistics for the local search, as columns, so that programs above them are cheap.

A program that reads whole samples costs thousands of times more than one that reads a number for each unit.
So each of those below is computed once for each net, kept as a column, and put back as text in what is found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tap import _core
from tap.errors import ProxyError, TableError
from tap.proxy import Proxy
from tap.search.nets import Net
from tap.stats.table import LayerTable

Column = NDArray[np.float64]

ALIKE = 1.0 - 1e-6
"""Statistics whose logarithms correlate beyond this on every net count as one."""

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
    """All statistics that are tried, the simplest first."""
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
    """Knows statistics by the names that the core gives them, and computes each once on every net."""

    def __init__(self, nets: Sequence[Net]) -> None:
        self.nets = list(nets)
        self._expressions: dict[str, str] = {}
        self._values: dict[str, list[Column] | None] = {}
        self._lifted: dict[str, str | None] = {}

    def lifted(self, code: str) -> str | None:
        """The program above its statistics, which are learnt; None when one cannot be computed."""
        if code not in self._lifted:
            self._lifted[code] = self._lift(code)
        return self._lifted[code]

    def lowered(self, source: str) -> str:
        """The program with its statistics written out: the reverse of `lifted`."""
        names = dict.fromkeys(_NAMED.findall(source))
        columns = [(name, ["format"] if self._has_formats(name) else []) for name in names]
        source, _ = _core.lift(source, columns)
        lines = []
        for place, name in enumerate(names, start=1):
            lines.append(f"s{place} = {self._expressions[name]}")
            source = source.replace(name, f"s{place}")
        return "\n".join([*lines, source.strip()])

    @cached_property
    def base(self) -> tuple[str, ...]:
        """Names of columns and statistics that vary and differ from each other, the simplest first."""
        own = set.intersection(*(set(net.table.columns) for net in self.nets))
        kept: list[str] = []
        seen: list[Column] = []
        for expression in (*_SHAPE, *sorted(own - set(_SHAPE)), *expressions()):
            name = self.lifted(f"score = {expression}")
            values = None if name is None else self._computed(expression)
            if name is None or values is None:
                continue
            profile = np.concatenate([_profile(value) for value in values])
            if np.any(profile) and not any(_alike(profile, other) for other in seen):
                seen.append(profile)
                kept.append(name.removeprefix("score = "))
        return tuple(kept)

    def named(self, sources: Sequence[str]) -> dict[str, list[Column]]:
        """Values on every net of the statistics of `base` and `sources`, by name."""
        texts = (*self.base, *sources)
        names = dict.fromkeys(name for text in texts for name in _NAMED.findall(text))
        return {name: values for name in names if (values := self._values[name]) is not None}

    def tables(self, named: Mapping[str, Sequence[Column]]) -> list[LayerTable]:
        """For each net a table without samples, with the statistics as columns."""
        return [
            replace(
                net.table,
                columns={**net.table.columns, **{name: values[place] for name, values in named.items()}},
                samples={},
                blocks=net.table.blocks[:0],
            )
            for place, net in enumerate(self.nets)
        ]

    def _has_formats(self, name: str) -> bool:
        values = self._values[name]
        return values is not None and values[0].ndim == 2

    def _lift(self, code: str) -> str | None:
        try:
            lifted, statistics = _core.lift(code)
        except ProxyError:
            return None
        for name, expression in statistics:
            if name not in self._values:
                self._expressions[name] = expression
                self._values[name] = self._computed(expression)
        return None if any(self._values[name] is None for name, _ in statistics) else lifted

    def _computed(self, expression: str) -> list[Column] | None:
        """Values [L] or [L, F] on every net; None when an input is missing or a value is not finite."""
        try:
            proxy = Proxy(f"score = {expression}")
            if proxy.axes:
                return [proxy.score(net.table) for net in self.nets]
            spread = Proxy(f"score = ({expression}) + 0 * bits")
            return [spread.score(net.table)[:, 0] for net in self.nets]
        except (ProxyError, TableError):
            return None


_NAMED = re.compile(r"\bs_[0-9a-f]{8}\b")
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
