"""How many bytes a unit's weight takes on disk, by the writer that stores it."""

from __future__ import annotations

from tap.formats import Format
from tap.formats.base import group_size
from tap.formats.integer import IntFormat
from tap.stats.units import Unit


def stored(unit: Unit, format: Format) -> int:
    """Packed codes, scales and zero points, as the format itself counts them."""
    return format.stored_bytes(unit)


def unpacked(unit: Unit, format: Format) -> int:
    """torchao: one byte a code, a scale and a byte of zero point a group."""
    scales = _scales(unit, format)
    return unit.numel + scales * (_scale_bytes(format) + 1)


def _scales(unit: Unit, format: Format) -> int:
    """Number of scales of an integer format."""
    assert isinstance(format, IntFormat)
    columns = unit.inp * unit.pos
    return unit.out * -(-columns // group_size(columns, format.group))


def _scale_bytes(format: Format) -> int:
    """Scales of groups are bfloat16, of rows float32."""
    assert isinstance(format, IntFormat)
    return 2 if format.group else 4
