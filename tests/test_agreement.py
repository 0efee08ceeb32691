"""Agreement of one score table with either kind of truth."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from tap.agreement import agreement
from tap.errors import DataError


def test_sensitivities_are_pooled_and_taken_by_format() -> None:
    rng = np.random.default_rng(0)
    scores, values = rng.random((20, 3)), rng.random((20, 3))
    truth = SimpleNamespace(formats=("a", "b", "c"), values=values, ceiling=0.8)
    found = agreement(scores, truth)
    assert found.spearman == pytest.approx(stats.spearmanr(scores.ravel(), values.ravel()).statistic)
    assert found.kendall == pytest.approx(stats.kendalltau(scores.ravel(), values.ravel()).statistic)
    assert found.weighted_tau == pytest.approx(stats.weightedtau(scores.ravel(), values.ravel()).statistic)
    by_format = [stats.spearmanr(scores[:, place], values[:, place]).statistic for place in range(3)]
    assert list(found.per_group.values()) == pytest.approx(by_format)
    assert found.relative == pytest.approx(np.mean(by_format) / 0.8)
    assert found.interval[0] < found.spearman < found.interval[1]


def test_configurations_are_averaged_over_strata() -> None:
    rng = np.random.default_rng(1)
    scores, choice = rng.random((6, 3)), rng.integers(3, size=(90, 6))
    stratum = np.arange(90) % 3
    predicted = scores[np.arange(6), choice].sum(axis=1)
    loss = predicted + 0.3 * rng.standard_normal(90) + stratum * 100
    truth = SimpleNamespace(formats=("a", "b", "c"), choice=choice, loss=loss, stratum=stratum, ceiling=1.0)
    found = agreement(scores, truth)
    parts = [stats.spearmanr(predicted[stratum == at], loss[stratum == at]).statistic for at in range(3)]
    assert found.spearman == pytest.approx(np.mean(parts))
    assert found.interval[0] < found.spearman < found.interval[1]
    assert agreement(scores, truth) == found
    assert agreement(scores, truth, seed=1).interval != found.interval


def test_a_shape_that_does_not_fit_is_an_error() -> None:
    truth = SimpleNamespace(formats=("a",), values=np.ones((3, 1)), ceiling=1.0)
    with pytest.raises(DataError, match="do not fit"):
        agreement(np.ones((3, 2)), truth)
