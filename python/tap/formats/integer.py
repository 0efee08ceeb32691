"""Integer formats: int2 to int8, symmetric or not, one scale a channel, a group or a tensor.

Symmetric: w = s * q with q in [-2^(b-1), 2^(b-1) - 1]. Asymmetric: w = s * (q - z) with q in [0, 2^b - 1].
How s and z are found stands in `tap.formats.scales`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tap.formats.base import Grid, as_rows, blocks_of, group_size
from tap.formats.scales import fit_asymmetric, fit_symmetric, starts

if TYPE_CHECKING:
    from torch import Tensor

    from tap.stats.units import Unit


@dataclass(frozen=True)
class IntFormat:
    """Integers of `bits` bits; see the module for the arithmetic.

    >>> IntFormat(4, group=128).name
    'int4-g128'
    """

    width: int
    """Bits of a code, 2 to 8."""
    symmetric: bool = True
    group: int | None = None
    """Columns that share a scale; None: the whole row."""
    per_tensor: bool = False
    search: bool = True
    """Scale by least squared error; False: by the largest magnitude."""

    @property
    def name(self) -> str:
        """`int4`, `int4-asym-g128-absmax` ..."""
        parts = [f"int{self.width}"]
        parts += [] if self.symmetric else ["asym"]
        parts += ["tensor"] if self.per_tensor else []
        parts += [f"g{self.group}"] if self.group else []
        return "-".join(parts if self.search else [*parts, "absmax"])

    @property
    def bits(self) -> float:
        """Bits of a code."""
        return float(self.width)

    @property
    def act_bits(self) -> int:
        """Activations stay as they are."""
        return 16

    def stored_bytes(self, unit: Unit) -> int:
        """Packed codes, float32 scales (bfloat16 for groups), packed zero points; rows padded to groups.

        >>> from tap.stats.units import Unit
        >>> IntFormat(3).stored_bytes(Unit("conv", "conv2d", out=16, inp=3, pos=9, macs=0))
        226
        """
        columns = unit.inp * unit.pos
        size = group_size(columns, self.group)
        groups = -(-columns // size)
        scales = 1 if self.per_tensor else unit.out * groups
        codes = unit.out * groups * size * self.width
        zeros = 0 if self.symmetric else scales * self.width
        return -(-codes // 8) + scales * (2 if self.group else 4) + -(-zeros // 8)

    def quantize(self, weight: Tensor) -> Tensor:
        """The weight [out, ...] on its grid; same shape and dtype."""
        rows = as_rows(weight)
        return self.grid(weight).nearest(rows).reshape(weight.shape).to(weight.dtype)

    def grid(self, weight: Tensor) -> Grid:
        """The grid that `quantize` rounds to, for rounding that looks beyond the nearest value."""
        import torch

        rows = as_rows(weight)
        out, columns = rows.shape
        size = group_size(columns, self.group)
        blocks = rows.reshape(1, -1) if self.per_tensor else blocks_of(rows, size)
        fit = fit_symmetric if self.symmetric else fit_asymmetric
        scale, zero = fit(blocks, self.width, starts(rows.numel()) if self.search else 0)
        if self.group:
            scale = scale.to(torch.bfloat16).to(scale.dtype)
        if self.per_tensor:
            scale, zero = scale.expand(out, 1), zero.expand(out, 1)
        half = 1 << (self.width - 1)
        low, high = (-half, half - 1) if self.symmetric else (0, 2 * half - 1)
        return Grid(scale.reshape(out, -1), zero.reshape(out, -1), size, low, high)
