"""A unit: one layer whose weight gets a number format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from tap.errors import TableError


@dataclass(frozen=True)
class Unit:
    """One layer whose weight gets a number format.

    The weight is seen as [out, in, pos]: output channels, input channels of one group, kernel positions.
    """

    name: str
    """Dotted module name in the model, for example `layer1.0.conv1`."""
    kind: str
    """`conv1d`, `conv2d`, `conv3d`, `linear`, `embedding`, `experts` (one weight for all of a layer)."""
    out: int
    """Output channels (rows of the weight)."""
    inp: int
    """Input channels of one group (columns of the weight)."""
    pos: int
    """Kernel positions: 9 for a 3x3 convolution, 1 for a linear layer."""
    macs: int
    """Multiply-accumulates of one sample, counted at the calibration input."""
    groups: int = 1
    kernel: int = 1
    """Kernel side (the larger one when they differ)."""
    stride: int = 1
    activations: int = 0
    """Input elements of one sample, all calls together; what activation formats and peak memory count."""
    calls: int = 1
    """How often the module is called in one forward pass."""
    transposed: bool = False
    """The weight is stored [in, out], as the Conv1D of transformers does."""

    @property
    def numel(self) -> int:
        """Elements of the weight."""
        return self.out * self.inp * self.pos

    @property
    def is_conv(self) -> bool:
        """A convolution of one, two or three dimensions."""
        return self.kind.startswith("conv")

    @property
    def is_linear(self) -> bool:
        """A matrix product: a linear layer or packed experts."""
        return self.kind in ("linear", "experts")

    @property
    def is_depthwise(self) -> bool:
        """Every output channel reads one input channel."""
        return self.groups > 1 and self.inp == 1

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> Unit:
        """Read what `as_json` wrote; unknown or missing fields are a `TableError`."""
        try:
            return Unit(**record)
        except TypeError as error:
            raise TableError(f"a unit record does not fit this version: {error}") from error
