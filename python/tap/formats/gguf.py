"""GGUF block formats, quantized by the `gguf` package itself: a file holds exactly what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tap.errors import FormatError, require_extra
from tap.formats.base import as_rows

if TYPE_CHECKING:
    from torch import Tensor

    from tap.stats.units import Unit

BLOCKS: dict[str, tuple[int, int, float]] = {
    "q4_0": (32, 18, 4.0),
    "q4_1": (32, 20, 4.0),
    "q5_0": (32, 22, 5.0),
    "q5_1": (32, 24, 5.0),
    "q8_0": (32, 34, 8.0),
    "tq1_0": (256, 54, 1.6),
    "tq2_0": (256, 66, 2.0),
    "mxfp4": (32, 17, 4.0),
}
"""Weights of a block, its bytes, and the bits of a code, for the types that the package can write."""


@dataclass(frozen=True)
class GgufFormat:
    """One GGUF block type; a row must be a whole number of blocks.

    >>> GgufFormat("q4_0").name
    'gguf-q4_0'
    """

    kind: str

    @property
    def name(self) -> str:
        """`gguf-q4_0` ..."""
        return f"gguf-{self.kind}"

    @property
    def bits(self) -> float:
        """Bits of a code."""
        return BLOCKS[self.kind][2]

    @property
    def act_bits(self) -> int:
        """Activations stay as they are."""
        return 16

    def stored_bytes(self, unit: Unit) -> int:
        """Whole blocks; a `FormatError` where the rows are not whole blocks."""
        self._check(unit.inp * unit.pos, f"unit '{unit.name}'")
        size, stored, _ = BLOCKS[self.kind]
        return unit.numel // size * stored

    def quantize(self, weight: Tensor) -> Tensor:
        """The weight [out, ...] as it comes back; same shape and dtype."""
        return self.blocks(weight).values().reshape(weight.shape).to(weight)

    def blocks(self, weight: Tensor) -> Blocks:
        """The weight [out, ...] as it is stored."""
        import torch

        require_extra("gguf", extra="gguf", why=f"format '{self.name}'")
        from gguf import GGMLQuantizationType, quants

        rows = as_rows(weight)
        self._check(rows.shape[1], f"a weight of shape {tuple(weight.shape)}")
        kind = GGMLQuantizationType[self.kind.upper()]
        return Blocks(self.kind, torch.from_numpy(quants.quantize(rows.cpu().float().numpy(), kind)))

    def _check(self, columns: int, what: str) -> None:
        size = BLOCKS[self.kind][0]
        if columns % size:
            raise FormatError(
                f"{what} has rows of {columns} weights, not whole blocks of {size} as {self.name} needs",
                hint="leave this format out for the unit, or choose one without blocks such as int4",
            )


@dataclass(frozen=True)
class Blocks:
    """Rows of a weight in blocks of one GGUF type, on the CPU, as a file holds them.

    >>> import torch
    >>> GgufFormat("q8_0").blocks(torch.ones(2, 32)).values().shape
    torch.Size([2, 32])
    """

    kind: str
    codes: Tensor
    """uint8 [out, bytes of a row]."""

    def values(self, rows: slice | Tensor = slice(None)) -> Tensor:
        """Some rows as float32 [rows, columns]."""
        import torch
        from gguf import GGMLQuantizationType, quants

        codes = self.codes[rows].numpy()
        return torch.from_numpy(quants.dequantize(codes, GGMLQuantizationType[self.kind.upper()]))
