"""The core's sums of gradients and of their squares are those of gradients formed one by one."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap import _core

CASES = int(os.environ.get("TAP_CASES", "2000"))


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@settings(max_examples=CASES // 10)
@given(
    seed=st.integers(0, 2**31),
    samples=st.integers(0, 4),
    positions=st.integers(1, 20),
    rows=st.integers(1, 150),
    columns=st.integers(1, 120),
    threads=st.integers(1, 3),
)
def test_gradients_one_by_one_give_the_same(
    seed: int, samples: int, positions: int, rows: int, columns: int, threads: int
) -> None:
    a, b = normal(seed, samples, positions, rows), normal(seed + 1, samples, positions, columns)
    total, square = normal(seed + 2, rows, columns), normal(seed + 3, rows, columns) ** 2
    each = np.einsum("npr,npc->nrc", a.astype(np.float64), b.astype(np.float64))
    expected = total + each.sum(0), square + np.square(each).sum(0)
    _core.add_outer(a, b, total, square, threads)
    assert np.allclose(total, expected[0], rtol=1e-5, atol=1e-4)
    assert np.allclose(square, expected[1], rtol=1e-5, atol=1e-4)


def test_blocks_of_many_columns_and_threads() -> None:
    a, b = normal(0, 9, 40, 70), normal(1, 9, 40, 1500)
    each = np.einsum("npr,npc->nrc", a.astype(np.float64), b.astype(np.float64))
    sums = [np.zeros((2, 70, 1500), np.float32) for _ in range(3)]
    for threads, (total, square) in enumerate(sums):
        _core.add_outer(a, b, total, square, threads)
        assert np.allclose(total, each.sum(0), atol=1e-3)
        assert np.allclose(square, np.square(each).sum(0), rtol=1e-4)
    assert np.array_equal(sums[0], sums[1])
    assert np.array_equal(sums[1], sums[2])


def test_what_cannot_be_added() -> None:
    a, b, sums = normal(0, 2, 3, 4), normal(0, 2, 3, 5), normal(0, 2, 4, 5)
    empty = np.zeros((0, 0), np.float32)
    for left, right, total, square in (
        (a[:1], b, *sums),
        (a, b[:, :2].copy(), *sums),
        (a, b, sums[0].T, sums[1]),
        (a, b, sums[0], sums[1, :2]),
        (a[:, :0], b[:, :0], *sums),
        (a[:, :, :0], b[:, :, :0], empty, empty),
    ):
        with pytest.raises((ValueError, TypeError)):
            _core.add_outer(left, right, total, square, 1)
    for wrong in (sums[0], np.broadcast_to(np.float32(0), (4, 5))):
        with pytest.raises((ValueError, TypeError)):
            _core.add_outer(a, b, sums[0], wrong, 1)
