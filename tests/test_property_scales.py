"""The core's search for scales ends where a slow one ends, and where the search in torch does."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import scales as slow
from tap import _core
from tap.formats import Grid, scales

CASES = int(os.environ.get("TAP_CASES", "2000"))
SLACK = 3e-7
"""Of the sum of squares of a row: gains are compared as sums in float32."""


def values(seed: int, rows: int, columns: int, tail: float, size: float) -> np.ndarray:
    """Rows of numbers with ever longer tails, some of them zero, the second row all zero."""
    random = np.random.default_rng(seed)
    found = random.standard_normal((rows, columns))
    found = np.sign(found) * np.abs(found) ** tail * (random.random((rows, columns)) < 0.9) * size
    found[1:2] = 0
    return found.astype(np.float32)


@settings(max_examples=CASES // 10)
@given(
    seed=st.integers(0, 2**31),
    width=st.integers(2, 8),
    columns=st.integers(1, 300),
    tail=st.floats(0.3, 4),
    size=st.sampled_from([1e-20, 0.02, 1.0, 1e15]),
    ladder=st.integers(1, 40),
    bins=st.sampled_from([0, 0, 64, 1024]),
    starts=st.integers(1, 3),
    exchanges=st.integers(0, 3),
)
def test_a_slow_search_ends_as_well(
    seed: int, width: int, columns: int, tail: float, size: float, ladder: int, bins: int, starts: int,
    exchanges: int,
) -> None:  # fmt: skip
    half = 1 << (width - 1)
    rows = values(seed, 3, columns, tail, size)
    steps = (np.geomspace(1, 0.05, ladder) / half).astype(np.float32)
    steps = np.concatenate([steps, -steps])
    starts = min(starts, len(steps))
    found = _core.fit_scales(rows, steps, half, bins, (starts, exchanges), 1)
    for row, scale in zip(rows, found, strict=True):
        least, most = slow.bounds(row, steps, half, bins, starts, exchanges)
        slack = SLACK * float(np.square(row, dtype=np.float64).sum())
        assert least - slack <= slow.error(row, float(scale), half) <= most + slack


@pytest.mark.parametrize("width", range(2, 9))
@pytest.mark.parametrize("columns", [5, 127, 128, 700, 40_000])
@pytest.mark.parametrize("starts", [1, 3])
def test_the_search_in_torch_ends_as_well(width: int, columns: int, starts: int) -> None:
    rows = torch.from_numpy(values(width, 40, columns, 1.5, 0.02))
    core, zero = scales.fit_symmetric(rows, width, starts)
    errors = []
    for some in (core, scales.search(rows, width, starts)):
        pairs = zip(rows.numpy(), some.flatten().tolist(), strict=True)
        errors.append(sum(slow.error(row, scale, 1 << (width - 1)) for row, scale in pairs))
    assert errors[0] == pytest.approx(errors[1], rel=2e-3)
    assert core.shape == zero.shape == (40, 1)


@settings(max_examples=CASES // 10)
@given(
    seed=st.integers(0, 2**31),
    width=st.integers(2, 8),
    columns=st.integers(1, 150),
    tail=st.floats(0.3, 4),
    size=st.sampled_from([1e-42, 1e-20, 0.02, 1e15]),
)
def test_errors_have_the_bits_of_torch(seed: int, width: int, columns: int, tail: float, size: float) -> None:
    half = 1 << (width - 1)
    rows = torch.from_numpy(values(seed, 5, columns, tail, size))
    scale, zero = scales.fit_symmetric(rows, width, 0)
    scale[::2] *= -0.3
    found = torch.empty_like(rows)
    _core.grid_errors(rows.numpy(), scale[:, 0].numpy(), half, found.numpy())
    grid = Grid(scale, zero, columns, -half, half - 1)
    assert torch.equal(found, grid.nearest(rows) - rows)


def test_rows_and_their_errors_have_one_shape() -> None:
    rows, some = values(0, 3, 9, 1.0, 1.0), np.ones(3, np.float32)
    for shape in ((3, 8), (2, 9)):
        with pytest.raises(ValueError, match="each row"):
            _core.grid_errors(rows, some, 8, np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match="each row"):
        _core.grid_errors(rows, some[:2], 8, np.zeros_like(rows))
    empty = np.zeros((0, 0), np.float32)
    _core.grid_errors(empty, some[:0], 8, empty.copy())


def test_threads_change_nothing() -> None:
    rows = values(0, 300, 1000, 1.0, 1.0)
    steps = np.geomspace(0.5, 0.01, 50).astype(np.float32)
    alone = _core.fit_scales(rows, steps, 8, 1024, (1, 2), 1)
    for threads in (0, 2, 7):
        assert np.array_equal(_core.fit_scales(rows, steps, 8, 1024, (1, 2), threads), alone)


def test_what_cannot_be_searched() -> None:
    rows, steps = values(0, 3, 9, 1.0, 1.0), np.ones(2, np.float32)
    for half, bins in ((0, 0), (129, 0), (8, 3), (8, 1 << 20)):
        with pytest.raises(ValueError, match=r"codes|bins"):
            _core.fit_scales(rows, steps, half, bins, (1, 1), 1)
    for step in (0.0, np.nan, np.inf, 1e-45):
        with pytest.raises(ValueError, match="finite"):
            _core.fit_scales(rows, np.full(2, step, np.float32), 8, 0, (1, 1), 1)
    odd = np.array([[np.nan, np.inf, -np.inf], [1e-45, 3e38, -3e38]], np.float32)
    for bins in (0, 64, 1 << 16):
        for some in (odd, odd[:0], odd[:, :0], rows[:1]):
            found = _core.fit_scales(some, steps, 8, bins, (2**40, 2**40), 3)
            assert len(found) == (len(some) if some.size else 0)
