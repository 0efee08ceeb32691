"""Floating-point formats: fp8, fp4, and fp4 with shared block scales (mxfp4, nvfp4).

fp8-e4m3, fp8-e5m2, fp4-e2m1: one float32 scale a channel, by search or so that the largest magnitude meets
the largest value. mxfp4: blocks of 32 share a power of two, 2^(floor(log2 max|w|) - 2) (OCP Microscaling
Formats 1.0, section 6.3). nvfp4: blocks of 16 share an e4m3 scale, max|w| / 6, on top of a float32 scale of
the tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tap.formats.base import as_rows, blocks_of, chunk_rows, rows_of

if TYPE_CHECKING:
    from torch import Tensor

    from tap.stats.units import Unit

_LARGEST = {"e4m3": 448.0, "e5m2": 57344.0, "e2m1": 6.0}
_BITS = {"e4m3": 8, "e5m2": 8, "e2m1": 4}
_PARTS = {"e4m3": (1.0, 0.9, 0.8, 0.7), "e5m2": (1.0, 0.875, 0.75, 0.625)}
_FP4_PARTS = (1.0, 0.93, 0.86, 0.8, 0.74, 0.68, 0.6, 0.5)


def round_to(values: Tensor, kind: str) -> Tensor:
    """The nearest `e4m3`, `e5m2` or `e2m1` value, ties to even, saturating; same shape and dtype.

    >>> import torch
    >>> round_to(torch.tensor([0.3, 2.5, -9.0]), "e2m1")
    tensor([ 0.5000,  2.0000, -6.0000])
    """
    import torch

    if kind == "e2m1":
        size = values.abs().clamp(max=6.0)
        step = torch.where(size < 2, 0.5, torch.where(size < 4, 1.0, 2.0)).to(values.dtype)
        return (size / step).round_().mul_(step).copysign_(values)
    stored = torch.float8_e4m3fn if kind == "e4m3" else torch.float8_e5m2
    largest = _LARGEST[kind]
    return values.clamp(-largest, largest).to(stored).to(values.dtype)


@dataclass(frozen=True)
class FloatFormat:
    """Small floating-point numbers of one kind, with a float32 scale a channel.

    >>> FloatFormat("e4m3").name, FloatFormat("e2m1", search=False).name
    ('fp8-e4m3', 'fp4-e2m1-absmax')
    """

    kind: str
    """`e4m3`, `e5m2` or `e2m1`."""
    search: bool = True
    per_tensor: bool = False

    @property
    def name(self) -> str:
        """`fp8-e4m3`, `fp4-e2m1-tensor` ..."""
        tensor = "-tensor" if self.per_tensor else ""
        return f"fp{_BITS[self.kind]}-{self.kind}{tensor}{'' if self.search else '-absmax'}"

    @property
    def bits(self) -> float:
        """Bits of a code."""
        return float(_BITS[self.kind])

    @property
    def act_bits(self) -> int:
        """Activations stay as they are."""
        return 16

    def stored_bytes(self, unit: Unit) -> int:
        """Packed codes and float32 scales."""
        return -(-unit.numel * _BITS[self.kind] // 8) + 4 * (1 if self.per_tensor else unit.out)

    def quantize(self, weight: Tensor) -> Tensor:
        """The weight [out, ...] as it comes back; same shape and dtype."""
        codes, scale = self.encode(weight)
        return codes.mul_(scale).reshape(weight.shape).to(weight.dtype)

    def encode(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Codes [rows, columns] as values of the kind, scales [rows, 1]; one row for a tensor scale."""
        import torch

        rows = as_rows(weight)
        blocks = rows.reshape(1, -1) if self.per_tensor else rows
        step = chunk_rows(blocks)
        pieces = [self._round(blocks[at : at + step]) for at in range(0, len(blocks), step)]
        return torch.cat([piece[0] for piece in pieces]), torch.cat([piece[1] for piece in pieces])

    def _round(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        import torch

        largest = rows.abs().amax(1, keepdim=True)
        top = torch.where(largest > 0, largest, torch.ones_like(largest)) / _LARGEST[self.kind]
        parts = _PARTS.get(self.kind, _FP4_PARTS) if self.search else (1.0,)
        best, chosen = torch.empty_like(rows), torch.empty_like(top)
        least = torch.full_like(top, torch.inf)
        for part in parts:
            scale = top * part
            codes = round_to(rows / scale, self.kind)
            error = (codes * scale).sub_(rows).square_().sum(1, keepdim=True)
            better = error < least
            best, chosen = torch.where(better, codes, best), torch.where(better, scale, chosen)
            least = torch.minimum(least, error)
        return best, chosen


@dataclass(frozen=True)
class BlockFloat:
    """fp4 e2m1 codes with a scale for each block of a row: `mxfp4` or `nvfp4`."""

    name: str

    @property
    def group(self) -> int:
        """Columns of a block."""
        return 32 if self.name == "mxfp4" else 16

    @property
    def bits(self) -> float:
        """Bits of a code."""
        return 4.0

    @property
    def act_bits(self) -> int:
        """Activations stay as they are."""
        return 16

    def stored_bytes(self, unit: Unit) -> int:
        """Whole blocks, one byte a block scale; nvfp4 adds the tensor's float32 scale."""
        blocks = unit.out * -(-unit.inp * unit.pos // self.group)
        return blocks * (self.group // 2 + 1) + (4 if self.name == "nvfp4" else 0)

    def quantize(self, weight: Tensor) -> Tensor:
        """The weight [out, ...] as it comes back; same shape and dtype."""
        rows = as_rows(weight)
        codes, scale, whole = self.encode(weight)
        back = rows_of(codes.mul_(scale * whole), *rows.shape)
        return back.reshape(weight.shape).to(weight.dtype)

    def encode(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes [blocks, group] as e2m1 values, block scales [blocks, 1] and the scale of the tensor.

        Block scales are powers of two (mxfp4; the tensor's scale is 1) or e4m3 values (nvfp4).
        """
        import torch

        blocks = blocks_of(as_rows(weight), self.group)
        largest = blocks.abs().amax(1, keepdim=True)
        whole = torch.ones_like(largest[:1, 0])
        if self.name == "mxfp4":
            exponent = torch.frexp(largest).exponent - 3
            scale = torch.exp2(exponent.clamp(-127, 127).to(blocks.dtype))
        else:
            whole = (largest.amax() / (448.0 * 6.0)).reshape(1)
            whole = torch.where(whole > 0, whole, torch.ones_like(whole))
            scale = round_to(largest / (6.0 * whole), "e4m3")
        full = scale * whole
        usable = torch.where(full > 0, full, torch.ones_like(full))
        codes = round_to(blocks / usable, "e2m1")
        return torch.where((largest > 0) & (full > 0), codes, torch.zeros_like(codes)), scale, whole
