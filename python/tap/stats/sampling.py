"""The block of channels of a weight that a table keeps: evenly spaced, the same for every input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tap.stats.units import Unit


@dataclass(frozen=True)
class Block:
    """Which output and input channels of one unit are kept; kernel positions always are."""

    out: tuple[int, ...]
    inp: tuple[int, ...]
    pos: int

    def cut(self, values: Tensor, axes: Sequence[str]) -> NDArray[np.float32]:
        """The block of values along `axes`, a subset of format, out, in, pos in this order."""
        for axis, name in enumerate(axes):
            kept = {"out": self.out, "in": self.inp}.get(name)
            if kept is not None and len(kept) < values.shape[axis]:
                values = values.index_select(axis, torch.tensor(kept, device=values.device))
        return np.array(values.detach().float().cpu().numpy(), dtype=np.float32, order="C")

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Sampled sizes (out, in, pos)."""
        return len(self.out), len(self.inp), self.pos


def block_of(unit: Unit, sample: int | None) -> Block:
    """At most `sample` elements of a unit (one output and input channel at least); all when None.

    Output and input channels are cut to like numbers, and spaced evenly from the first on.

    >>> block_of(Unit("c", "conv2d", out=64, inp=64, pos=9, macs=0), 4096).sizes
    (21, 21, 9)
    >>> block_of(Unit("l", "linear", out=10, inp=512, pos=1, macs=0), 4096).sizes
    (10, 409, 1)
    """
    out, inp = unit.out, unit.inp
    if sample is not None and unit.numel > sample:
        budget = max(1, sample // unit.pos)
        out = min(out, max(1, int(budget**0.5)))
        inp = min(inp, max(1, budget // out))
        out = min(unit.out, max(1, budget // inp))
    return Block(_spaced(unit.out, out), _spaced(unit.inp, inp), unit.pos)


def _spaced(whole: int, kept: int) -> tuple[int, ...]:
    return tuple(index * whole // kept for index in range(kept))
