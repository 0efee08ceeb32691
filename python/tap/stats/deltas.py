"""Quantization errors of every unit in every format, made once and kept as small integers where possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tap.errors import DataError, FormatError
from tap.formats import Format, weight_only
from tap.stats.units import Unit


@dataclass(frozen=True)
class _Codes:
    """A quantized weight as bytes: value = (code - zero) * scale, one scale for `group` columns."""

    codes: Tensor
    scale: Tensor
    zero: Tensor
    group: int

    def value(self) -> Tensor:
        """The quantized weight [out, columns]."""
        width = self.codes.shape[1]
        values = self.codes.float()
        if self.scale.shape[1] == 1:
            return values.sub_(self.zero).mul_(self.scale)
        columns = torch.arange(width, device=values.device) // self.group
        return values.sub_(self.zero[:, columns]).mul_(self.scale[:, columns])

    def minus(self, weight: Tensor, out: Tensor) -> None:
        """The quantized weight minus `weight` [out, columns], in as few passes as there can be."""
        if self.zero.any() or self.scale.shape[1] > 1:
            torch.sub(self.value(), weight, out=out)
        else:
            out.copy_(self.codes).mul_(self.scale).sub_(weight)


class Deltas:
    """dw of L units in F formats; formats that differ only in activations share one.

    `weights[l]` is unit l's float32 weight [out, in, pos].
    """

    def __init__(self, units: Sequence[Unit], weights: Sequence[Tensor], formats: Sequence[Format]) -> None:
        self.units = units
        self.weights = weights
        halves = [weight_only(format) for format in formats]
        distinct = list(dict.fromkeys(half.name for half in halves))
        self.distinct = [next(half for half in halves if half.name == name) for name in distinct]
        self.of_format = [distinct.index(half.name) for half in halves]
        """Which distinct weight format each format has."""
        self._kept: dict[tuple[int, int], Any] = {}

    def of(self, unit: int, rows: slice | None = None) -> Tensor:
        """dw [D, rows, in, pos] of one unit in the D distinct weight formats."""
        weight = self.weights[unit]
        weight = weight if rows is None else weight[rows]
        out = torch.empty((len(self.distinct), *weight.shape), device=weight.device)
        for index in range(len(self.distinct)):
            kept = self._quantized(unit, index, rows)
            if isinstance(kept, _Codes):
                kept.minus(weight.flatten(1), out[index].flatten(1))
            else:
                torch.sub(kept, weight, out=out[index])
        return out

    def spread(self, values: Tensor) -> Tensor:
        """Values [..., D] of the distinct weight formats as [..., F] of all formats."""
        return values[..., self.of_format]

    def _quantized(self, unit: int, index: int, rows: slice | None) -> _Codes | Tensor:
        kept = self._kept.get((unit, index))
        if kept is None:
            kept = self._kept[unit, index] = _quantize(
                self.distinct[index], self.units[unit], self.weights[unit]
            )
        if isinstance(kept, _Codes):
            whole = rows is None or (rows.start == 0 and rows.stop >= len(kept.codes))
            if whole or rows is None:
                return kept
            return _Codes(kept.codes[rows], kept.scale[rows], kept.zero[rows], kept.group)
        assert isinstance(kept, Tensor)
        return kept if rows is None else kept[rows]


def _quantize(format: Format, unit: Unit, weight: Tensor) -> _Codes | Tensor:
    """The quantized weight as codes when the format has a grid of integers, else as it is."""
    try:
        find = getattr(format, "grid", None)
        grid = None if find is None else find(weight)
        if grid is None or grid.high - grid.low > 255:
            quantized = format.quantize(weight)
        else:
            return _codes(grid, weight)
    except FormatError as error:
        raise FormatError(f"unit '{unit.name}' in {format.name}: {error.message}", hint=error.hint) from error
    if quantized.shape != weight.shape or not bool(torch.isfinite(quantized).all()):
        raise FormatError(
            f"format '{format.name}' gives unit '{unit.name}' a weight of another shape or not finite",
            hint="quantize(weight) must return finite values of the weight's shape",
        )
    return quantized.float()


def _codes(grid: Any, weight: Tensor) -> _Codes:
    """Codes as bytes from a grid, by the grid's own rounding."""
    rows = weight.reshape(weight.shape[0], -1)
    if grid.scale.shape[1] == 1:
        scale, zero = grid.scale, grid.zero
    else:
        columns = torch.arange(rows.shape[1], device=rows.device) // grid.group
        scale, zero = grid.scale[:, columns], grid.zero[:, columns]
    codes = (rows / scale).round_().add_(zero).clamp_(grid.low, grid.high)
    kind = torch.int8 if grid.low < 0 else torch.uint8
    return _Codes(codes.to(kind), grid.scale.float(), grid.zero.float(), grid.group)


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
