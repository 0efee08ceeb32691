"""Rank kernels and screening through the API, against SciPy in the same run."""

from __future__ import annotations

import random
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

import tap
from tap import rank
from tap.stats.table import LayerTable
from tap.stats.units import Unit

ROWS, UNITS = 10_000, 54
warnings.simplefilter("ignore")


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((ROWS, UNITS)), rng.random(UNITS)


def vectorised(scores: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Spearman the way SciPy does many rows at once: `rankdata` along an axis, then Pearson."""
    ranks, wanted = stats.rankdata(scores, axis=1), stats.rankdata(target)
    ranks, wanted = ranks - ranks.mean(axis=1, keepdims=True), wanted - wanted.mean()
    return ranks @ wanted / np.sqrt((ranks**2).sum(axis=1) * (wanted**2).sum())


@pytest.mark.benchmark(group="spearman of 10,000 rows")
def test_spearman(benchmark: Any, rows: Any) -> None:
    found = benchmark(rank.spearman, *rows)
    np.testing.assert_allclose(found, vectorised(*rows), atol=1e-12)


@pytest.mark.benchmark(group="spearman of 10,000 rows")
def test_spearman_scipy_vectorised(benchmark: Any, rows: Any) -> None:
    benchmark(vectorised, *rows)


@pytest.mark.benchmark(group="spearman of 100 rows")
def test_spearman_100(benchmark: Any, rows: Any) -> None:
    benchmark(rank.spearman, rows[0][:100], rows[1])


@pytest.mark.benchmark(group="spearman of 100 rows")
def test_spearman_100_scipy_loop(benchmark: Any, rows: Any) -> None:
    benchmark(lambda: [stats.spearmanr(row, rows[1]).statistic for row in rows[0][:100]])


@pytest.mark.benchmark(group="kendall of 100 rows")
def test_kendall_100(benchmark: Any, rows: Any) -> None:
    benchmark(rank.kendall, rows[0][:100], rows[1])


@pytest.mark.benchmark(group="kendall of 100 rows")
def test_kendall_100_scipy_loop(benchmark: Any, rows: Any) -> None:
    benchmark(lambda: [stats.kendalltau(row, rows[1]).statistic for row in rows[0][:100]])


@pytest.mark.benchmark(group="screen 10,000 programs")
def test_screen(benchmark: Any) -> None:
    rng = np.random.default_rng(0)
    units = tuple(Unit(f"u{place}", "conv2d", 8 + place, 16, 9, 1000 * (place + 1)) for place in range(UNITS))
    names = ("trace", "lambda_max", "w_norm2")
    columns = {name: rng.random(UNITS) for name in names}
    columns |= {name: rng.random((UNITS, 1)) for name in ("dw2", "fisher_dw2", "gdw_abs", "bits")}
    table = LayerTable(units, ("int4",), columns)
    names = tuple(unit.name for unit in units)
    truth = SimpleNamespace(units=names, formats=("int4",), values=rng.random((UNITS, 1)), fingerprint="")
    draw = random.Random(0)
    programs = [expression(draw, draw.randint(10, 30), sorted(columns)) for _ in range(10_000)]
    found = benchmark(tap.screen, programs, table, truth, threads=1)
    assert found.ok.mean() > 0.8


def expression(draw: random.Random, operators: int, names: list[str]) -> str:
    """A random formula of this many operators."""
    if operators == 0:
        return draw.choice(["2", "0.5", *names, *names])
    if draw.random() < 0.35:
        name = draw.choice(["abs", "tanh", "square", "sigmoid", "exp", "rank"])
        return f"{name}({expression(draw, operators - 1, names)})"
    left = draw.randrange(operators)
    sides = expression(draw, left, names), expression(draw, operators - 1 - left, names)
    return f"({sides[0]}{draw.choice('+-**/')}{sides[1]})"
