"""How many bytes a unit's weight takes on disk, by the writer that stores it."""

from __future__ import annotations

from tap.formats import Format
from tap.formats.base import group_size
from tap.formats.integer import IntFormat
from tap.formats.pair import weight_only
from tap.stats.units import Unit


def stored(unit: Unit, format: Format, scale: int = 2) -> int:
    """Packed codes, scales and zero points, as the format itself counts them, whatever the model's type."""
    return format.stored_bytes(unit)


def unpacked(unit: Unit, format: Format, scale: int = 2) -> int:
    """torchao: one byte a code, a scale and a byte of zero point a group."""
    scales = _scales(unit, format)
    return unit.numel + scales * (_scale_bytes(format) + 1)


def words(unit: Unit, format: Format, scale: int = 2) -> int:
    """compressed-tensors: rows of int32 words, scales in the type of the model, the shape.

    >>> from tap.formats import parse
    >>> words(Unit("fc", "linear", out=4, inp=32, pos=1, macs=128), parse("int4-g32"))
    88
    """
    if not isinstance(format, IntFormat):
        return unit.numel + unit.out * scale
    columns, scales = unit.inp * unit.pos, _scales(unit, format)
    codes = unit.out * 4 * -(-columns * format.width // 32)
    return codes + scales * scale + 16


def onnx(unit: Unit, format: Format, scale: int = 2) -> int:
    """ONNX: codes of 4 or 8 bits, scales in the type of the model, zero points like codes, inputs' 5 bytes.

    >>> from tap.formats import parse
    >>> onnx(Unit("fc", "linear", out=4, inp=32, pos=1, macs=128), parse("int4-asym+a8"), 4)
    87
    """
    weight = weight_only(format)
    assert isinstance(weight, IntFormat)
    scales = _scales(unit, weight)
    zeros = 0 if weight.symmetric else -(-scales * weight.width // 8)
    return -(-unit.numel * weight.width // 8) + scales * scale + zeros + (5 if format.act_bits < 16 else 0)


def mlx(unit: Unit, format: Format, scale: int = 2) -> int:
    """MLX: packed codes, a scale and a bias a group in the type of the model.

    >>> from tap.formats import parse
    >>> mlx(Unit("fc", "linear", out=4, inp=32, pos=1, macs=128), parse("int4-g32"))
    80
    """
    assert isinstance(format, IntFormat)
    return unit.numel * format.width // 8 + 2 * scale * _scales(unit, format)


GGML = {
    "q2_k": (256, 84), "q3_k": (256, 110), "q4_k": (256, 144), "q5_k": (256, 176), "q6_k": (256, 210),
}  # fmt: skip
"""Weights of a block and its bytes, for the types of llama.cpp that the gguf package does not write."""
_K_QUANTS = {2: "q2_k", 3: "q3_k", 4: "q4_k", 5: "q5_k", 6: "q6_k", 8: "q8_0"}


def ggml_type(format: Format) -> str:
    """llama.cpp's type for a format.

    >>> from tap.formats import parse
    >>> ggml_type(parse("int4")), ggml_type(parse("gguf-q5_1"))
    ('q4_k', 'q5_1')
    """
    if isinstance(format, IntFormat):
        return _K_QUANTS[format.width]
    return format.name.removeprefix("gguf-")


def ggml(unit: Unit, format: Format, scale: int = 2) -> int:
    """Whole blocks of llama.cpp's type."""
    if not isinstance(format, IntFormat):
        return format.stored_bytes(unit)
    block, stored_size = GGML.get(ggml_type(format), (32, 34))
    return unit.numel // block * stored_size


def ggml_block(format: Format) -> int:
    """Weights of a block that rows must be whole numbers of."""
    return GGML.get(ggml_type(format), (32, 34))[0]


def _scales(unit: Unit, format: Format) -> int:
    """Number of scales of an integer format."""
    assert isinstance(format, IntFormat)
    columns = unit.inp * unit.pos
    return unit.out * -(-columns // group_size(columns, format.group))


def _scale_bytes(format: Format) -> int:
    """Scales of groups are bfloat16, of rows float32."""
    assert isinstance(format, IntFormat)
    return 2 if format.group else 4
