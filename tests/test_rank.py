"""Rank kernels against SciPy and against the definitions."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tap import rank
from tap.errors import DataError

TIED = st.integers(-3, 3).map(float)
WIDE = st.floats(allow_nan=False, width=64)
CLOSE = st.integers(0, 6).map(lambda step: 1.0 + step * 2.0**-52)


@st.composite
def row_and_target(draw, *, least=2, most=90):
    size = draw(st.integers(least, most))
    rows = [
        draw(st.lists(draw(st.sampled_from([TIED, WIDE, CLOSE])), min_size=size, max_size=size))
        for _ in range(2)
    ]
    return np.array(rows[0]), np.array(rows[1])


def same(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12, equal_nan=True)


def scipy_value(function, x, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(x, y).statistic


@settings(max_examples=400, deadline=None)
@given(row_and_target())
def test_spearman_is_scipys(pair):
    same(rank.spearman(*pair), scipy_value(stats.spearmanr, *pair))


@settings(max_examples=400, deadline=None)
@given(row_and_target())
def test_kendall_is_scipys(pair):
    same(rank.kendall(*pair), scipy_value(stats.kendalltau, *pair))


@settings(max_examples=400, deadline=None)
@given(row_and_target())
def test_weighted_tau_is_scipys(pair):
    same(rank.weighted_tau(*pair), scipy_value(stats.weightedtau, *pair))


@pytest.mark.parametrize("size", [2, 3, 63, 64, 65, 127, 128, 129, 255, 257, 1000, 70_000])
@pytest.mark.parametrize("levels", [3, 40, None])
def test_every_size_is_scipys(size, levels):
    rng = np.random.default_rng(size)
    draw = (
        (lambda: rng.standard_normal(size))
        if levels is None
        else (lambda: rng.integers(levels, size=size) * 1.0)
    )
    x, y = draw(), draw()
    same(rank.spearman(x, y), scipy_value(stats.spearmanr, x, y))
    same(rank.kendall(x, y), scipy_value(stats.kendalltau, x, y))
    same(rank.weighted_tau(x, y), scipy_value(stats.weightedtau, x, y))


def test_batches_are_single_rows():
    rng = np.random.default_rng(0)
    rows = np.round(rng.standard_normal((301, 54)), 1)
    rows[7] = 2.0
    rows[11, 3] = np.nan
    rows[12, :] = np.inf
    target = rng.standard_normal(54)
    for function in (rank.spearman, rank.kendall, rank.weighted_tau, rank.topk):
        batch = function(rows, target)
        single = np.array([function(row, target) for row in rows])
        assert batch.tobytes() == single.tobytes()
        assert np.isnan(batch[[7, 11, 12]]).all()
        assert np.isfinite(np.delete(batch, [7, 11, 12])).all()


@pytest.mark.parametrize("function", [rank.spearman, rank.kendall, rank.weighted_tau, rank.topk])
def test_undefined_is_nan(function):
    rising = np.arange(5.0)
    assert np.isnan(function(rising, np.ones(5)))
    assert np.isnan(function(np.ones(5), rising))
    assert np.isnan(function(np.array([0.0, np.nan, 1.0, 2.0, 3.0]), rising))
    assert np.isnan(function(rising, np.array([0.0, np.nan, 1.0, 2.0, 3.0])))
    assert np.isnan(function(np.array([1.0]), np.array([2.0])))
    assert np.isnan(function(np.empty(0), np.empty(0)))
    assert function(np.empty((0, 5)), rising).shape == (0,)


@pytest.mark.parametrize("function", [rank.spearman, rank.kendall, rank.weighted_tau])
def test_extremes_are_values(function):
    x = np.array([-np.inf, -1e300, -5e-324, 0.0, 5e-324, 1.0, np.inf])
    assert function(x, np.arange(7.0)) == pytest.approx(1.0, abs=1e-15)
    assert function(-x, np.arange(7.0)) == pytest.approx(-1.0, abs=1e-15)
    signs = np.array([-1.0, -0.0, 0.0, -0.0, 0.0, 1.0, 2.0])
    assert function(signs, np.arange(7.0)) == function(np.abs(signs) * np.sign(signs) + 0.0, np.arange(7.0))


@settings(max_examples=200, deadline=None)
@given(row_and_target(most=7), st.integers(1, 7))
def test_topk_is_the_mean_over_tie_breaks(pair, k):
    x, y = pair
    k = min(k, x.size)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert np.isnan(rank.topk(x, y, k=k))
        return

    def choices(row):
        edge = np.sort(row)[-k]
        sure = [i for i in range(row.size) if row[i] > edge]
        ties = [i for i in range(row.size) if row[i] == edge]
        return [set(sure) | set(rest) for rest in itertools.combinations(ties, k - len(sure))]

    overlaps = [len(a & b) / k for a in choices(x) for b in choices(y)]
    assert rank.topk(x, y, k=k) == pytest.approx(np.mean(overlaps), abs=1e-12)


def test_views_and_other_types_are_taken():
    rng = np.random.default_rng(1)
    wide = rng.standard_normal((20, 16)).astype(np.float32)
    target = rng.integers(9, size=16)
    np.testing.assert_array_equal(
        rank.spearman(wide[::2], target),
        rank.spearman(wide[::2].astype(np.float64).copy(), target.astype(float)),
    )


def test_shapes_that_do_not_fit_are_errors():
    for scores, target in [
        (np.ones((2, 3)), np.ones(4)),
        (np.ones(3), np.ones((3, 1))),
        (np.ones((1, 1, 3)), np.ones(3)),
    ]:
        with pytest.raises(DataError, match="do not fit"):
            rank.spearman(scores, target)
    with pytest.raises(DataError, match="k is 0"):
        rank.topk(np.ones(3), np.ones(3), k=0)
