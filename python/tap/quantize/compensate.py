"""Error-compensated rounding: each rounded column's error is taken up by the columns still to come.

For rows w of a unit and second moments H = E[x x^T] of its input, the output error of rounding is
(w - q) H (w - q)^T. Columns are rounded one by one; with U the upper Cholesky factor of the inverse of
H + d I, the error (w_j - q_j) / U_jj of column j is spread over the later columns k by U_jk (GPTQ: Frantar,
Ashkboos, Hoefler, Alistarh, ICLR 2023, section 3, after Optimal Brain Surgeon). The grid stays that of
plain rounding. Convolutions are matrix products over patches, one H for each group of channels.

H + d I = R R^T with R upper is the Cholesky factorization of the matrix turned by half a circle, and U is the
inverse of R: no inverse of H is formed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional

from tap import _core
from tap.formats import Grid
from tap.stats.batches import Batches
from tap.stats.layers import Layers, matrix, unmatrix
from tap.stats.memory import give_back
from tap.stats.observe import observed
from tap.stats.sites import Site
from tap.stats.units import Unit

DAMPING = 0.01
"""d as a part of the mean diagonal of H."""
LARGEST = 8192
"""Units with longer rows are rounded to the nearest: H would take 256 MB."""
_PATCHES = 1 << 15
"""Input rows of each batch that enter H."""
_BLOCK = 64
"""Columns after which errors reach all later columns."""
_STRIP = 128
"""Rows that are worked on at once."""


class Compensation:
    """Rounds weights whose inputs have second moments H [groups, columns, columns]; U is found once."""

    def __init__(self, moments: Tensor) -> None:
        """The moments are given up: U takes their place when it is first needed."""
        self._moments: Tensor | None = moments

    def round(self, grid: Grid, unit: Unit, weight: Tensor, *, nearest: bool = False) -> tuple[Tensor, float]:
        """The unit's stored weight on a grid of its format, and (w - q) (H + d I) (w - q)^T summed over rows.

        With `nearest` q is rounded to the nearest. Rows on a CPU are rounded in the core, in the same way.
        """
        rows = matrix(weight.detach(), unit).reshape(len(self.upper), unit.out // len(self.upper), -1).float()
        sweep = _in_core if rows.device.type == "cpu" else _sweep
        back, error = sweep(rows, self.upper.to(rows.device), grid, nearest)
        stored = unmatrix(back.reshape(unit.out, unit.inp, unit.pos), unit, weight.shape)
        return stored.to(weight.dtype).contiguous(), error

    @cached_property
    def upper(self) -> Tensor:
        """U [G, C, C]."""
        assert self._moments is not None
        upper, self._moments = self._moments, None
        _factor(upper)
        give_back()
        return upper


def compensations(
    model: nn.Module, layers: Layers, data: Batches, units: Sequence[int]
) -> dict[int, Compensation]:
    """From the second moments of the inputs of units, by unit index, seen in one pass.

    Units without a matrix product of one input (embeddings, packed experts, 3-D convolutions, rows longer
    than 8192) are left out.
    """
    places = {id(layers.sites[unit][0]): unit for unit in units if fits(layers, unit)}
    sums: dict[int, Tensor] = {}
    counts: dict[int, int] = {}

    def on_call(site: Site, row: int, x: Tensor, z: Tensor) -> None:
        unit = places[id(site)]
        total, count = moments_of(site.module, x, layers.units[unit])
        sums[unit] = sums.get(unit, 0) + total
        counts[unit] = counts.get(unit, 0) + count

    with observed([layers.sites[unit][0] for unit in places.values()], on_call), torch.no_grad():
        for batch in data:
            data.run(model, batch)
    return {unit: Compensation(total / counts[unit]) for unit, total in sums.items()}


def fits(layers: Layers, unit: int) -> bool:
    """Whether the unit is one matrix product of one input."""
    site, found = layers.sites[unit][0], layers.units[unit]
    plain = len(layers.sites[unit]) == 1 and found.kind in ("linear", "conv1d", "conv2d")
    return plain and not site.is_packed and found.inp * found.pos <= LARGEST


def moments_of(module: nn.Module, x: Tensor, unit: Unit) -> tuple[Tensor, int]:
    """Sum of x x^T over the input rows of one call [groups, columns, columns], and their number."""
    rows = patches(module, x.detach().float(), unit)
    return rows.transpose(1, 2) @ rows, rows.shape[1]


def patches(module: nn.Module, x: Tensor, unit: Unit) -> Tensor:
    """Inputs as rows [groups, n, columns] that the unit's weight rows are multiplied with; n is capped."""
    if not isinstance(module, nn.Conv1d | nn.Conv2d):
        rows = x.reshape(1, -1, x.shape[-1])
    else:
        flat = isinstance(module, nn.Conv1d)
        x = functional.pad(x, module._reversed_padding_repeated_twice, mode=_mode(module))
        x = x.unsqueeze(2) if flat else x
        kernel, stride, dilation = (
            (1, *size) if flat else size for size in (module.kernel_size, module.stride, module.dilation)
        )
        spread = functional.unfold(x, kernel, dilation=dilation, stride=stride)
        rows = spread.reshape(len(x), unit.groups, unit.inp * unit.pos, -1).permute(1, 0, 3, 2)
        rows = rows.reshape(unit.groups, -1, unit.inp * unit.pos)
    return rows[:, :: max(1, rows.shape[1] // _PATCHES)]


def _in_core(rows: Tensor, upper: Tensor, grid: Grid, nearest: bool) -> tuple[Tensor, float]:
    """`_sweep` of rows on a CPU."""
    values = rows.clone(memory_format=torch.contiguous_format)
    shape = (rows.shape[0] * rows.shape[1], grid.scale.shape[1])
    scale, zero = (one.float().expand(shape).contiguous().numpy() for one in (grid.scale, grid.zero))
    group = rows.shape[2] if shape[1] == 1 else grid.group
    codes = (scale, zero, group, float(grid.low), float(grid.high))
    threads, factor = torch.get_num_threads(), upper.contiguous().numpy()
    error = _core.compensate(values.numpy(), factor, codes, nearest, threads)
    return values, error


def _sweep(rows: Tensor, upper: Tensor, grid: Grid, nearest: bool) -> tuple[Tensor, float]:
    """Round rows [G, R, C] column by column; errors reach later blocks once a block. With their squared sum.

    Since w - q = e U the squared errors sum to (w - q) (H + d I) (w - q)^T.
    """
    weights, rows, groups = rows, rows.clone(), len(rows)
    size, total = rows.shape[2], 0.0
    rounded = torch.empty_like(rows)
    for start in range(0, size, _BLOCK):
        stop = min(start + _BLOCK, size)
        errors = torch.empty_like(rows[:, :, start:stop])
        for column in range(start, stop):
            value = rows[:, :, column]
            given = weights[:, :, column] if nearest else value
            snapped = grid.snap(given.reshape(-1, 1), column).reshape(groups, -1)
            error = (value - snapped) / upper[:, column, column, None]
            rounded[:, :, column] = snapped
            errors[:, :, column - start] = error
            later = slice(column + 1, stop)
            rows[:, :, later].addcmul_(error.unsqueeze(2), upper[:, column, None, later], value=-1)
        rows[:, :, stop:].baddbmm_(errors, upper[:, start:stop, stop:], alpha=-1)
        total += float(errors.square().sum())
    return rounded, total


def _factor(moments: Tensor) -> None:
    """Replace moments [G, C, C] by U [G, C, C]; beside them one copy in 64 bits is held."""
    turned = torch.empty(moments.shape, dtype=torch.float64, device=moments.device).mT
    strips = _strips(moments.shape[2])
    for rows, mirrored in strips:
        turned[:, mirrored] = moments[:, rows].flip(1, 2)
    diagonal = turned.diagonal(dim1=1, dim2=2)
    damping = DAMPING * diagonal.mean(1, keepdim=True)
    diagonal.add_(torch.where(damping > 0, damping, torch.ones_like(damping)))
    torch.linalg.cholesky(turned, out=turned)
    _invert(turned)
    for rows, mirrored in strips:
        moments[:, mirrored] = turned[:, rows].flip(1, 2)


def _invert(lower: Tensor) -> None:
    """Replace lower triangular matrices [G, C, C] by their inverses, from the last columns to the first.

    [[A, 0], [B, C]] has the inverse [[A^-1, 0], [-C^-1 B A^-1, C^-1]].
    """
    for columns, _ in reversed(_strips(lower.shape[2])):
        block, below = lower[:, columns, columns], slice(columns.stop, None)
        one = torch.eye(block.shape[2], dtype=lower.dtype, device=lower.device)
        block.copy_(torch.linalg.solve_triangular(block, one, upper=False))
        lower[:, below, columns] = (lower[:, below, below] @ (lower[:, below, columns] @ block)).neg_()


def _strips(size: int) -> list[tuple[slice, slice]]:
    """Neighbouring rows, and the same rows counted from the end."""
    ends = [(start, min(start + _STRIP, size)) for start in range(0, size, _STRIP)]
    return [(slice(start, stop), slice(size - stop, size - start)) for start, stop in ends]


def _mode(module: nn.Module) -> str:
    """The padding mode in the words of `functional.pad`."""
    mode = str(module.padding_mode)
    return "constant" if mode == "zeros" else mode
