"""Agreement of one score table with either kind of truth."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

import tap
from tap.agreement import agreement, regret
from tap.errors import DataError, TableError
from tap.stats.table import LayerTable
from tap.stats.units import Unit


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


def exhaustive(scores: np.ndarray, values: np.ndarray, costs: np.ndarray, budgets: list[float]) -> float:
    """The regret by its definition, over all plans there are."""
    units, formats = values.shape
    plans = np.array(list(itertools.product(range(formats), repeat=units)))
    total = lambda table: table[np.arange(units), plans].sum(axis=1)  # noqa: E731
    cheapest = sum(row[cost == cost.min()].min() for row, cost in zip(values, costs, strict=True))
    shares = []
    for budget in budgets:
        fits = total(costs) <= budget
        best = total(values)[fits].min()
        if cheapest > best:
            chosen = total(values)[fits][total(scores)[fits].argmin()]
            shares.append((chosen - best) / (cheapest - best))
    return float(np.mean(shares))


@pytest.mark.parametrize("seed", range(20))
def test_regret_is_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, scores = rng.random((5, 3)), rng.random((5, 3))
    costs = rng.integers(1, 30, (5, 3)).astype(float) / (1 if seed % 2 else 4)
    target = SimpleNamespace(formats=("a", "b", "c"), values=values)
    low, high = costs.min(axis=1).sum(), costs.max(axis=1).sum()
    given = [low + 0.3 * (high - low), low + 0.7 * (high - low)]
    found = regret(scores, target, costs=costs, budgets=given)
    assert found == pytest.approx(exhaustive(scores, values, costs, given), abs=1e-9)
    if seed % 2:
        ladder = [low + (high - low) * rung // 9 for rung in range(1, 9)]
        found = regret(scores, target, costs=costs)
        assert found == pytest.approx(exhaustive(scores, values, costs, ladder), abs=1e-9)
    assert regret(values, target, costs=costs) == 0.0


def test_screening_and_search_go_by_the_same_regret() -> None:
    from tap.search.fitness import regret as of_search
    from tap.search.nets import Net

    rng = np.random.default_rng(4)
    units = tuple(Unit(f"u{place}", "linear", 4, 2 + place, 1, 8) for place in range(6))
    sizes = np.array([[unit.numel * bits / 8 for bits in (2, 4, 8)] for unit in units])
    columns = {"bytes": sizes, "a": rng.random((6, 3)), "bits": np.array([[2.0, 4.0, 8.0]] * 6)}
    table = LayerTable(units, ("int2", "int4", "int8"), columns)
    names = tuple(unit.name for unit in units)
    common = {"units": names, "formats": table.formats, "fingerprint": ""}
    one = SimpleNamespace(values=rng.random((6, 3)), **common)
    whole = SimpleNamespace(
        choice=rng.integers(0, 3, (40, 6)), loss=rng.random(40), stratum=np.arange(40) % 4, **common
    )
    for target in (one, whole):
        scores = tap.Proxy("score = a", columns=table).score(table)
        net = Net("net", table, target)
        found = tap.screen("score = a", table, target, budgets=8).regret[0]
        assert of_search(net, scores) == found == regret(scores, target, costs=sizes) > 0


def test_regret_of_what_cannot_be() -> None:
    values = np.array([[3.0, 1.0], [5.0, 2.0]])
    target = SimpleNamespace(formats=("a", "b"), values=values)
    costs = np.array([[1.0, 2.0], [1.0, 2.0]])
    with pytest.raises(DataError, match="needs costs"):
        regret(values, target)
    with pytest.raises(DataError, match="shape"):
        regret(values[:1], target, costs=costs)
    with pytest.raises(DataError, match="costs of shape"):
        regret(values, target, costs=costs[:1])
    with pytest.raises(DataError, match="not a number"):
        regret(values, target, costs=costs * np.nan)
    with pytest.raises(TableError, match="no plan fits"):
        regret(values, target, costs=costs, budgets=[1.0])
    with pytest.raises(TableError, match="cheapest"):
        regret(values, SimpleNamespace(formats=("a", "b"), values=-values), costs=costs)
    for budgets in (0, -3, [], [np.nan], [np.inf], [[1.0]]):
        with pytest.raises((DataError, TableError)):
            regret(values, target, costs=costs, budgets=budgets)
    assert regret(values, target, costs=costs * 1e30, budgets=[3.1e30]) == 0.0
    for odd in (np.nan, np.inf, -np.inf):
        assert np.isnan(regret(np.where(values == 3.0, odd, values), target, costs=costs))
    huge = values * 1e307
    assert regret(huge, target, costs=costs) == 0.0
