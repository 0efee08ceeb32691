"""Quantization errors of every unit in every format, from grids that are searched for once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy

import torch
from torch import Tensor

from tap import _core
from tap.errors import DataError, FormatError
from tap.formats import Format, weight_only
from tap.formats.base import Grid
from tap.formats.gguf import Blocks, GgufFormat
from tap.stats.codes import Codes
from tap.stats.units import Unit

_TOGETHER = 1 << 22
"""Elements of dw that are formed at once (16 MB)."""
_FEW_THREADS = 4
"""Up to so many threads the one pass of the core is faster than the five of torch, which use them all."""


_Kept = Grid | Blocks | Codes | Tensor


class Deltas:
    """dw of L units in F formats; formats that differ only in activations share one.

    `weights[l]` is unit l's float32 weight [out, in, pos]. Of a format with a grid of integers the grid
    alone is kept, of one with GGUF blocks the blocks, and dw is formed again each time it is read; of other
    formats the quantized weight is kept.
    """

    def __init__(self, units: Sequence[Unit], weights: Sequence[Tensor], formats: Sequence[Format]) -> None:
        self.units = units
        self.weights = weights
        self.formats = formats
        halves = [weight_only(format) for format in formats]
        distinct = list(dict.fromkeys(half.name for half in halves))
        self.distinct = [next(half for half in halves if half.name == name) for name in distinct]
        self.of_format = [distinct.index(half.name) for half in halves]
        """Which distinct weight format each format has."""
        self._kept: dict[tuple[int, int], _Kept] = {}

    def prepare(self, unit: int) -> None:
        """Quantize a unit in every format; errors name the unit and the format."""
        for index in range(len(self.distinct)):
            self._quantized(unit, index)

    def copy(self) -> Deltas:
        """The same, with what was searched for; rounding one leaves the other as it is."""
        other = copy(self)
        other._kept = dict(self._kept)
        return other

    def round(self, unit: int, chosen: Callable[[Format, Grid], Tensor]) -> None:
        """Let `chosen` give the quantized weight [out, in * pos] for each format with a grid of integers."""
        for index, format in enumerate(self.distinct):
            grid = self._quantized(unit, index)
            if isinstance(grid, Grid):
                self._kept[unit, index] = Codes.of(grid, chosen(format, grid))

    def of(self, unit: int, rows: slice | Tensor | None = None, formats: slice | None = None) -> Tensor:
        """dw [D, rows, in, pos] of one unit in the D distinct weight formats, or some of them."""
        rows = slice(None) if rows is None else rows
        weight = self.weights[unit][rows]
        wanted = range(len(self.distinct))[formats or slice(None)]
        out = torch.empty((len(wanted), *weight.shape), device=weight.device)
        for place, index in zip(out, wanted, strict=True):
            kept = self._quantized(unit, index)
            if isinstance(kept, Grid):
                _error(kept, rows, weight.flatten(1), place.flatten(1))
            else:
                values = kept.values(rows) if isinstance(kept, Blocks | Codes) else kept[rows]
                torch.sub(values.view_as(weight).to(weight), weight, out=place)
        return out

    def pieces(self, unit: int, rows: int) -> list[slice]:
        """Ranges of the distinct formats whose dw of so many rows is small enough to be formed at once."""
        size = rows * self.weights[unit][0].numel()
        return _ranges(len(self.distinct), _TOGETHER // size)

    def parts(self, unit: int) -> list[slice]:
        """Ranges of a unit's rows whose dw in all formats stays in the cache."""
        rows = self.weights[unit]
        return _ranges(len(rows), (_TOGETHER >> 4) // (rows[0].numel() * len(self.distinct)))

    def spread(self, values: Tensor) -> Tensor:
        """Values [..., D] of the distinct weight formats as [..., F] of all formats."""
        return values[..., self.of_format]

    def _quantized(self, unit: int, index: int) -> _Kept:
        kept = self._kept.get((unit, index))
        if kept is None:
            kept = _quantize(self.distinct[index], self.units[unit], self.weights[unit])
            self._kept[unit, index] = kept
        return kept


def error_sums(deltas: Deltas, unit: int, g: Tensor | None, squares: Tensor | None) -> dict[str, Tensor]:
    """dw2, dw_max, with the mean gradient gdw and gdw_abs, with the mean of g^2 fisher_dw2: each [D].

    `g` and `squares` are [out, in, pos]. Rows are taken in parts that stay in the cache.
    """
    columns = deltas.weights[unit][0].numel()
    parts: dict[str, list[Tensor]] = {}
    for rows in deltas.parts(unit):
        dw = deltas.of(unit, rows).flatten(2)
        norms = torch.linalg.vector_norm(dw, dim=2).double().square()
        parts.setdefault("dw2", []).append(norms.sum(1))
        parts.setdefault("dw_max", []).append(norms.amax(1) / columns)
        if g is not None:
            products = dw.flatten(1) * g[rows].flatten()
            parts.setdefault("gdw", []).append(products.sum(1, dtype=torch.float64))
            parts.setdefault("gdw_abs", []).append(torch.linalg.vector_norm(products, 1, dim=1).double())
        if squares is not None:
            parts.setdefault("fisher_dw2", []).append(
                (dw.square_().flatten(1) @ squares[rows].flatten()).double()
            )
    stacked = {name: torch.stack(values) for name, values in parts.items()}
    return {name: values.amax(0) if name == "dw_max" else values.sum(0) for name, values in stacked.items()}


def _ranges(count: int, together: int) -> list[slice]:
    step = max(1, together)
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def _error(grid: Grid, rows: slice | Tensor, weight: Tensor, out: Tensor) -> None:
    """Write the rounded weight less the weight [rows, columns] to `out`."""
    scale, zero = grid.scale[rows], grid.zero[rows]
    if scale.shape[1] == 1 and grid.low < 0:
        if weight.device.type == "cpu" and torch.get_num_threads() <= _FEW_THREADS:
            values, scales = weight.contiguous().numpy(), scale[:, 0].contiguous().numpy()
            _core.grid_errors(values, scales, -grid.low, out.numpy())
            return
        torch.div(weight, scale, out=out).round_().clamp_(grid.low, grid.high).mul_(scale).sub_(weight)
        return
    torch.sub(Grid(scale, zero, grid.group, grid.low, grid.high).nearest(weight), weight, out=out)


def _quantize(format: Format, unit: Unit, weight: Tensor) -> _Kept:
    """The grid of a format of integers, the blocks of one of GGUF, the quantized weight of any other."""
    find = getattr(format, "grid", None)
    try:
        if isinstance(format, GgufFormat):
            return format.blocks(weight)
        grid = None if find is None else find(weight)
        quantized = format.quantize(weight) if grid is None else None
    except FormatError as error:
        raise FormatError(f"unit '{unit.name}' in {format.name}: {error.message}", hint=error.hint) from error
    if quantized is None:
        assert isinstance(grid, Grid)
        return grid
    if quantized.shape != weight.shape or not bool(torch.isfinite(quantized).all()):
        raise FormatError(
            f"format '{format.name}' gives unit '{unit.name}' a weight of another shape or not finite",
            hint="quantize(weight) must return finite values of the weight's shape",
        )
    return quantized.float()


def float_weights(units: Sequence[Unit], weights: Sequence[Tensor]) -> list[Tensor]:
    """The weights [out, in, pos] in float32, each checked to be finite."""
    found = []
    for unit, weight in zip(units, weights, strict=True):
        values = weight.detach().float()
        if not bool(torch.isfinite(values).all()):
            raise DataError(
                f"the weight of unit '{unit.name}' holds values that are not finite",
                hint="load the checkpoint again, or leave the unit out with exclude=",
            )
        found.append(values)
    return found
