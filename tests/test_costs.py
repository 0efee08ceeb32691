"""Cost models and budgets: exact bytes, bit operations, memory, latency tables, and text that is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tap
from tap import costs, formats
from tap.errors import BudgetError, TableError
from tap.latency import LatencyTable, measure
from tap.stats.units import Unit

UNITS = [
    Unit("conv", "conv2d", out=8, inp=3, pos=9, macs=8 * 27 * 100, activations=300),
    Unit("fc", "linear", out=10, inp=70, pos=1, macs=700, activations=70),
]


def test_bytes_are_those_of_the_formats() -> None:
    names = ["int2", "int4-asym-g32", "int8", "fp8-e4m3"]
    units = [UNITS[1], Unit("even", "linear", out=4, inp=64, pos=1, macs=256)]
    table = costs.bytes(units, names)
    expected = [[formats.parse(name).stored_bytes(unit) for name in names] for unit in units]
    assert table.tolist() == expected
    assert table.dtype == np.int64


def test_bops_count_both_sides() -> None:
    table = costs.bops(UNITS, ["int4+a8", "int8"])
    assert table.tolist() == [[21600 * 32, 21600 * 128], [700 * 32, 700 * 128]]


def test_average_bits_include_scales() -> None:
    weights = sum(unit.numel for unit in UNITS)
    stored = costs.bytes(UNITS, ["int4"]).sum()
    assert costs.average_bits(stored, UNITS) == pytest.approx(8 * stored / weights)
    assert costs.average_bits(stored, UNITS) > 4


@pytest.mark.parametrize(
    ("text", "cost", "limit"),
    [
        ("4.25bits", "bytes", int(4.25 * (8 * 27 + 700) / 8)),
        ("bits=4", "bytes", (8 * 27 + 700) // 2),
        ("12MB", "bytes", 12_000_000),
        ("12 mb", "bytes", 12_000_000),
        ("1.5MiB", "bytes", 3 * 2**19),
        ("700B", "bytes", 700),
        ("50%", "bytes", 8 * 27 + 700),
        ("size=1e3B", "bytes", 1000),
        ("bops=40G", "bops", 40_000_000_000),
        ("int4", "bytes", int(costs.bytes(UNITS, ["int4"]).sum())),
        ("int4-g32", "bytes", int(costs.bytes(UNITS, ["int4-g32"]).sum())),
        ("int2.5", "bytes", int(costs.bytes(UNITS, ["int2", "int3"]).sum()) // 2),
        ("latency=3.2ms", "latency", 3.2),
        ("latency=2us", "latency", 0.002),
        ("latency=2", "latency", 2.0),
    ],
)
def test_budgets_as_text(text: str, cost: str, limit: float) -> None:
    budget = costs.Budget.parse(text)
    assert budget.cost == cost
    assert budget.limit(UNITS) == pytest.approx(limit)
    assert isinstance(budget.limit(UNITS), float if cost == "latency" else int)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "MB",
        "4.25",
        "-3MB",
        "12XB",
        "4.25bit/s",
        "bops=3ms",
        "latency=3GB",
        "power=3W",
        "1e999B",
        "==",
        "int9",
        "int8.5",
        "bops=int4",
    ],
)
def test_budgets_that_are_refused(text: str) -> None:
    with pytest.raises(BudgetError) as caught:
        costs.Budget.parse(text).limit(UNITS)
    assert caught.value.hint


def test_two_budgets_for_one_cost_are_refused() -> None:
    with pytest.raises(BudgetError, match="two budgets"):
        costs.limits(["4bits", "12MB"], UNITS)


def test_peak_memory_is_the_largest_live_set() -> None:
    sizes = np.array([[100, 200], [50, 100], [80, 160]])
    tables = costs.memory(sizes, [(0, 1), (1, 2)], resident=[[1, 2]] * 3)
    plan = tap.allocate([[4.0, 0.0], [2.0, 0.0], [3.0, 0.0]], tables, dict.fromkeys(tables, 306))
    peak = max(plan.used.values())
    assert plan.choice.tolist() == [1, 1, 1]
    assert peak == 306
    tight = tap.allocate([[4.0, 0.0], [2.0, 0.0], [3.0, 0.0]], tables, dict.fromkeys(tables, 260))
    assert tight.choice.tolist() == [1, 0, 1]
    with pytest.raises(TableError, match="unit 7"):
        costs.memory(sizes, [(7,)])


def test_cost_tables_by_name() -> None:
    found = costs.tables(["bytes", "bops", "latency"], UNITS, ["int4", "int8"], latency=[[1, 2], [3, 4]])
    assert {name: table.shape for name, table in found.items()} == dict.fromkeys(found, (2, 2))
    with pytest.raises(BudgetError, match="latency table"):
        costs.tables(["latency"], UNITS, ["int4"])
    with pytest.raises(BudgetError, match="no cost model"):
        costs.tables(["power"], UNITS, ["int4"])


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_latency_tables_come_back(tmp_path: Path, suffix: str) -> None:
    table = LatencyTable(("a", "b"), ("int4", "int8"), np.array([[0.1, 0.2], [1 / 3, 4.0]]))
    table.save(tmp_path / f"table.{suffix}")
    back = LatencyTable.load(tmp_path / f"table.{suffix}")
    assert back.pick(["b", "a"], ["int8", "int4"]).tolist() == [[4.0, 1 / 3], [0.2, 0.1]]
    with pytest.raises(TableError, match="no unit 'c'"):
        back.pick(["c"], ["int4"])


@pytest.mark.parametrize(
    "text",
    ["", "unit,format,ms\na,int4,x\n", "unit,format,ms\na,int4,1\na,int4,2\n", "unit,format,ms\na,int4,-1\n"],
)
def test_broken_latency_tables_are_errors(tmp_path: Path, text: str) -> None:
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(TableError):
        LatencyTable.load(tmp_path / "table.csv")


def test_latency_is_measured_for_each_format() -> None:
    import torch

    seen = []

    def prepare(layer: torch.nn.Module, name: str) -> torch.nn.Module:
        seen.append(name)
        return layer

    layers = [("fc", torch.nn.Linear(16, 16), torch.ones(2, 16))]
    table = measure(layers, ["int4", "int8"], prepare=prepare, repeats=3, warmup=1)
    assert seen == ["int4", "int8"]
    assert (table.milliseconds > 0).all()
