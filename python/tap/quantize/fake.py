"""Parametrizations that show a weight, or an input, as it is in a format, with straight-through gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tap.formats import Format, Grid
from tap.quantize.inputs import InputRange
from tap.quantize.weights import on_grid, quantize_unit
from tap.stats.units import Unit


class StraightThrough(torch.autograd.Function):
    """Forward the rounded values; backward hand the gradient on as it is (Bengio et al., arXiv 1308.3432)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, rounded: Tensor) -> Tensor:
        """The rounded values."""
        return rounded.view_as(rounded)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, None]:
        """The gradient of the rounded values, for the values."""
        return gradients[0], None


class FakeWeight(nn.Module):
    """Parametrization of a weight: the nearest values of its format.

    Where the format is a grid of integers its scales are found once and kept, so that training moves weights
    on a grid that stands still; other formats find their scales anew.

    >>> from tap.formats import parse
    >>> weight = torch.tensor([[0.9, -1.1, 0.2, -2.0]])
    >>> form = parse("int2")
    >>> FakeWeight(form, Unit("fc", "linear", 1, 4, 1, 4), form.grid(weight))(weight).unique().numel() <= 4
    True
    """

    scale: Tensor | None
    zero: Tensor | None

    def __init__(self, format: Format, unit: Unit, grid: Grid | None) -> None:
        """The grid is that of `tap.quantize.weights.find_grid`."""
        super().__init__()
        self.format, self.unit = format, unit
        self._shape = None if grid is None else (grid.group, grid.low, grid.high)
        self.register_buffer("scale", None if grid is None else grid.scale.clone())
        self.register_buffer("zero", None if grid is None else grid.zero.clone())
        self._seen: tuple[int, int, Tensor] | None = None

    def forward(self, weight: Tensor) -> Tensor:
        """The weight in its format; same shape and dtype."""
        key = (weight._version, weight.data_ptr())
        if self._seen is None or self._seen[:2] != key or self._seen[2].device != weight.device:
            self._seen = (*key, self._rounded(weight.detach()))
        result: Tensor = StraightThrough.apply(weight, self._seen[2])
        return result

    def forget(self) -> None:
        """Drop the rounded weight that is kept for the next call."""
        self._seen = None

    def __deepcopy__(self, memo: dict[int, Any]) -> FakeWeight:
        copied = FakeWeight.__new__(FakeWeight)
        nn.Module.__init__(copied)
        copied.format, copied.unit, copied._shape, copied._seen = self.format, self.unit, self._shape, None
        for name in ("scale", "zero"):
            value = getattr(self, name)
            copied.register_buffer(name, None if value is None else value.clone())
        copied.train(self.training)
        return copied

    def _rounded(self, weight: Tensor) -> Tensor:
        if self._shape is None or self.scale is None or self.zero is None:
            return quantize_unit(self.format, self.unit, weight)
        return on_grid(Grid(self.scale, self.zero, *self._shape), self.unit, weight)


class FakeInput:
    """A forward pre-hook that rounds the first input of a module to a calibrated range."""

    def __init__(self, found: InputRange) -> None:
        self.range = found

    def __call__(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        """The arguments with the first one rounded."""
        if args:
            return (self.range.round(args[0]), *args[1:]), kwargs
        name = next(iter(kwargs))
        return args, {**kwargs, name: self.range.round(kwargs[name])}
