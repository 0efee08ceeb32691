"""The rank kernels agree with pair counting and with SciPy, ties, infinities and NaN included."""

from __future__ import annotations

import os

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

import tap.rank
from oracles import rank as twin
from tap.errors import TapError

CASES = int(os.environ.get("TAP_CASES", "2000"))

numbers = st.one_of(
    st.integers(-2, 2).map(float),
    st.floats(-1e3, 1e3),
    st.sampled_from([0.0, -0.0, 1e-300, -1e-300, 5e-324, 1e300, np.inf, -np.inf]),
    st.integers(0, 3).map(lambda steps: float(np.nextafter(1.0, 2.0)) ** steps),
)
"""Numbers that tie often, lie one ulp apart, or are extreme."""


@st.composite
def pairs(draw: st.DrawFn, least: int = 2) -> tuple[list[float], list[float]]:
    size = draw(st.integers(least, 12))
    rows = st.lists(numbers, min_size=size, max_size=size)
    return draw(rows), draw(rows)


@settings(max_examples=CASES)
@given(pairs(), st.integers(1, 14))
def test_pair_counting_gives_the_same(pair: tuple[list[float], list[float]], k: int) -> None:
    x, y = map(np.array, pair)
    for name in ("spearman", "kendall", "weighted_tau"):
        expected = getattr(twin, name)(*pair)
        assert getattr(tap.rank, name)(x, y) == pytest.approx(expected, abs=1e-12, nan_ok=True), name
    assert tap.rank.topk(x, y, k=k) == pytest.approx(twin.topk(*pair, k), abs=1e-12, nan_ok=True)


@settings(max_examples=CASES // 4)
@given(pairs())
def test_scipy_gives_the_same(pair: tuple[list[float], list[float]]) -> None:
    x, y = map(np.array, pair)
    if len(set(pair[0])) == 1 or len(set(pair[1])) == 1:
        return
    peers = {
        "spearman": scipy.stats.spearmanr,
        "kendall": scipy.stats.kendalltau,
        "weighted_tau": scipy.stats.weightedtau,
    }
    for name, peer in peers.items():
        with np.errstate(all="ignore"):
            expected = peer(x, y).statistic
        assert getattr(tap.rank, name)(x, y) == pytest.approx(expected, abs=1e-12), name


@pytest.mark.parametrize("size", [2, 3, 54, 63, 64, 65, 1000])
@pytest.mark.parametrize("distinct", [2, 7, 10**6])
def test_batches_of_any_length_agree_with_scipy(size: int, distinct: int) -> None:
    rng = np.random.default_rng(size * distinct)
    scores = rng.integers(0, distinct, (40, size)).astype(np.float64)
    target = rng.integers(0, distinct, size) / 7.0
    target[0] = -1.0
    scores[:, 0] -= 1.0
    for name, peer in [
        ("spearman", scipy.stats.spearmanr),
        ("kendall", scipy.stats.kendalltau),
        ("weighted_tau", scipy.stats.weightedtau),
    ]:
        got = getattr(tap.rank, name)(scores, target)
        with np.errstate(all="ignore"):
            constant = (scores == scores[:, :1]).all(axis=1)
        expected = [
            np.nan if c else peer(row, target).statistic for row, c in zip(scores, constant, strict=True)
        ]
        np.testing.assert_allclose(got, expected, atol=1e-12, rtol=0, err_msg=name)


@given(pairs())
def test_a_nan_anywhere_gives_nan_and_spares_the_other_rows(pair: tuple[list[float], list[float]]) -> None:
    x, y = map(np.array, pair)
    poisoned = x.copy()
    poisoned[len(x) // 2] = np.nan
    for name in ("spearman", "kendall", "weighted_tau", "topk"):
        kernel = getattr(tap.rank, name)
        both = kernel(np.stack([poisoned, x]), y)
        assert np.isnan(both[0])
        np.testing.assert_array_equal(both[1], kernel(x, y))
        assert np.isnan(kernel(x, poisoned))


@pytest.mark.parametrize("size", [2, 3, 5, 8, 54, 101])
def test_perfect_agreement_is_exactly_one(size: int) -> None:
    row = np.random.default_rng(size).permutation(size) / 3.0
    for name in ("spearman", "kendall", "weighted_tau", "topk"):
        assert getattr(tap.rank, name)(row, row * 2.0) == 1.0, name
    for name in ("spearman", "kendall"):
        assert getattr(tap.rank, name)(row, -row) == -1.0, name
    assert tap.rank.weighted_tau(row, -row) == pytest.approx(-1.0, abs=1e-15)


@given(pairs())
def test_agreement_is_symmetric_and_ignores_monotone_transforms(
    pair: tuple[list[float], list[float]],
) -> None:
    x, y = map(np.array, pair)
    ranks = np.array(twin.average_ranks(pair[0]))
    for name in ("spearman", "kendall", "weighted_tau"):
        kernel = getattr(tap.rank, name)
        np.testing.assert_array_equal(kernel(ranks, y), kernel(x, y))
        np.testing.assert_allclose(kernel(y, x), kernel(x, y), atol=1e-13)
    for name in ("spearman", "kendall"):
        kernel = getattr(tap.rank, name)
        np.testing.assert_allclose(kernel(-x, y), -kernel(x, y), atol=1e-13)


@pytest.mark.parametrize(
    ("scores", "target"),
    [
        (np.zeros(3), np.zeros(4)),
        (np.zeros((2, 3)), np.zeros(2)),
        (np.zeros((1, 2, 3)), np.zeros(3)),
        (np.zeros(3), np.zeros((1, 3))),
    ],
)
@pytest.mark.parametrize("name", ["spearman", "kendall", "weighted_tau", "topk"])
def test_shapes_that_do_not_fit_are_refused(name: str, scores: np.ndarray, target: np.ndarray) -> None:
    with pytest.raises(TapError, match="shape"):
        getattr(tap.rank, name)(scores, target)


@pytest.mark.parametrize("name", ["spearman", "kendall", "weighted_tau", "topk"])
def test_nothing_or_one_thing_has_no_order(name: str) -> None:
    kernel = getattr(tap.rank, name)
    assert np.isnan(kernel(np.zeros(1), np.zeros(1)))
    assert np.isnan(kernel(np.zeros(0), np.zeros(0)))
    assert kernel(np.zeros((0, 3)), np.arange(3.0)).shape == (0,)
    assert np.isnan(kernel(np.zeros((2, 0)), np.zeros(0))).all()


def test_strided_and_other_types_are_read_as_they_are() -> None:
    scores = np.arange(24, dtype=np.int32).reshape(4, 6)[:, ::-2]
    target = np.array([1, 2, 3], dtype=np.float32)
    np.testing.assert_array_equal(tap.rank.spearman(scores, target), [-1.0] * 4)
    np.testing.assert_array_equal(tap.rank.kendall(scores.T[:, :3], target), [1.0] * 3)
