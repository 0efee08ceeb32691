"""Freed memory given back to the system, where the C library would keep it for later."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of `mallopt` of the C library of Linux."""
_LARGE = 1 << 20
_MOST = 1 << 25
"""Where the library's own threshold ends up in a process that frees large tensors."""


def give_back() -> None:
    """Ask the C library of Linux to let go of what is freed; elsewhere nothing."""
    library = _library()
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


@contextmanager
def large_given_back() -> Iterator[None]:
    """Within the block, tensors of 1 MB and more give their memory back when they are freed; on Linux alone.

    Weights of ever different sizes leave gaps that the library would keep, in time as much as the model
    itself; `give_back` finds only whole free pages among them.
    """
    library = _library()
    if not hasattr(library, "mallopt"):
        yield
        return
    library.mallopt(_MMAP_THRESHOLD, _LARGE)
    try:
        yield
    finally:
        library.mallopt(_MMAP_THRESHOLD, _MOST)
        library.mallopt(_TRIM_THRESHOLD, 2 * _MOST)
        give_back()


def _library() -> Any:
    """The C library of Linux, None elsewhere."""
    return ctypes.CDLL(None) if sys.platform == "linux" else None
