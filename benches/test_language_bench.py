"""One program through the API against the same formula in numpy and numexpr, on one core.

numexpr is no dependency: without it its rows are left out.
"""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tap
from tap.stats.table import LayerTable, Sample
from tap.stats.units import Unit

UNITS, SIDE, FORMATS, NEW = 54, 64, 7, 1000

FORMULA = "log(abs(trace) + 1e-8) * plain ** 2 / sqrt(numel) + 0.3 * abs(gdw - gdw2) - tanh(z_std)"
"""Over one number a unit."""
NAMES = ("trace", "plain", "numel", "gdw", "gdw2", "z_std")
FUNCTIONS = {name: getattr(np, name) for name in ("log", "abs", "sqrt", "tanh")}


def units() -> tuple[Unit, ...]:
    return tuple(Unit(f"u{place}", "linear", SIDE, SIDE, 1, SIDE * SIDE) for place in range(UNITS))


@pytest.fixture(scope="module")
def columns() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {name: rng.random(UNITS) + 0.1 for name in NAMES}


@pytest.fixture(scope="module")
def table(columns: dict[str, Any]) -> LayerTable:
    own = {name: column[:, None] if name.startswith("gdw") else column for name, column in columns.items()}
    return LayerTable(units(), ("int4",), {**own, "dw2": np.ones((UNITS, 1))})


@pytest.mark.benchmark(group="a compiled formula, 54 units")
def test_formula(benchmark: Any, table: LayerTable, columns: dict[str, Any]) -> None:
    found = benchmark(tap.Proxy(FORMULA).score, table)
    np.testing.assert_allclose(found[:, 0], eval(FORMULA, {**FUNCTIONS, **columns}), rtol=1e-12)


@pytest.mark.benchmark(group="a compiled formula, 54 units")
def test_formula_numpy(benchmark: Any, columns: dict[str, Any]) -> None:
    code, names = compile(FORMULA, "<formula>", "eval"), {**FUNCTIONS, **columns}
    benchmark(lambda: eval(code, names))


NUMBERS = itertools.count()


def new_formula() -> str:
    """A formula that no cache has seen: its number differs each time."""
    return FORMULA.replace("0.3", f"0.3{next(NUMBERS):07d}")


@pytest.mark.benchmark(group="a new formula, 54 units")
def test_new_formula(benchmark: Any, table: LayerTable) -> None:
    benchmark(lambda: tap.Proxy(new_formula()).score(table))


@pytest.mark.benchmark(group="a new formula, 54 units")
def test_new_formulas_screened(benchmark: Any, table: LayerTable) -> None:
    """A thousand at once, ranked and compared with a truth too; the time is that of all thousand."""
    values = np.random.default_rng(1).random((UNITS, 1))
    names = tuple(unit.name for unit in table.units)
    truth = SimpleNamespace(units=names, formats=("int4",), values=values, fingerprint="")

    def new() -> tuple[tuple[Any, ...], dict[str, Any]]:
        return ([new_formula() for _ in range(NEW)], table, truth), {"threads": 1}

    found = benchmark.pedantic(tap.screen, setup=new, rounds=200)
    assert found.ok.all()


@pytest.mark.benchmark(group="a new formula, 54 units")
def test_new_formula_numpy(benchmark: Any, columns: dict[str, Any]) -> None:
    names = {**FUNCTIONS, **columns}
    benchmark(lambda: eval(new_formula(), names))


@pytest.mark.benchmark(group="a new formula, 54 units")
def test_new_formula_numexpr(benchmark: Any, columns: dict[str, Any]) -> None:
    numexpr = pytest.importorskip("numexpr")
    numexpr.set_num_threads(1)
    benchmark(lambda: numexpr.evaluate(new_formula(), local_dict=columns))


SAMPLES = {
    "mean(g2 * square(dw))": "sum(g2 * dw**2, 2) / n",
    "sum(abs(g * dw))": "sum(abs(g * dw), 2)",
    "norm2(dw) / norm2(w)": "sum(dw**2, 2) ; sum(w**2, 2)",
    "sum(g * dw + 0.5 * h * square(dw))": "sum(g * dw + 0.5 * h * dw**2, 2)",
    "mean(abs(dw)) * mean(abs(w))": "sum(abs(dw), 2) ; sum(abs(w), 2)",
    "mean(square(dw) * exp(-abs(w)))": "sum(dw**2 * exp(-abs(w)), 2) / n",
}
"""Programs over 54 units x 4,096 elements x 7 formats, and the sums that numexpr takes for each."""

IN_NUMPY: dict[str, Any] = {
    "mean(g2 * square(dw))": lambda s: (s["g2"] * np.square(s["dw"])).mean(axis=2),
    "sum(abs(g * dw))": lambda s: np.abs(s["g"] * s["dw"]).sum(axis=2),
    "norm2(dw) / norm2(w)": lambda s: np.linalg.norm(s["dw"], axis=2) / np.linalg.norm(s["w"], axis=2),
    "sum(g * dw + 0.5 * h * square(dw))": lambda s: (
        s["g"] * s["dw"] + 0.5 * s["h"] * np.square(s["dw"])
    ).sum(axis=2),
    "mean(abs(dw)) * mean(abs(w))": lambda s: np.abs(s["dw"]).mean(axis=2) * np.abs(s["w"]).mean(axis=2),
    "mean(square(dw) * exp(-abs(w)))": lambda s: (np.square(s["dw"]) * np.exp(-np.abs(s["w"]))).mean(axis=2),
}


@pytest.fixture(scope="module")
def samples() -> dict[str, Any]:
    """[L, 1, N], and [L, F, N] for dw; float64 already, which spares numpy and numexpr the conversion."""
    rng = np.random.default_rng(0)
    plain = {name: rng.standard_normal((UNITS, 1, SIDE * SIDE)) for name in ("w", "g", "g2", "h")}
    dw = 0.05 * rng.standard_normal((UNITS, FORMATS, SIDE * SIDE))
    return {name: value.astype(np.float32).astype(np.float64) for name, value in {**plain, "dw": dw}.items()}


@pytest.fixture(scope="module")
def sampled(samples: dict[str, Any]) -> LayerTable:
    def sample(name: str, values: Any) -> Sample:
        axes = ("format", "out", "in", "pos") if name == "dw" else ("out", "in", "pos")
        shape = (FORMATS,) * (name == "dw") + (SIDE, SIDE, 1)
        return Sample(axes, tuple(row.astype(np.float32).reshape(shape) for row in values))

    made = {name: sample(name, values) for name, values in samples.items()}
    blocks = np.tile(np.array([SIDE, SIDE, 1], np.int64), (UNITS, 1))
    dw2 = np.square(samples["dw"]).sum(axis=2)
    return LayerTable(units(), tuple(f"int{bits}" for bits in range(2, 9)), {"dw2": dw2}, made, blocks)


@pytest.mark.parametrize("program", SAMPLES)
@pytest.mark.benchmark(group="samples")
def test_samples(benchmark: Any, program: str, sampled: LayerTable, samples: dict[str, Any]) -> None:
    found = benchmark(tap.Proxy(program).score, sampled)
    np.testing.assert_allclose(found, IN_NUMPY[program](samples), rtol=1e-9)


@pytest.mark.parametrize("program", SAMPLES)
@pytest.mark.benchmark(group="samples")
def test_samples_numpy(benchmark: Any, program: str, samples: dict[str, Any]) -> None:
    benchmark(lambda: IN_NUMPY[program](samples))


@pytest.mark.parametrize("program", SAMPLES)
@pytest.mark.benchmark(group="samples")
def test_samples_numexpr(benchmark: Any, program: str, samples: dict[str, Any]) -> None:
    numexpr = pytest.importorskip("numexpr")
    numexpr.set_num_threads(1)
    sums = [part.removesuffix(" / n").strip() for part in SAMPLES[program].split(";")]
    benchmark(lambda: [numexpr.evaluate(part, local_dict=samples) for part in sums])
