"""Number formats by name: `int2` to `int8`, fp8, fp4, mxfp4, nvfp4, GGUF blocks, and pairs `int4+a8`."""

from tap.formats.base import Format, Grid
from tap.formats.names import DEFAULT, names, parse, parse_all
from tap.formats.pair import PairFormat, weight_only

__all__ = ["DEFAULT", "Format", "Grid", "PairFormat", "names", "parse", "parse_all", "weight_only"]
