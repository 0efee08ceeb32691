"""Times `tap.allocate` and `tap.frontier` as a Python user calls them: the fastest of a few calls a seed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest

import tap
from tap import _core

SEEDS = 20
CALLS = 3
SIZES = [(54, 1), (224, 1), (1000, 1), (54, 2), (224, 2)]


def _times(family: str, units: int, run: Callable[..., None]) -> list[float]:
    """Milliseconds of each seed, sorted."""
    times = []
    for seed in range(SEEDS):
        tables = _core.knapsack_instance(family, units, seed)
        calls = []
        for _ in range(CALLS):
            started = time.perf_counter()
            run(*tables)
            calls.append(1e3 * (time.perf_counter() - started))
        times.append(min(calls))
    return sorted(times)


def _solve(n_budgets: int, limit: float = 2.0) -> Callable[..., None]:
    def run(loss, *costs) -> None:
        tables = {str(k): cost for k, cost in enumerate(costs[:n_budgets])}
        budgets = {k: float(0.6 * c.min(1).sum() + 0.4 * c.max(1).sum()) for k, c in tables.items()}
        tap.allocate(loss, tables, budgets, time_limit=limit)

    return run


@pytest.mark.parametrize("family", ["cnn", "llm"])
@pytest.mark.parametrize(("units", "n_budgets"), SIZES)
def test_allocate(benchmark, family: str, units: int, n_budgets: int) -> None:
    times = benchmark.pedantic(_times, args=(family, units, _solve(n_budgets)), rounds=1)
    benchmark.extra_info.update(median_ms=statistics.median(times), slowest_ms=times[-1])
    assert len(times) == SEEDS


@pytest.mark.parametrize("family", ["cnn", "llm"])
def test_whole_frontier(benchmark, family: str) -> None:
    run = lambda loss, cost, *_: tap.frontier(loss, cost)  # noqa: E731
    times = benchmark.pedantic(_times, args=(family, 54, run), rounds=1)
    benchmark.extra_info.update(median_ms=statistics.median(times), slowest_ms=times[-1])


if __name__ == "__main__":
    for family in ("cnn", "llm"):
        for units, n_budgets in [*SIZES, (1000, 2), (54, 3), (224, 3)]:
            times = _times(family, units, _solve(n_budgets, 0.3))
            print(
                f"{family} {units} {n_budgets}: {statistics.median(times):.2f}, {times[-1]:.2f}", flush=True
            )
        times = _times(family, 54, lambda loss, cost, *_: tap.frontier(loss, cost))
        print(f"{family} 54 frontier: {statistics.median(times):.2f}, {times[-1]:.2f}", flush=True)
    for family in ("cnn", "llm"):
        times = _times(family, 100_000, _solve(1))
        print(f"{family} 100000 1: {statistics.median(times):.2f}, {times[-1]:.2f}", flush=True)
