"""Codes of 2 to 8 bits packed into bytes without gaps, and unpacked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CHUNK = 1 << 20
"""Codes that are packed at once; a multiple of 8, so that every chunk fills whole bytes."""

E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)
"""The values of the sixteen e2m1 codes."""


def pack(codes: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Unsigned codes [n] of `width` bits as ceil(n * width / 8) bytes; the first code is in the lowest bits.

    >>> pack(np.array([1, 2, 3, 0, 3], np.uint8), 2).tolist()
    [57, 3]
    """
    flat = np.ascontiguousarray(codes, np.uint8).reshape(-1)
    parts = [_pack(flat[at : at + _CHUNK], width) for at in range(0, len(flat), _CHUNK)]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint8)


def unpack(packed: NDArray[np.uint8], width: int, count: int) -> NDArray[np.uint8]:
    """The first `count` codes of what `pack` made.

    >>> unpack(np.array([57, 3], np.uint8), 2, 5).tolist()
    [1, 2, 3, 0, 3]
    """
    step = _CHUNK * width // 8
    parts = [_unpack(packed[at : at + step], width) for at in range(0, len(packed), step)]
    return (np.concatenate(parts) if parts else np.zeros(0, np.uint8))[:count]


def e2m1_codes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The codes of e2m1 values, sign in bit 3.

    >>> e2m1_codes(np.array([1.5, -6.0], np.float32)).tolist()
    [3, 15]
    """
    sign = np.signbit(values).astype(np.uint8) << 3
    return np.asarray(np.searchsorted(E2M1[:8], np.abs(values)) | sign, np.uint8)


def _pack(codes: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    bits = np.unpackbits(codes[:, None], axis=1, count=width, bitorder="little")
    return np.packbits(bits, bitorder="little")


def _unpack(packed: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    bits = np.unpackbits(packed, bitorder="little")
    rows = bits[: len(bits) // width * width].reshape(-1, width)
    return np.packbits(rows, axis=1, bitorder="little").reshape(-1)
