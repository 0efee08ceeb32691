"""Integer formats: int2 to int8, symmetric or not, one scale a channel, a group or a tensor.

Symmetric: w = s * q with q in [-2^(b-1), 2^(b-1) - 1]. By absmax s = max|w| / (2^(b-1) - 1/2). The search
minimises |w - s q|^2: for codes q the best scale is s = <w,q> / <q,q> and the gain over the zero weight is
<w,q>^2 / <q,q>, so a short ladder of scales picks the codes and a few exchanges of codes and scale
(Lloyd, IEEE Trans. Inf. Theory 28, 1982) finish. The scale may be negative: the extra code -2^(b-1) then
lies on the positive side, where the row has its longer tail.

Asymmetric: w = s * (q - z), q in [0, 2^b - 1], from the range that holds 0 and the row; the search shrinks
that range.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tap.formats.base import Grid, as_rows, blocks_of, chunk_rows, group_size, rows_of

if TYPE_CHECKING:
    from torch import Tensor

    from tap.stats.units import Unit

_LOWEST = {2: 0.18, 3: 0.22, 4: 0.3, 5: 0.4, 6: 0.5, 7: 0.65, 8: 0.75}
"""The smallest range that the search tries, as a part of max|w|: fewer bits gain more by clipping."""
_STEPS = {2: 14, 3: 14, 4: 12, 5: 8, 6: 6, 7: 5, 8: 4}
"""How many scales the ladder has; the exchanges reach what lies between two rungs."""
_EXCHANGES = 3
_SMALL = 1 << 16
"""Weights below this many elements get a ladder five times as fine: short rows have many local minima."""


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
        grid = self.grid(weight)
        blocks = blocks_of(rows, grid.group)
        flat = Grid(grid.scale.reshape(-1, 1), grid.zero.reshape(-1, 1), grid.group, grid.low, grid.high)
        return rows_of(flat.snap(blocks), *rows.shape).reshape(weight.shape).to(weight.dtype)

    def grid(self, weight: Tensor) -> Grid:
        """The grid that `quantize` rounds to, for rounding that looks beyond the nearest value."""
        import torch

        rows = as_rows(weight)
        out, columns = rows.shape
        size = group_size(columns, self.group)
        blocks = rows.reshape(1, -1) if self.per_tensor else blocks_of(rows, size)
        fit = _fit_symmetric if self.symmetric else _fit_asymmetric
        step = chunk_rows(blocks)
        rungs = 0 if not self.search else _STEPS[self.width] * (5 if rows.numel() < _SMALL else 1)
        pieces = [fit(blocks[at : at + step], self.width, rungs) for at in range(0, len(blocks), step)]
        scale = torch.cat([piece[0] for piece in pieces])
        zero = torch.cat([piece[1] for piece in pieces])
        if self.group:
            scale = scale.to(torch.bfloat16).to(scale.dtype)
        if self.per_tensor:
            scale, zero = scale.expand(out, 1), zero.expand(out, 1)
        half = 1 << (self.width - 1)
        low, high = (-half, half - 1) if self.symmetric else (0, 2 * half - 1)
        return Grid(scale.reshape(out, -1), zero.reshape(out, -1), size, low, high)


def _fit_symmetric(rows: Tensor, width: int, rungs: int) -> tuple[Tensor, Tensor]:
    """Scales [R, 1] of rows [R, n], and zero points, which are 0; without rungs the scale by absmax."""
    import torch

    largest = rows.abs().amax(1, keepdim=True)
    half = 1 << (width - 1)
    plain = largest / (half - 0.5)
    plain = torch.where(plain > 0, plain, torch.ones_like(plain))
    zero = torch.zeros_like(plain)
    if not rungs:
        return plain, zero
    tail = -torch.sign(rows.amax(1, keepdim=True) + rows.amin(1, keepdim=True))
    side = torch.where(tail == 0, torch.ones_like(tail), tail)
    sides = (side, -side) if width <= 3 or rungs > 2 * _STEPS[width] else (side,)
    top = torch.where(largest > 0, largest, torch.ones_like(largest))
    codes = torch.empty_like(rows)
    best, gain = _exchange(rows, plain, half, codes)
    for part in _ladder(width, rungs):
        for sign in sides:
            scale, reached = _exchange(rows, top * sign * part, half, codes)
            better = reached > gain
            best, gain = torch.where(better, scale, best), torch.where(better, reached, gain)
    for _ in range(_EXCHANGES):
        scale, reached = _exchange(rows, best, half, codes)
        better = reached > gain
        best, gain = torch.where(better, scale, best), torch.where(better, reached, gain)
    return best, zero


def _ladder(width: int, rungs: int) -> list[float]:
    """The scales to try, as parts of max|w|: both ends of the codes on max|w|, then ever more clipping."""
    half = 1 << (width - 1)
    return [1 / (half - 1), *(_LOWEST[width] ** (step / (rungs - 1)) / half for step in range(rungs))]


def _exchange(rows: Tensor, scale: Tensor, half: int, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Round to the grid of `scale`, then the best scale for those codes and its gain, both [R, 1]."""
    import torch

    torch.mul(rows, scale.reciprocal(), out=codes).round_().clamp_(-half, half - 1)
    along = torch.linalg.vecdot(rows, codes).unsqueeze(1)
    norm = torch.linalg.vecdot(codes, codes).unsqueeze(1)
    found = norm > 0
    norm = torch.where(found, norm, torch.ones_like(norm))
    fitted = along / norm
    return torch.where(found & (fitted != 0), fitted, scale), along * fitted


def _fit_asymmetric(rows: Tensor, width: int, rungs: int) -> tuple[Tensor, Tensor]:
    """Scales and zero points [R, 1] of rows [R, n]."""
    import torch

    top = (1 << width) - 1
    low = rows.amin(1, keepdim=True).clamp_(max=0)
    high = rows.amax(1, keepdim=True).clamp_(min=0)
    span = torch.where(high > low, high - low, torch.ones_like(low))
    best_scale = span / top
    best_zero = (-low / best_scale).round_().clamp_(0, top)
    least = torch.full_like(span, torch.inf)
    for part in torch.linspace(1, _LOWEST[width], 2 * rungs).tolist():
        scale = span * (part / top)
        zero = (-low * part / scale).round_().clamp_(0, top)
        codes = (rows / scale).round_().add_(zero).clamp_(0, top).sub_(zero).mul_(scale).sub_(rows)
        error = torch.linalg.vecdot(codes, codes).unsqueeze(1)
        better = error < least
        least = torch.where(better, error, least)
        best_scale, best_zero = torch.where(better, scale, best_scale), torch.where(better, zero, best_zero)
    return best_scale, best_zero
