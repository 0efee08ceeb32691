"""No call of the core ends in a panic, whatever it is given: an answer, or an error that can be caught."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tap import _core
from tap.errors import TapError

NUMBERS = (0.0, -0.0, 1.0, np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324)
TEXTS = ("", "\0", "score = ", "é", "\u2028", "9" * 1_000_000, "score = w", "(" * 5000, "score = bits\0")
SPANS = ((0, 0), (1, 0), (0, 2**32 - 1), (2**32 - 1, 2**32 - 1), (1, 2), (5, 3))
ROWS = ((0, 0), (0, 3), (3, 0), (1, 1), (2, 3), (3, 300))


def survives(call: Callable[..., Any], *arguments: Any) -> None:
    """A panic would be none of these errors, and would fail the test."""
    with contextlib.suppress(ValueError, TypeError, OverflowError, IndexError, TapError):
        call(*arguments)


def odd(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).choice(NUMBERS, shape)


def table(units: int = 3, formats: int = 2, seed: int = 0) -> _core.Table:
    sizes = np.ones((units, 3), np.int64)
    columns = [("dw2", odd((units, formats), seed)), ("trace", odd((units,), seed))]
    with np.errstate(over="ignore"):
        samples = [("w", ["out", "in", "pos"], odd((units,), seed).astype(np.float32))]
    names = [f"u{place}" for place in range(units)]
    return _core.Table(names, formats, sizes * 2, sizes, columns, samples)


@pytest.mark.parametrize("name", ["spearman", "kendall", "weighted_tau", "top_k"])
def test_rank_kernels(name: str) -> None:
    kernel = getattr(_core, name)
    more = [(0,), (1,), (2**63,)] if name == "top_k" else [()]
    for shape, size, seed, rest in itertools.product(ROWS, (0, 1, 3, 7), range(3), more):
        survives(kernel, odd(shape, seed), odd((size,), seed), *rest)
    survives(kernel, odd((4, 6), 0)[:, ::2], odd((3,), 0), *more[0])


def test_texts() -> None:
    for text in TEXTS:
        survives(_core.compile, text)
        survives(_core.compile, text, [("mine", ["out"]), ("", []), ("w", ["colour"]), ("9", [])])
        survives(_core.format_source, text)
        survives(_core.vary, 1, [text], 5)
        survives(_core.grammar, text)
        for span, kind in itertools.product(SPANS, ("syntax", "nonsense")):
            survives(_core.error_json, text, kind, span, text[:50], "")


def test_random_programs_and_offspring() -> None:
    for count, ops in itertools.product((0, 1, 20), (0, 1, 300)):
        for inputs in (None, [], ["w"], ["bits"], ["x_sq"], ["nonsense"]):
            survives(_core.random_programs, 2**64 - 1, count, ops, inputs)
            survives(_core.vary, 0, ["score = w", "score = bits"], count, inputs)
            survives(_core.vary, 0, [], count, inputs)
    survives(_core.random_programs, -1, 1, 1)
    survives(_core.vary, 0, ["score = mean(w)"], 3, None, {"operators": 0, "source_bytes": 0, "nesting": 0})


def test_limits() -> None:
    names = [name for name, _ in _core.limits()]
    for name, value in itertools.product([*names, "", "é"], (0, 1, 2**64 - 1, -1, 2**64, 1.5, "1", None)):
        survives(_core.compile, "score = mean(w) * bits ** 2", None, {name: value})
    survives(_core.compile, "bits", None, {1: 1})


def test_tables() -> None:
    one = np.ones((1, 3), np.int64)
    for sizes in (one * 0, -one, one * 2**62, np.ones((0, 3), np.int64), np.ones((1, 2), np.int64)):
        survives(_core.Table, ["u"], 1, sizes, sizes, [], [])
        survives(_core.Table, ["u"], 1, one, sizes, [], [])
        survives(_core.Table, ["u"], 1, sizes, one, [("numel", np.ones(1))], [])
    for formats, shape in itertools.product(
        (0, 1, 2**62, 2**64 - 1), ((), (0,), (1,), (1, 1), (1, 2), (1, 1, 1))
    ):
        for name in ("bits", "dw2", "trace", "w", "mine", "", "sum", "score", "9"):
            survives(_core.Table, ["u"], formats, one, one, [(name, np.ones(shape))], [])
    for axes, size in itertools.product(([], ["out"], ["out", "out"], ["format"], ["colour"]), (0, 1, 2)):
        survives(_core.Table, [], 2, one, one, [], [("w", axes, np.ones(size, np.float32))])
    survives(_core.Table, ["u"], 1, one, one, [(f"x{place}", np.ones(1)) for place in range(70_000)], [])


def test_programs_over_odd_numbers() -> None:
    sources = _core.random_programs(1, 60, 8, ["dw2", "trace", "w"])
    for seed, formats in itertools.product(range(6), (1, 3)):
        layers = table(3, formats, seed)
        for source in sources:
            survives(_core.compile(source).score, layers)


def test_screening() -> None:
    layers = table()
    empty, places = np.zeros(0, np.int64), np.arange(6, dtype=np.uint32)
    truth = _core.Truth.sensitivity(np.arange(6.0), places, 2, empty, [])
    for threads in (0, 1, 2, 2**63):
        survives(_core.screen_programs, [*TEXTS, "score = dw2"], [(layers, truth)], threads)
        survives(_core.screen_programs, [], [(layers, truth)], threads)
        survives(_core.screen_programs, ["score = dw2"], [], threads)
    for seed in range(5):
        survives(truth.regret, odd((3, 6), seed))
    for shape in ROWS:
        survives(truth.regret, np.ones(shape))


def test_truths() -> None:
    huge = 2**63 - 1
    for seed, size, formats in itertools.product(range(3), (0, 1, 6), (0, 1, 2, 5, 2**63)):
        values = odd((size,), seed)
        for cost in (0, 1, -1, huge, -huge):
            for budgets in ([], [0], [huge], [-huge, 3, huge]):
                costs, places = np.full(size, cost, np.int64), np.arange(size, dtype=np.uint32)
                survives(_core.Truth.sensitivity, values, places, formats, costs, budgets)
                survives(_core.Truth.sensitivity, np.arange(size + 0.0), places, formats, costs, budgets)
        far = np.full((size, 2), 2**32 - 1, np.uint32)
        survives(_core.Truth.configurations, far, values, np.arange(size))
        survives(_core.Truth.configurations, far[:, :0], values, np.full(size, -huge))
    far_away = _core.Truth.sensitivity(
        np.arange(2.0), np.array([0, 2**32 - 1], np.uint32), 1, np.zeros(0, np.int64), []
    )
    survives(_core.screen_programs, ["score = dw2"], [(table(), far_away)], 1)
    survives(far_away.regret, np.ones((1, 2)))


def points(*problem: Any) -> None:
    """All that can be asked of a frontier."""
    found = _core.ParetoPoints(*problem, 0.1, 1000)
    for point in (0, 1, 2**63):
        survives(found.choice, point)
    assert len(found.cost) == len(found.loss) == len(found.supported)


def kept(*problem: Any) -> None:
    """A budget that is solved again."""
    for lexicographic in (False, True):
        solver = _core.KeptKnapsack(*problem, lexicographic)
        for budget, nodes in itertools.product(
            (*NUMBERS, 2.0**63, -(2.0**63), problem[1][1], 0), (0, 1000, None)
        ):
            survives(solver.solve, budget, 0.05, nodes)


def interactions(loss: np.ndarray, allowed: np.ndarray, groups: np.ndarray) -> None:
    """Pairs of units that are not there, of numbers that are none, of rows that do not fit."""
    for rows, size in itertools.product((0, 1, 3), (0, 1, 3)):
        for unit in (0, 1, 2**32 - 1):
            pairs = (np.full((rows, 4), unit, np.uint32), odd((size,), unit % 7))
            survives(_core.knapsack, loss, [], allowed, groups, "sum", 0.05, 100, pairs)
    survives(_core.knapsack, loss, [], allowed, groups, "sum", 0.05, 100, (pairs[0][:, :2], pairs[1]))


def test_allocator() -> None:
    huge = 2**63 - 1
    for shape, seed in itertools.product(((0, 0), (0, 2), (2, 0), (1, 1), (3, 2)), range(4)):
        loss, allowed, groups = odd(shape, seed), np.ones(shape, bool), np.arange(shape[0], dtype=np.uint32)
        for cost, budget in itertools.product(
            (0, 1, -1, huge, -huge), (0, 1, -1, huge, 2**127 - 1, -(2**127))
        ):
            costs = (np.full(shape, cost, np.int64), budget)
            survives(_core.knapsack, loss, [costs], allowed, groups, "sum", 0.1, 1000)
            survives(
                _core.knapsack, np.ones(shape), [costs, costs], ~allowed, groups, "lexicographic", 0.1, 1000
            )
            survives(points, np.ones(shape), costs, allowed, groups)
            survives(kept, loss, costs, allowed, groups)
            survives(kept, np.ones(shape), costs, allowed, groups)
        real = (odd(shape, seed + 1), float(NUMBERS[seed]))
        for time_limit in (None, 0.0, -1.0, np.nan, np.inf):
            survives(_core.knapsack, np.ones(shape), [real], allowed, groups, "sum", time_limit, 0)
        interactions(loss, allowed, groups)
        interactions(np.ones(shape), allowed, groups)
        survives(_core.knapsack, loss, [], allowed, groups, "sum", 0.1, 10)
        survives(_core.knapsack, loss, [], allowed[:1], groups[:1], "sum", 0.1, 10)
        survives(_core.knapsack, loss, [], allowed, groups + 2**31, "nonsense", 0.1, 10)
