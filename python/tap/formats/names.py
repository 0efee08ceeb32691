"""From the name of a format to the format."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache

from tap.errors import FormatError
from tap.formats.base import Format
from tap.formats.floating import BlockFloat, FloatFormat
from tap.formats.gguf import BLOCKS, GgufFormat
from tap.formats.integer import IntFormat
from tap.formats.pair import PairFormat

DEFAULT = ("int2", "int3", "int4", "int6", "int8")
"""The candidate formats where the user names none."""

_INT = re.compile(
    r"int([2-8])(?P<asym>-asym)?(?:(?P<tensor>-tensor)|-g(?P<group>32|64|128))?(?P<absmax>-absmax)?"
)
_FLOAT = re.compile(r"fp(?:8-(e4m3|e5m2)|4-(e2m1))(?P<tensor>-tensor)?(?P<absmax>-absmax)?")
_PAIR = re.compile(r"(.+)\+a([2-8]|16)")
_SHORT = re.compile(r"w([2-8])(?:a([2-8]|16))?")


def names() -> list[str]:
    """Every name without its suffixes, for help and completion.

    >>> names()[:3]
    ['int2', 'int3', 'int4']
    """
    return [
        *(f"int{bits}" for bits in range(2, 9)),
        "fp8-e4m3",
        "fp8-e5m2",
        "fp4-e2m1",
        "mxfp4",
        "nvfp4",
        *(f"gguf-{kind}" for kind in BLOCKS),
    ]


@lru_cache(maxsize=1024)
def parse(name: str) -> Format:
    """The format of this name; an unknown one is a `FormatError` that names the nearest.

    Integers take, in this order, `-asym`, then `-tensor` or `-g32`, `-g64`, `-g128`, then `-absmax`; any
    format takes `+a2` to `+a8` for the unit's input. `w4a8` is short for `int4+a8`.

    >>> parse("int4-g128").bits, parse("w4a8").name
    (4.0, 'int4+a8')
    """
    if short := _SHORT.fullmatch(name):
        return parse(f"int{short[1]}" + (f"+a{short[2]}" if short[2] else ""))
    if pair := _PAIR.fullmatch(name):
        weight = parse(pair[1])
        return weight if pair[2] == "16" else PairFormat(weight, int(pair[2]))
    if found := _INT.fullmatch(name):
        return IntFormat(
            int(found[1]),
            symmetric=found["asym"] is None,
            group=int(found["group"]) if found["group"] else None,
            per_tensor=found["tensor"] is not None,
            search=found["absmax"] is None,
        )
    if found := _FLOAT.fullmatch(name):
        return FloatFormat(found[1] or found[2], found["absmax"] is None, found["tensor"] is not None)
    if name in ("mxfp4", "nvfp4"):
        return BlockFloat(name)
    if name.startswith("gguf-") and name.removeprefix("gguf-") in BLOCKS:
        return GgufFormat(name.removeprefix("gguf-"))
    near = get_close_matches(name, names(), n=3, cutoff=0.4)
    raise FormatError(
        f"unknown format '{name}'",
        hint=f"did you mean {', '.join(near)}?" if near else f"one of {', '.join(names())}",
    )


def parse_all(formats: Iterable[str | Format] | None = None) -> tuple[Format, ...]:
    """Formats from names, from objects that follow `Format`, or `DEFAULT`; each name at most once.

    >>> [format.name for format in parse_all(None)]
    ['int2', 'int3', 'int4', 'int6', 'int8']
    """
    chosen = DEFAULT if formats is None else (formats,) if isinstance(formats, str) else tuple(formats)
    found = tuple(parse(item) if isinstance(item, str) else item for item in chosen)
    if not found:
        raise FormatError("no format is given", hint=f"one or more of {', '.join(names())}")
    seen: set[str] = set()
    for format in found:
        if not isinstance(format, Format):
            raise FormatError(f"{format!r} is neither a format name nor a format")
        if format.name in seen:
            raise FormatError(f"format '{format.name}' is given twice", hint="name each format once")
        seen.add(format.name)
    return found
