"""Integer formats: int2 to int8, symmetric or not, one scale a channel, a group or a tensor.

Symmetric: w = s * q with q in [-2^(b-1), 2^(b-1) - 1]. By absmax s = max|w| / (2^(b-1) - 1/2). The search
minimises |w - s q|^2: for codes q the best scale is s = <w,q> / <q,q> and the gain over the zero weight is
<w,q>^2 / <q,q>. A ladder of scales is tried on the histogram of each row: with the row divided by max|w|
the codes of a bin are the same in all rows, so that <w,q> and <q,q> of all scales are one matrix product of
counts. The best goes on with the values themselves by a few exchanges of codes and scale (Lloyd, IEEE Trans.
Inf. Theory 28, 1982). The scale may be negative: the extra code -2^(b-1) then lies on the positive side,
where the row has its longer tail.

Asymmetric: w = s * (q - z), q in [0, 2^b - 1], from the range that holds 0 and the row; the search shrinks
that range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tap.formats.base import Grid, as_rows, blocks_of, chunk_rows, group_size

if TYPE_CHECKING:
    from torch import Tensor

    from tap.stats.units import Unit

_CLIPPED = {2: 0.06, 3: 0.08, 4: 0.1, 5: 0.16, 6: 0.35, 7: 0.55, 8: 0.7}
"""The smallest range that the ladder tries, as a part of max|w|: fewer bits gain more by clipping."""
_STEPS = {2: 100, 3: 100, 4: 90, 5: 80, 6: 60, 7: 40, 8: 32}
"""How many scales the ladder has on either side."""
_BINS = {2: 1024, 3: 1024, 4: 1024, 5: 2048, 6: 2048, 7: 4096, 8: 4096}
"""Bins of the histogram of a row: several for each step of the finest scale."""
_LONG = 1 << 15
"""Rows of more values have four times the bins: their largest value may be far out."""
_LOWEST = {2: 0.18, 3: 0.22, 4: 0.3, 5: 0.4, 6: 0.5, 7: 0.65, 8: 0.75}
_TRIES = {2: 14, 3: 14, 4: 12, 5: 8, 6: 6, 7: 5, 8: 4}
"""The same where every try is a pass over the values: in short rows, and twice as many in the asymmetric
search; five times as many in small weights."""
_SHORT = {2: 128, 3: 128, 4: 128, 5: 128, 6: 128, 7: 128, 8: 512}
"""Rows of fewer values are short: a histogram would be longer. With 8 bits few tries find the same error."""
_ROWS = 2048
"""Rows that have their histograms made together."""
_EXCHANGES = 2
_SMALL = 1 << 16
"""Weights of fewer elements go on with the three best scales: short rows have many local minima."""


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
        fit = _fit_symmetric if self.symmetric else _fit_asymmetric
        step = chunk_rows(blocks) if blocks.shape[1] < _SHORT[self.width] else min(_ROWS, chunk_rows(blocks))
        starts = 0 if not self.search else 3 if rows.numel() < _SMALL else 1
        pieces = [fit(blocks[at : at + step], self.width, starts) for at in range(0, len(blocks), step)]
        scale = torch.cat([piece[0] for piece in pieces])
        zero = torch.cat([piece[1] for piece in pieces])
        if self.group:
            scale = scale.to(torch.bfloat16).to(scale.dtype)
        if self.per_tensor:
            scale, zero = scale.expand(out, 1), zero.expand(out, 1)
        half = 1 << (self.width - 1)
        low, high = (-half, half - 1) if self.symmetric else (0, 2 * half - 1)
        return Grid(scale.reshape(out, -1), zero.reshape(out, -1), size, low, high)


def _fit_symmetric(rows: Tensor, width: int, starts: int) -> tuple[Tensor, Tensor]:
    """Scales [R, 1] of rows [R, n], and zero points, which are 0; without starts the scale by absmax."""
    import torch

    largest = rows.abs().amax(1, keepdim=True)
    half = 1 << (width - 1)
    plain = largest / (half - 0.5)
    plain = torch.where(plain > 0, plain, torch.ones_like(plain))
    zero = torch.zeros_like(plain)
    if not starts:
        return plain, zero
    top = torch.where(largest > 0, largest, torch.ones_like(largest))
    codes = torch.empty_like(rows)
    if rows.shape[1] < _SHORT[width]:
        steps = _ladder(width, _LOWEST[width], _tries(width, starts)).to(rows)
        gains = torch.cat([_exchange(rows, top * step, half, codes)[1] for step in steps], dim=1)
    else:
        steps = _ladder(width, _CLIPPED[width], _STEPS[width]).to(rows)
        bins = _BINS[width] * (4 if rows.shape[1] > _LONG else 1)
        gains = _gains(_histogram(rows, top, bins, codes), steps, half)
    best, gain = _exchange(rows, plain, half, codes)
    for index in gains.topk(starts, dim=1).indices.unbind(1):
        scale = top * steps[index, None]
        for _ in range(_EXCHANGES):
            scale, reached = _exchange(rows, scale, half, codes)
            better = reached > gain
            best, gain = torch.where(better, scale, best), torch.where(better, reached, gain)
    return best, zero


def _ladder(width: int, lowest: float, count: int) -> Tensor:
    """The scales to try, as parts of max|w|: both ends of the codes on max|w|, then ever more clipping."""
    import torch

    half = 1 << (width - 1)
    clipped = torch.logspace(0, math.log10(lowest), count, dtype=torch.float64) / half
    parts = torch.cat([torch.tensor([1 / (half - 1)], dtype=torch.float64), clipped])
    return torch.cat([parts, -parts])


def _tries(width: int, starts: int) -> int:
    """How many scales to try where each is a pass over the values; few starts mean a large weight."""
    return _TRIES[width] * (5 if starts > 1 else 1)


def _histogram(rows: Tensor, top: Tensor, bins: int, room: Tensor) -> Tensor:
    """Counts [R, bins + 1] of rows [R, n] between -top and top; `room` of the rows' shape is written over."""
    import torch

    first = torch.arange(len(rows), device=rows.device, dtype=torch.int32)[:, None] * (bins + 1)
    places = torch.div(rows, top, out=room).mul_(bins // 2).round_().to(torch.int32).add_(first + bins // 2)
    counts = torch.bincount(places.flatten(), minlength=len(rows) * (bins + 1))
    return counts.view(len(rows), -1).to(rows.dtype)


def _gains(counts: Tensor, steps: Tensor, half: int) -> Tensor:
    """Gains [R, S] over the zero weight of rows with these counts, for scales that are `steps` of the top."""
    import torch

    centres = torch.linspace(-1, 1, counts.shape[1], dtype=counts.dtype, device=counts.device)[:, None]
    codes = (centres / steps).round_().clamp_(-half, half - 1)
    along, norm = counts @ (codes * centres), counts @ codes.square()
    return along.square_() / torch.where(norm > 0, norm, torch.ones_like(norm))


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


def _fit_asymmetric(rows: Tensor, width: int, starts: int) -> tuple[Tensor, Tensor]:
    """Scales and zero points [R, 1] of rows [R, n]."""
    import torch

    top = (1 << width) - 1
    low = rows.amin(1, keepdim=True).clamp_(max=0)
    high = rows.amax(1, keepdim=True).clamp_(min=0)
    span = torch.where(high > low, high - low, torch.ones_like(low))
    best_scale = span / top
    best_zero = (-low / best_scale).round_().clamp_(0, top)
    least = torch.full_like(span, torch.inf)
    tried = 2 * _tries(width, starts) if starts else 0
    for part in torch.linspace(1, _LOWEST[width], tried).tolist():
        scale = span * (part / top)
        zero = (-low * part / scale).round_().clamp_(0, top)
        codes = (rows / scale).round_().add_(zero).clamp_(0, top).sub_(zero).mul_(scale).sub_(rows)
        error = torch.linalg.vecdot(codes, codes).unsqueeze(1)
        better = error < least
        least = torch.where(better, error, least)
        best_scale, best_zero = torch.where(better, scale, best_scale), torch.where(better, zero, best_zero)
    return best_scale, best_zero
