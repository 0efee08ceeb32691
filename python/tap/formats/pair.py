"""A weight format together with a format of the unit's input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tap.formats.base import Format, Grid

if TYPE_CHECKING:
    from torch import Tensor

    from tap.stats.units import Unit


@dataclass(frozen=True)
class PairFormat:
    """Weights in one format, inputs in `act_bits`-bit integers (one range a tensor, calibrated on data)."""

    weight: Format
    act_bits: int

    @property
    def name(self) -> str:
        """`int4+a8` ..."""
        return f"{self.weight.name}+a{self.act_bits}"

    @property
    def bits(self) -> float:
        """Bits of a weight."""
        return self.weight.bits

    def stored_bytes(self, unit: Unit) -> int:
        """The weight's bytes and 8 more for the scale and zero point of the input."""
        return self.weight.stored_bytes(unit) + 8

    def quantize(self, weight: Tensor) -> Tensor:
        """The weight alone; inputs are rounded where the model runs."""
        return self.weight.quantize(weight)

    def grid(self, weight: Tensor) -> Grid | None:
        """The grid of the weight, None where its format is not a grid of integers."""
        find = getattr(self.weight, "grid", None)
        return None if find is None else find(weight)


def weight_only(format: Format) -> Format:
    """The weight's half of a pair; any other format as it is.

    >>> from tap.formats import parse
    >>> weight_only(parse("w4a8")).name
    'int4'
    """
    return format.weight if isinstance(format, PairFormat) else format
