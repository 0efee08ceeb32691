"""Quantized weights of a model, each computed once, put in for a while and taken out again bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tap.errors import FormatError
from tap.formats import Format, Grid
from tap.quantize.compensate import Compensation
from tap.stats.layers import matrix, unmatrix, weights_of
from tap.stats.units import Unit


def quantize_unit(format: Format, unit: Unit, weight: Tensor) -> Tensor:
    """A unit's stored weight in a format, with the unit named in errors; same shape and dtype."""
    try:
        back = format.quantize(matrix(weight.detach(), unit))
    except FormatError as error:
        raise FormatError(f"unit '{unit.name}': {error.message}", hint=error.hint) from error
    return unmatrix(back, unit, weight.shape).contiguous()


def find_grid(format: Format, unit: Unit, weight: Tensor) -> Grid | None:
    """The grid of a unit's stored weight in a format, None where the format has none."""
    find = getattr(format, "grid", None)
    try:
        grid: Grid | None = None if find is None else find(matrix(weight.detach(), unit))
    except FormatError as error:
        raise FormatError(f"unit '{unit.name}': {error.message}", hint=error.hint) from error
    return grid


def on_grid(grid: Grid, unit: Unit, weight: Tensor) -> Tensor:
    """A unit's stored weight on a grid; same shape and dtype."""
    rows = matrix(weight.detach(), unit)
    back = grid.nearest(rows.flatten(1).to(grid.scale.dtype)).reshape(rows.shape)
    return unmatrix(back, unit, weight.shape).to(weight.dtype).contiguous()


def round_unit(
    format: Format, unit: Unit, weight: Tensor, compensation: Compensation | None, grid: Grid | None
) -> Tensor:
    """The weight on its grid (of `find_grid`), with error compensation where that lowers the output error."""
    if grid is None:
        return quantize_unit(format, unit, weight)
    if compensation is None:
        return on_grid(grid, unit, weight)
    found, error = compensation.round(grid, unit, weight)
    nearest, plain = compensation.round(grid, unit, weight, nearest=True)
    return found if error < plain else nearest


class QuantizedWeights:
    """Cache of the quantized weights of a model, by unit and format, from the weights it has at the start.

    Weights are put in by pointing each parameter at the quantized tensor, so the original tensors are never
    written to, and leaving `swapped` points the parameters back whatever happened inside.

    >>> from tap.formats import parse_all
    >>> from tap.stats.layers import discover
    >>> net = nn.Sequential(nn.Linear(4, 4))
    >>> weights = QuantizedWeights(net, discover(net, torch.ones(1, 4)), parse_all(["int2", "int8"]))
    >>> before = net[0].weight.clone()
    >>> with weights.swapped({0: 0}):
    ...     changed = not torch.equal(net[0].weight, before)
    >>> changed, torch.equal(net[0].weight, before)
    (True, True)
    """

    def __init__(
        self,
        model: nn.Module,
        units: Sequence[Unit],
        formats: Sequence[Format],
        compensations: Mapping[int, Compensation] | None = None,
    ) -> None:
        """Nothing is quantized until it is needed.

        `compensations` (by unit index) ask for error-compensated rounding of the units it holds.
        """
        self._compensations = dict(compensations or {})
        self.units, self.formats = tuple(units), tuple(formats)
        self.parameters = weights_of(model, units)
        self._originals = [parameter.data for parameter in self.parameters]
        self._kept: dict[tuple[int, int], Tensor] = {}

    def weight(self, unit: int, format: int) -> Tensor:
        """The quantized weight of a unit in a format, in the shape of the stored one."""
        key = (unit, format)
        if key not in self._kept:
            form, layer, weight = self.formats[format], self.units[unit], self._originals[unit]
            grid = find_grid(form, layer, weight)
            self._kept[key] = round_unit(form, layer, weight, self._compensations.get(unit), grid)
        return self._kept[key]

    def forget(self, unit: int) -> None:
        """Drop a unit's quantized weights, to save memory."""
        for key in [key for key in self._kept if key[0] == unit]:
            del self._kept[key]

    @contextmanager
    def swapped(self, choice: Mapping[int, int]) -> Iterator[None]:
        """Put in the weights of `choice` (unit index to format index); the originals return in any case."""
        chosen = [(self.parameters[unit], self.weight(unit, format)) for unit, format in choice.items()]
        originals = [(parameter, parameter.data) for parameter, _ in chosen]
        try:
            with torch.no_grad():
                for parameter, weight in chosen:
                    parameter.data = weight
            yield
        finally:
            for parameter, original in originals:
                parameter.data = original

    @contextmanager
    def originals(self) -> Iterator[None]:
        """Put in the weights that the model had at the start, and what was there before on leaving."""
        inside = [(parameter, parameter.data) for parameter in self.parameters]
        try:
            for parameter, original in zip(self.parameters, self._originals, strict=True):
                parameter.data = original
            yield
        finally:
            for parameter, data in inside:
                parameter.data = data
