"""Screening judges programs as the slow twins do: agreement of single scores, many together, any threads."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import pytest

import tap
from oracles import rank as twin
from oracles.dsl_random import ALL, Generator
from oracles.tables import random_table
from tap.stats.table import LayerTable


def programs(seed: int, count: int) -> list[str]:
    return [Generator(random.Random(seed + place), ALL).program(depth=3) for place in range(count)]


def tables(count: int) -> list[LayerTable]:
    """Tables of at least three units, so that there is something to rank."""
    found = [random_table(np.random.default_rng(seed)) for seed in range(count * 3)]
    return [table for table in found if len(table.units) >= 3][:count]


def sensitivity(table: LayerTable, seed: int) -> SimpleNamespace:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 8, (len(table.units), len(table.formats))) / 4.0
    values[0, 0] = 9.0
    names = tuple(unit.name for unit in table.units)
    return SimpleNamespace(units=names, formats=table.formats, values=values, fingerprint="")


def configurations(table: LayerTable, seed: int) -> SimpleNamespace:
    """Three strata of eight, six and one configuration; ties in the loss."""
    rng = np.random.default_rng(seed)
    names = tuple(unit.name for unit in table.units)
    stratum = np.repeat([4, 7, 9], [8, 6, 1])
    choice = rng.integers(0, len(table.formats), (15, len(names)))
    loss = rng.integers(0, 9, 15) / 3.0
    return SimpleNamespace(
        units=names, formats=table.formats, choice=choice, loss=loss, stratum=stratum, fingerprint=""
    )


def scores_of(source: str, table: LayerTable) -> np.ndarray | None:
    try:
        return tap.Proxy(source).score(table)
    except tap.ProxyError:
        return None


@pytest.mark.parametrize("table", tables(6), ids=lambda table: f"{len(table.units)}x{len(table.formats)}")
def test_sensitivities_are_ranked_as_one_list(table: LayerTable) -> None:
    sources, truth = programs(1000, 150), sensitivity(table, 1)
    found = tap.screen(sources, table, truth)
    for place, source in enumerate(sources):
        scores = scores_of(source, table)
        assert found.ok[place] == (scores is not None), source
        if scores is not None:
            for name in ("spearman", "kendall"):
                expected = getattr(twin, name)(scores.ravel().tolist(), truth.values.ravel().tolist())
                got = getattr(found, name)[place]
                assert got == pytest.approx(expected, abs=1e-12, nan_ok=True), (name, source)


@pytest.mark.parametrize("table", tables(6), ids=lambda table: f"{len(table.units)}x{len(table.formats)}")
def test_configurations_are_ranked_within_their_stratum(table: LayerTable) -> None:
    """A configuration is predicted by the sum of its scores; strata with nothing to rank have no say."""
    sources, truth = programs(2000, 150), configurations(table, 2)
    found = tap.screen(sources, table, truth)
    units = np.arange(len(table.units))
    for place, source in enumerate(sources):
        scores = scores_of(source, table)
        if scores is None:
            continue
        with np.errstate(all="ignore"):
            predicted = np.array([scores[units, choice].sum() for choice in truth.choice])
        gaps = np.abs(np.diff(np.sort(predicted)))
        if not np.isfinite(predicted).all() or ((gaps > 0) & (gaps < 1e-9 * np.abs(predicted).max())).any():
            continue
        expected = []
        for stratum in (4, 7):
            rows = truth.stratum == stratum
            expected.append(twin.spearman(predicted[rows].tolist(), truth.loss[rows].tolist()))
        mean = np.nan if np.isnan(expected).any() else float(np.mean(expected))
        assert found.spearman[place] == pytest.approx(mean, abs=1e-9, nan_ok=True), source


def test_company_and_threads_change_no_bit() -> None:
    """A program scores the same alone, among others, in any order, on any number of threads."""
    table = tables(1)[0]
    sources, truth = programs(3000, 700), sensitivity(table, 3)
    together = tap.screen(sources, table, truth, threads=1)
    spread = tap.screen(sources, table, truth, threads=3)
    order = np.random.default_rng(0).permutation(len(sources))
    mixed = tap.screen([sources[place] for place in order], table, truth, threads=2)
    for name in ("spearman", "kendall", "signature", "hash", "ops", "kind"):
        whole = getattr(together, name)
        np.testing.assert_array_equal(getattr(spread, name), whole, err_msg=name)
        np.testing.assert_array_equal(getattr(mixed, name), whole[order], err_msg=name)
    for place in range(0, 700, 23):
        alone = tap.screen([sources[place]], table, truth)
        np.testing.assert_array_equal(alone.spearman[0], together.spearman[place])


def test_several_tables_are_averaged() -> None:
    pair = tables(2)
    truths = [sensitivity(table, seed) for seed, table in enumerate(pair)]
    sources = programs(4000, 100)
    both = tap.screen(sources, pair, truths)
    for place, (table, truth) in enumerate(zip(pair, truths, strict=True)):
        alone = tap.screen(sources, table, truth)
        where = both.ok & alone.ok
        np.testing.assert_array_equal(both.spearman_by_table[place][where], alone.spearman[where])
    np.testing.assert_allclose(both.spearman, both.spearman_by_table.mean(axis=0), atol=1e-15)
