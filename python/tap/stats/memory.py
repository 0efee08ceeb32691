"""Freed memory given back to the system, where the C library would keep it for later."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of `mallopt` of the C library of Linux."""
_LARGE = 1 << 22
_MOST = 1 << 25
"""Where the library's own threshold ends up in a process that frees large tensors."""


@contextmanager
def given_back() -> Iterator[None]:
    """Within the block, tensors of 4 MB and more give their memory back when they are freed; on Linux alone.

    Weights of ever different sizes leave gaps that the library would keep, in time as much as the model
    itself.
    """
    library: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        yield
        return
    library.mallopt(_MMAP_THRESHOLD, _LARGE)
    try:
        yield
    finally:
        library.mallopt(_MMAP_THRESHOLD, _MOST)
        library.mallopt(_TRIM_THRESHOLD, 2 * _MOST)
        library.malloc_trim(0)
