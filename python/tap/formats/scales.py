"""Scales of integer grids: by the largest magnitude of a row, or by least squared error.

Symmetric, by absmax: s = max|w| / (2^(b-1) - 1/2). The search minimises |w - s q|^2: for codes q the best
scale is s = <w,q> / <q,q> and the gain over the zero weight is <w,q>^2 / <q,q>. A ladder of scales is tried
on the histogram of each row: with the row divided by max|w| the codes of a bin are the same in all rows, so
that <w,q> and <q,q> of all scales are one matrix product of counts. The best goes on with the values
themselves by a few exchanges of codes and scale (Lloyd, IEEE Trans. Inf. Theory 28, 1982). The scale may be
negative: the extra code -2^(b-1) then lies on the positive side, where the row has its longer tail. Rows of
float32 on a CPU are searched in the core, in the same way.

Asymmetric: from the range that holds 0 and the row; the search shrinks that range.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from tap import _core
from tap.formats.base import chunk_rows

if TYPE_CHECKING:
    from torch import Tensor

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


def starts(elements: int) -> int:
    """How many of the best scales a search goes on with, in a weight of so many elements."""
    return 3 if elements < _SMALL else 1


def fit_symmetric(rows: Tensor, width: int, starts: int) -> tuple[Tensor, Tensor]:
    """Scales [R, 1] of rows [R, n], and zero points, which are 0; without starts the scale by absmax."""
    import torch

    zero = rows.new_zeros(len(rows), 1)
    if not starts:
        return _absmax(rows, width), zero
    if rows.device.type != "cpu" or rows.dtype != torch.float32:
        return search(rows, width, starts), zero
    steps, bins = _ladder(rows, width, starts)
    goes_on, threads = (starts, _EXCHANGES), torch.get_num_threads()
    values = rows.contiguous().numpy()
    found = _core.fit_scales(values, steps.numpy(), 1 << (width - 1), bins, goes_on, threads)
    return torch.from_numpy(found)[:, None], zero


def search(rows: Tensor, width: int, starts: int) -> Tensor:
    """The symmetric scales [R, 1] of rows [R, n] on any device, as the core finds them."""
    steps, bins = _ladder(rows, width, starts)
    return _in_chunks(rows, bins > 0, lambda part: _search(part, width, steps, bins, starts))


def fit_asymmetric(rows: Tensor, width: int, starts: int) -> tuple[Tensor, Tensor]:
    """Scales and zero points [R, 1] of rows [R, n]; without starts from the whole range."""
    tried = 2 * _tries(width, starts) if starts else 0
    found = _in_chunks(rows, False, lambda part: _shrink(part, width, tried))
    return found[:, :1], found[:, 1:]


def _in_chunks(rows: Tensor, few: bool, find: Callable[[Tensor], Tensor]) -> Tensor:
    """What `find` makes of all rows, some at a time, `few` of them where each has a histogram."""
    import torch

    step = min(_ROWS, chunk_rows(rows)) if few else chunk_rows(rows)
    return torch.cat([find(rows[at : at + step]) for at in range(0, len(rows), step)])


def _absmax(rows: Tensor, width: int) -> Tensor:
    import torch

    plain = rows.abs().amax(1, keepdim=True) / ((1 << (width - 1)) - 0.5)
    return torch.where(plain > 0, plain, torch.ones_like(plain))


def _tries(width: int, starts: int) -> int:
    """How many scales to try where each is a pass over the values; few starts mean a large weight."""
    return _TRIES[width] * (5 if starts > 1 else 1)


def _ladder(rows: Tensor, width: int, starts: int) -> tuple[Tensor, int]:
    """The scales to try, as parts of max|w|, and the bins of the histogram, 0 where the values serve.

    First both ends of the codes on max|w|, then ever more clipping; then the same with the other sign.
    """
    import torch

    half, columns = 1 << (width - 1), rows.shape[1]
    if columns < _SHORT[width]:
        lowest, count, bins = _LOWEST[width], _tries(width, starts), 0
    else:
        lowest, count = _CLIPPED[width], _STEPS[width]
        bins = _BINS[width] * (4 if columns > _LONG else 1)
    clipped = torch.logspace(0, math.log10(lowest), count, dtype=torch.float64) / half
    parts = torch.cat([torch.tensor([1 / (half - 1)], dtype=torch.float64), clipped])
    return torch.cat([parts, -parts]).to(rows), bins


def _search(rows: Tensor, width: int, steps: Tensor, bins: int, starts: int) -> Tensor:
    """Scales [R, 1] of some rows."""
    import torch

    half = 1 << (width - 1)
    largest = rows.abs().amax(1, keepdim=True)
    top = torch.where(largest > 0, largest, torch.ones_like(largest))
    codes = torch.empty_like(rows)
    if bins:
        gains = _gains(_histogram(rows, top, bins, codes), steps, half)
    else:
        gains = torch.cat([_exchange(rows, top * step, half, codes)[1] for step in steps], dim=1)
    best, gain = _exchange(rows, _absmax(rows, width), half, codes)
    for index in gains.topk(starts, dim=1).indices.unbind(1):
        scale = top * steps[index, None]
        for _ in range(_EXCHANGES):
            scale, reached = _exchange(rows, scale, half, codes)
            better = reached > gain
            best, gain = torch.where(better, scale, best), torch.where(better, reached, gain)
    return best


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


def _shrink(rows: Tensor, width: int, tried: int) -> Tensor:
    """Scales and zero points [R, 2] of some rows, the best of so many ranges."""
    import torch

    top = (1 << width) - 1
    low = rows.amin(1, keepdim=True).clamp_(max=0)
    high = rows.amax(1, keepdim=True).clamp_(min=0)
    span = torch.where(high > low, high - low, torch.ones_like(low))
    best_scale = span / top
    best_zero = (-low / best_scale).round_().clamp_(0, top)
    least = torch.full_like(span, torch.inf)
    for part in torch.linspace(1, _LOWEST[width], tried).tolist():
        scale = span * (part / top)
        zero = (-low * part / scale).round_().clamp_(0, top)
        codes = (rows / scale).round_().add_(zero).clamp_(0, top).sub_(zero).mul_(scale).sub_(rows)
        error = torch.linalg.vecdot(codes, codes).unsqueeze(1)
        better = error < least
        least = torch.where(better, error, least)
        best_scale, best_zero = torch.where(better, scale, best_scale), torch.where(better, zero, best_zero)
    return torch.cat([best_scale, best_zero], dim=1)
