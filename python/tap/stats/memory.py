"""Memory that was freed given back to the system, where the C library keeps it for later."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Ask the C library of Linux to let go of freed memory; elsewhere nothing.

    Weights of ever different sizes leave gaps that it would keep, in time as much as the model itself.
    """
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
