"""Screening against one proxy at a time."""

from __future__ import annotations

import csv
import importlib.util
import itertools
import json
import random
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tap
from oracles.dsl_random import Generator
from oracles.tables import random_table
from tap import _core, rank
from tap.errors import DataError, MissingExtraError, ProxyError, TableError
from tap.proxy import Proxy
from tap.screen import screen_file
from tap.stats.table import LayerTable
from tap.stats.units import Unit


def some_table(rng: np.random.Generator) -> LayerTable:
    """A random table with room for a ranking."""
    while True:
        table = random_table(rng)
        if len(table.units) >= 3 and len(table.formats) >= 3:
            return table


def sensitivity(table: LayerTable, rng: np.random.Generator) -> Any:
    values = rng.standard_normal((len(table.units), len(table.formats)))
    names = tuple(unit.name for unit in table.units)
    return SimpleNamespace(units=names, formats=table.formats, values=values, fingerprint=table.fingerprint)


def configurations(table: LayerTable, rng: np.random.Generator, *, count: int = 60, strata: int = 3) -> Any:
    names = tuple(unit.name for unit in table.units)
    return SimpleNamespace(
        units=names,
        formats=table.formats,
        choice=rng.integers(len(table.formats), size=(count, len(names))),
        loss=np.round(rng.standard_normal(count), 1),
        stratum=rng.permutation(np.arange(count) % strata),
        fingerprint=table.fingerprint,
    )


def programs(seed: int, count: int) -> list[str]:
    rng = random.Random(seed)
    texts = [Generator(rng).program(depth=3) for _ in range(count)]
    return [*texts, "score = lgo(w)", "score = w", "", "score = log(0 * bits)", "é = 1", "\0", *texts[:7]]


def slow(source: str, table: LayerTable, target: Any) -> tuple[float, float] | str:
    """The marks of one program by the public parts, or the kind of its error."""
    try:
        scores = Proxy(source).score(table)
    except ProxyError as error:
        return error.kind
    if not np.isfinite(scores).all():
        return "non-finite"
    if not hasattr(target, "choice"):
        return rank.spearman(scores.ravel(), target.values.ravel()), rank.kendall(
            scores.ravel(), target.values.ravel()
        )
    predicted = np.zeros(len(target.loss))
    for unit in range(scores.shape[0]):
        predicted += scores[unit, target.choice[:, unit]]
    strata = [target.stratum == number for number in np.unique(target.stratum)]
    pairs = [
        (rank.spearman(predicted[part], target.loss[part]), rank.kendall(predicted[part], target.loss[part]))
        for part in strata
    ]
    return float(np.mean([pair[0] for pair in pairs])), float(np.mean([pair[1] for pair in pairs]))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("make", [sensitivity, configurations])
def test_screening_is_one_proxy_at_a_time(seed: int, make: Any) -> None:
    rng = np.random.default_rng(seed)
    table = some_table(rng)
    target = make(table, rng)
    sources = programs(seed, 150)
    found = tap.screen(sources, table, target, threads=1)
    assert len(found) == len(sources)
    for place, source in enumerate(sources):
        expected = slow(source, table, target)
        if isinstance(expected, str):
            assert found.kind[place] == expected, source
            assert not found.ok[place]
            assert found.error[place]
            assert np.isnan([found.spearman[place], found.kendall[place]]).all()
            assert found.signature[place] == 0
        else:
            assert found.ok[place], (source, found.error[place])
            assert found.error[place] == ""
            np.testing.assert_allclose(
                [found.spearman[place], found.kendall[place]], expected, rtol=0, atol=1e-12
            )
            proxy = Proxy(source)
            assert (found.hash[place], found.ops[place]) == (proxy.hash, proxy.ops)


def test_threads_and_neighbours_change_nothing() -> None:
    rng = np.random.default_rng(3)
    table = some_table(rng)
    target = sensitivity(table, rng)
    sources = programs(3, 1500)
    one = tap.screen(sources, table, target, threads=1)
    two = tap.screen(sources, table, target, threads=2)
    order = np.random.default_rng(0).permutation(len(sources))
    mixed = tap.screen([sources[place] for place in order], table, target, threads=3)
    for name in ("kind", "spearman", "kendall", "regret", "hash", "ops", "signature"):
        column = getattr(one, name)
        for other in (getattr(two, name), getattr(mixed, name)[np.argsort(order)]):
            assert column.tolist() == other.tolist() or column.tobytes() == other.tobytes(), name


def test_twins_share_a_signature_and_formulas_a_hash() -> None:
    rng = np.random.default_rng(5)
    table = some_table(rng)
    target = sensitivity(table, rng)
    found = tap.screen(
        ["rank(dw2) + bits", "bits + rank(dw2)", "(bits + rank(dw2)) * 3 + 1", "-rank(dw2) - bits"],
        table,
        target,
    )
    assert found.hash[0] == found.hash[1] != found.hash[2]
    assert found.signature[0] == found.signature[1] == found.signature[2] != found.signature[3]


def test_several_tables_are_averaged() -> None:
    rng = np.random.default_rng(7)
    tables = [some_table(rng), some_table(rng)]
    targets = [sensitivity(tables[0], rng), configurations(tables[1], rng)]
    sources = ["numel * bits", "index + bits", "dw2"]
    both = tap.screen(sources, tables, targets)
    for at in range(2):
        alone = tap.screen(sources, tables[at], targets[at])
        np.testing.assert_array_equal(both.spearman_by_table[at], alone.spearman)
    np.testing.assert_array_equal(both.spearman, both.spearman_by_table.mean(axis=0))


def test_a_target_is_matched_by_name() -> None:
    rng = np.random.default_rng(9)
    table = some_table(rng)
    whole = sensitivity(table, rng)
    units, formats = [2, 0], [1, 2]
    part = SimpleNamespace(
        units=tuple(whole.units[unit] for unit in units),
        formats=tuple(whole.formats[place] for place in formats),
        values=whole.values[np.ix_(units, formats)],
        fingerprint="",
    )
    scores = Proxy("(index + 1) / bits").score(table)
    expected = rank.spearman(scores[np.ix_(units, formats)].ravel(), part.values.ravel())
    assert tap.screen("(index + 1) / bits", table, part).spearman[0] == pytest.approx(expected, abs=1e-12)


def test_targets_that_do_not_belong_are_errors() -> None:
    rng = np.random.default_rng(9)
    table = some_table(rng)
    target = sensitivity(table, rng)
    target.fingerprint = "other"
    with pytest.raises(TableError, match="another model"):
        tap.screen("bits", table, target)
    target.fingerprint = ""
    target.units = ("stranger", *target.units[1:])
    with pytest.raises(TableError, match="stranger"):
        tap.screen("bits", table, target)
    with pytest.raises(TableError, match="1 tables and 2 targets"):
        tap.screen("bits", table, [target, target])
    flat = sensitivity(table, rng)
    flat.values[:] = 1.0
    with pytest.raises(TableError, match="all equal"):
        tap.screen("bits", table, flat)


def test_a_file_gives_the_rows_of_its_programs(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    table = some_table(rng)
    target = sensitivity(table, rng)
    sources = programs(11, 40)
    lines = [json.dumps(source if place % 2 else {"program": source}) for place, source in enumerate(sources)]
    (tmp_path / "in.jsonl").write_text("\n\n".join(lines) + "\n")
    found = tap.screen(sources, table, target)
    done = screen_file(
        tmp_path / "in.jsonl", table, target, out=tmp_path / "out.jsonl", chunk=7, progress=False
    )
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert (done.rows, done.ok, done.complete) == (len(sources), int(found.ok.sum()), True)
    assert [row["source"] for row in rows] == sources
    assert [row["line"] for row in rows] == list(range(1, 2 * len(sources), 2))
    assert [row["hash"] for row in rows] == found.hash.tolist()
    spearman = [np.nan if row["spearman"] is None else row["spearman"] for row in rows]
    np.testing.assert_array_equal(spearman, found.spearman)
    screen_file(tmp_path / "in.jsonl", table, target, out=tmp_path / "out.csv", chunk=9, progress=False)
    with (tmp_path / "out.csv").open(newline="") as file:
        table_rows = list(csv.DictReader(file))
    assert [row["source"] for row in table_rows] == sources
    assert [float(row["spearman"]) for row in table_rows] == pytest.approx(spearman, nan_ok=True, abs=0)


def test_ctrl_c_leaves_a_readable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(12)
    table = some_table(rng)
    (tmp_path / "in.jsonl").write_text('"bits"\n' * 50)
    real, calls = _core.screen_programs, []

    def interrupted(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(_core, "screen_programs", interrupted)
    done = screen_file(
        tmp_path / "in.jsonl",
        table,
        sensitivity(table, rng),
        out=tmp_path / "out.csv",
        chunk=10,
        progress=False,
    )
    assert (done.rows, done.complete) == (20, False)
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 21


def test_ctrl_c_ends_a_long_call() -> None:
    rng = np.random.default_rng(13)
    table = some_table(rng)
    sources = ["score = sum(exp(tanh(dw * w)) ** 2.5)"] * 3_000_000
    # A process that was started in the background ignores SIGINT, and so would this test.
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            tap.screen(sources, table, sensitivity(table, rng), threads=1)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert time.monotonic() - started < 20


def test_files_that_hold_no_programs_are_errors(tmp_path: Path) -> None:
    rng = np.random.default_rng(14)
    table = some_table(rng)
    target = sensitivity(table, rng)
    path = tmp_path / "in.jsonl"
    for text, message in [
        ("nonsense\n", "line 1 is not JSON"),
        ('"bits"\n{"a": 1}\n', "line 2 holds no program"),
    ]:
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            screen_file(path, table, target, out=tmp_path / "out.csv", progress=False)
        assert not (tmp_path / "out.csv").exists()
    path.write_text('"bits"\n')
    with pytest.raises(DataError, match=r"\.xlsx"):
        screen_file(path, table, target, out=tmp_path / "out.xlsx", progress=False)
    with pytest.raises(DataError, match="does not exist"):
        screen_file(tmp_path / "no.jsonl", table, target, out=tmp_path / "out.csv", progress=False)


def test_parquet_needs_its_extra_or_holds_the_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(15)
    table = some_table(rng)
    target = sensitivity(table, rng)
    (tmp_path / "in.jsonl").write_text('"bits"\n"lgo(w)"\n')
    out = tmp_path / "out.parquet"
    if importlib.util.find_spec("pyarrow") is None:
        with pytest.raises(MissingExtraError, match="pyarrow"):
            screen_file(tmp_path / "in.jsonl", table, target, out=out, progress=False)
        return
    from pyarrow import parquet

    screen_file(tmp_path / "in.jsonl", table, target, out=out, progress=False)
    assert parquet.read_table(out).column("ok").to_pylist() == [True, False]


def test_regret_by_a_sensitivity_is_that_of_enumerated_plans() -> None:
    rng = np.random.default_rng(21)
    units = tuple(Unit(f"u{place}", "linear", 2 + place, 4, 1, 8) for place in range(5))
    cost = np.array([[unit.numel * bits for bits in (2, 4, 8)] for unit in units], float)
    loss = rng.random((5, 3))
    table = LayerTable(units, ("int2", "int4", "int8"), {"bytes": cost, "dw2": loss, "a": rng.random((5, 3))})
    target = sensitivity(table, rng)
    plans = np.array(list(itertools.product(range(3), repeat=5)))
    total = lambda values: values[np.arange(5), plans].sum(axis=1)  # noqa: E731
    least, most = cost.min(axis=1).sum(), cost.max(axis=1).sum()
    for source in ("dw2", "-dw2 / bytes", "dw2 ** 3"):
        scores, regrets = Proxy(source).score(table), []
        for rung in range(1, 9):
            fits = total(cost) <= least + (most - least) * rung // 9
            truth = total(target.values)
            chosen = truth[fits][total(scores)[fits].argmin()]
            best = truth[fits].min()
            if truth[0] > best:
                regrets.append((chosen - best) / (truth[0] - best))
        found = tap.screen(source, table, target, budgets=8)
        assert found.regret[0] == pytest.approx(np.mean(regrets), abs=1e-9)
    by_truth = LayerTable(units, table.formats, {**table.columns, "dw2": target.values})
    assert tap.screen("dw2", by_truth, target, budgets=[16.5, 30.0, 50.0]).regret[0] == 0.0
    assert np.isnan(tap.screen("dw2", table, target).regret[0])
    with pytest.raises(TableError, match="no plan fits"):
        tap.screen("dw2", table, target, budgets=[1.0])


def test_regret_by_configurations_is_that_of_the_first() -> None:
    rng = np.random.default_rng(22)
    table = some_table(rng)
    target = configurations(table, rng)
    scores = Proxy("index * bits + bits ** 2").score(table)
    predicted = scores[np.arange(len(table.units)), target.choice].sum(axis=1)
    regrets = []
    for number in range(3):
        part = target.stratum == number
        loss, first = target.loss[part], predicted[part] == predicted[part].min()
        regrets.append((loss[first].mean() - loss.min()) / (loss.mean() - loss.min()))
    assert tap.screen("index * bits + bits ** 2", table, target).regret[0] == pytest.approx(np.mean(regrets))
