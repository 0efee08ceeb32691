"""The core's rounding with error compensation, beside its definition and the same steps in torch."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from oracles import sweep as slow
from tap import _core
from tap.formats.base import Grid
from tap.quantize.compensate import Compensation, _sweep

CASES = int(os.environ.get("TAP_CASES", "2000"))
Array = NDArray[np.float32]


def factor(random: np.random.Generator, groups: int, columns: int) -> Array:
    """U of correlated inputs, [groups, columns, columns]."""
    x = random.standard_normal((groups, columns + 3, columns)) @ random.standard_normal((columns, columns))
    moments = x.transpose(0, 2, 1) @ x / (columns + 3)
    return Compensation(torch.from_numpy(moments.astype(np.float32))).upper.contiguous().numpy()


@settings(max_examples=CASES // 10, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    groups=st.integers(1, 3),
    rows=st.integers(1, 70),
    columns=st.integers(1, 150),
    group=st.sampled_from([1, 7, 32, 1000]),
    bits=st.integers(2, 8),
    asymmetric=st.booleans(),
    nearest=st.booleans(),
    threads=st.integers(1, 2),
)
def test_every_column_is_rounded_to_the_nearest_of_what_it_then_is(
    seed: int, groups: int, rows: int, columns: int, group: int, bits: int, asymmetric: bool, nearest: bool,
    threads: int,
) -> None:  # fmt: skip
    random = np.random.default_rng(seed)
    upper = factor(random, groups, columns)
    weights = random.standard_normal((groups, rows, columns)).astype(np.float32)
    shape = (groups * rows, -(-columns // group))
    scale = (random.uniform(0.05, 0.6, shape) * random.choice([-1, 1], shape)).astype(np.float32)
    low, high = (0, 2**bits - 1) if asymmetric else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    zero = random.integers(low, high + 1, shape).astype(np.float32) * asymmetric
    back = weights.copy()
    total = _core.compensate(back, upper, (scale, zero, group, low, high), nearest, threads)
    expected = 0.0
    for g in range(groups):
        for r in random.permutation(rows)[:2] if rows > 4 else range(rows):
            at = g * rows + r
            w, q, u = (one.astype(np.float64) for one in (weights[g, r], back[g, r], upper[g]))
            errors = slow.errors(w, q, u)
            given_values = w if nearest else slow.corrected(w, errors, u)
            slack = 2e-3 * (1 + np.abs(given_values).max())
            for j in range(columns):
                of = j // group
                possible = slow.values(float(scale[at, of]), float(zero[at, of]), low, high)
                assert np.abs(possible - q[j]).min() < 1e-5 * (1 + abs(q[j]))
                assert abs(q[j] - given_values[j]) <= np.abs(possible - given_values[j]).min() + slack
    for g in range(groups):
        change = (weights[g] - back[g]).astype(np.float64)
        expected += np.square(np.linalg.solve(upper[g].astype(np.float64).T, change.T)).sum()
    assert total == pytest.approx(expected, rel=1e-2, abs=1e-6)


@pytest.mark.parametrize("nearest", [False, True])
def test_the_steps_in_torch_give_the_same(nearest: bool) -> None:
    random = np.random.default_rng(0)
    upper = factor(random, 2, 300)
    weights = random.standard_normal((2, 150, 300)).astype(np.float32)
    scale = random.uniform(0.2, 0.5, (300, 10)).astype(np.float32)
    zero = random.integers(0, 16, (300, 10)).astype(np.float32)
    grid = Grid(torch.from_numpy(scale), torch.from_numpy(zero), 32, 0, 15)
    found, error = _sweep(torch.from_numpy(weights), torch.from_numpy(upper), grid, nearest)
    sums = []
    for threads in (1, 2, 0):
        back = weights.copy()
        sums.append(_core.compensate(back, upper, (scale, zero, 32, 0, 15), nearest, threads))
        assert np.mean(np.abs(back - found.numpy()) > 1e-4) < (1e-6 if nearest else 0.02)
    assert sums[0] == sums[1] == sums[2] == pytest.approx(error, rel=2e-3)


def test_far_values_and_empty_rows() -> None:
    upper, grid = (
        np.eye(2, dtype=np.float32)[None],
        (np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32)),
    )
    rows = np.array([[[3e38, -3e38]]], np.float32)
    _core.compensate(rows, upper, (*grid, 2, -8, 7), True, 1)
    assert rows.tolist() == [[[7, -8]]]
    nothing = np.zeros((0, 1, 2), np.float32)
    assert _core.compensate(nothing, upper[:0], (grid[0][:0], grid[1][:0], 2, -8, 7), False, 1) == 0


@pytest.mark.parametrize(
    ("upper", "scale", "group", "says"),
    [
        (np.eye(3, dtype=np.float32)[None], np.ones((2, 1), np.float32), 2, "as many rows as columns"),
        (np.eye(2, dtype=np.float32)[None], np.ones((2, 1), np.float32), 1, "a scale and a zero point"),
        (np.eye(2, dtype=np.float32)[None], np.ones((1, 1), np.float32), 2, "each row has a scale"),
        (np.eye(2, dtype=np.float32)[None], np.ones((2, 1), np.float32), 0, "no axis is empty"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(upper: Array, scale: Array, group: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        _core.compensate(np.ones((1, 2, 2), np.float32), upper, (scale, 0 * scale, group, -8, 7), False, 1)
