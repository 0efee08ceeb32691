"""What a number format is, and the rows and grids that every built-in format shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from tap.errors import FormatError

if TYPE_CHECKING:
    from torch import Tensor

    from tap.stats.units import Unit

CHUNK = 1 << 18
"""Elements of a weight that are searched at once on a CPU: a megabyte stays in the cache."""


@runtime_checkable
class Format(Protocol):
    """A number format of a weight and, where `act_bits` is below 16, of the unit's input.

    Any object with these members is a format; pass it wherever a format name is accepted.
    """

    @property
    def name(self) -> str:
        """The name that `tap.formats.parse` reads; a custom format may choose any other."""
        ...

    @property
    def bits(self) -> float:
        """Nominal bits of one weight, without scales."""
        ...

    @property
    def act_bits(self) -> int:
        """Bits of one input element; 16 when activations stay as they are."""
        ...

    def stored_bytes(self, unit: Unit) -> int:
        """Exact bytes of the unit's weight on disk: codes, scales, zero points and padding."""
        ...

    def quantize(self, weight: Tensor) -> Tensor:
        """The weight [out, ...] as it comes back from storage: same shape, dtype and device."""
        ...


@dataclass(frozen=True)
class Grid:
    """The values that a quantized weight may take: code times scale, where codes are integers.

    `scale` and `zero` are [out, G], one for each group of `group` consecutive columns of the weight seen as
    [out, columns]; the codes run from `low` to `high`, and a value is (code - zero) * scale.
    """

    scale: Tensor
    zero: Tensor
    group: int
    low: int
    high: int

    def snap(self, values: Tensor, start: int = 0) -> Tensor:
        """The nearest grid value of each of `values` [out, k], which are columns start to start + k."""
        if self.scale.shape[1] == 1:
            scale, zero = self.scale, self.zero
        else:
            import torch

            columns = torch.arange(start, start + values.shape[1], device=values.device) // self.group
            scale, zero = self.scale[:, columns], self.zero[:, columns]
        codes = (values / scale).round_().add_(zero).clamp_(self.low, self.high)
        return codes.sub_(zero).mul_(scale)

    def nearest(self, rows: Tensor) -> Tensor:
        """The nearest grid value of each of `rows` [out, columns], group by group."""
        flat = Grid(self.scale.reshape(-1, 1), self.zero.reshape(-1, 1), self.group, self.low, self.high)
        return rows_of(flat.snap(blocks_of(rows, self.group)), *rows.shape)


def as_rows(weight: Tensor) -> Tensor:
    """The weight as float rows [out, columns]; a weight that is not finite is a `FormatError`."""
    import torch

    if weight.ndim == 0 or weight.numel() == 0:
        raise FormatError(f"a weight of shape {tuple(weight.shape)} has nothing to quantize")
    rows = weight.detach().reshape(weight.shape[0], -1)
    rows = rows if rows.dtype == torch.float64 else rows.to(torch.float32)
    if not bool(torch.isfinite(torch.stack(torch.aminmax(rows))).all()):
        raise FormatError(
            "the weight holds values that are not finite", hint="load the model again, or exclude the unit"
        )
    return rows


def group_size(columns: int, group: int | None) -> int:
    """Columns of one group: whole rows when `group` is None or longer than a row.

    >>> group_size(144, None), group_size(27, 128), group_size(4096, 128)
    (144, 27, 128)
    """
    return columns if group is None else min(group, columns)


def blocks_of(rows: Tensor, group: int) -> Tensor:
    """Rows [out, columns] as blocks [out * G, group], zeros appended to the last block of each row."""
    from torch.nn.functional import pad

    columns = rows.shape[1]
    missing = -columns % group
    padded = pad(rows, (0, missing)) if missing else rows
    return padded.reshape(-1, group)


def rows_of(blocks: Tensor, out: int, columns: int) -> Tensor:
    """Blocks [out * G, group] back as rows [out, columns], the padding cut off."""
    return blocks.reshape(out, -1)[:, :columns]


def chunk_rows(blocks: Tensor) -> int:
    """How many rows of `blocks` to search at once."""
    limit = CHUNK if blocks.device.type == "cpu" else CHUNK << 8
    return max(1, limit // blocks.shape[1])
