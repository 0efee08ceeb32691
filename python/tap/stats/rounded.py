"""Inputs of units as formats round them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from tap.formats import Format
from tap.quantize.inputs import InputRanges
from tap.stats.batches import Batches
from tap.stats.calls import Call
from tap.stats.layers import Layers
from tap.stats.unchanged import lent

UNROUNDED = 16
"""Bits of inputs that stay as they are."""


class RoundedInputs:
    """Inputs in the bits of some formats, in ranges that are calibrated as `tap.quantize` does it.

    Without ranges, and where an input has none (token numbers, packed weights), inputs stay as they are.
    """

    def __init__(self, formats: Sequence[Format], ranges: InputRanges | None = None) -> None:
        bits = [UNROUNDED if ranges is None else min(format.act_bits, UNROUNDED) for format in formats]
        self.widths = tuple(dict.fromkeys([UNROUNDED, *bits]))
        """Inputs as they are, and the bits that occur."""
        self.of_format = [self.widths.index(width) for width in bits]
        """Which of them each format has."""
        self._ranges = ranges

    def of(self, call: Call, width: int) -> Call | None:
        """A call with its input in so many bits; None where it stays as it is."""
        if width >= UNROUNDED or self._ranges is None or call.site.is_packed or call.site.kind == "embedding":
            return None
        return replace(call, x=self._ranges.of(call.site, width).round(call.x.float()))


def rounded_inputs(
    model: nn.Module, layers: Layers, data: Batches, formats: Sequence[Format]
) -> RoundedInputs:
    """The inputs in ranges calibrated on data, which is read where a format rounds inputs at all."""
    if all(format.act_bits >= UNROUNDED for format in formats):
        return RoundedInputs(formats)
    ranges = InputRanges(model, layers, data)
    with lent(model):
        ranges.calibrate()
    return RoundedInputs(formats, ranges)
