"""A weight on a grid of at most 8 bits, kept as one byte an element."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tap.formats.base import Grid


@dataclass(frozen=True)
class Codes:
    """Codes less the lowest one, uint8 [out, columns], and the grid they are on.

    >>> grid = Grid(torch.tensor([[0.5]]), torch.tensor([[0.0]]), 2, -2, 1)
    >>> Codes.of(grid, torch.tensor([[-1.0, 0.5]])).values().tolist()
    [[-1.0, 0.5]]
    """

    grid: Grid
    codes: Tensor

    @staticmethod
    def of(grid: Grid, rows: Tensor) -> Codes:
        """The codes of rows [out, columns] that are values of the grid already."""
        scale, zero = _spread(grid, rows.shape[1], slice(None))
        found = (rows / scale).add_(zero).round_().sub_(grid.low).clamp_(0, grid.high - grid.low)
        return Codes(grid, found.to(torch.uint8))

    def values(self, rows: slice | Tensor = slice(None)) -> Tensor:
        """Some rows as float32 [rows, columns]."""
        codes = self.codes[rows].float()
        scale, zero = _spread(self.grid, codes.shape[1], rows)
        return codes.add_(self.grid.low).sub_(zero).mul_(scale)


def _spread(grid: Grid, columns: int, rows: slice | Tensor) -> tuple[Tensor, Tensor]:
    """Scale and zero of every column of some rows."""
    scale, zero = grid.scale[rows].float(), grid.zero[rows].float()
    if scale.shape[1] == 1:
        return scale, zero
    groups = torch.arange(columns, device=scale.device) // grid.group
    return scale[:, groups], zero[:, groups]
