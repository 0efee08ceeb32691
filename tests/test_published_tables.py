"""The tables that HAWQ-V3 published for ResNet-18 and ResNet-50: plans against the exhaustive optima."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import tap
from oracles import knapsack as twin
from oracles.knapsack import Problem

TABLES = json.loads((Path(__file__).parent / "golden" / "hawq.json").read_text())
OPTIMA = {
    ("bytes", 0.25): ("8" * 14 + "44444", -1.189414),
    ("bytes", 0.5): ("8" * 15 + "4844", -1.233207),
    ("bytes", 0.75): ("8" * 13 + "488884", -1.274273),
    ("bops", 0.25): ("8884848" + "4" * 12, -0.847289),
    ("bops", 0.5): ("888488884888" + "4" * 7, -1.092024),
    ("bops", 0.75): ("8888888848888484884", -1.227748),
}
"""Bits and objective by looking at every choice of ResNet-18."""


def published(network: str, cost: str, fraction: float) -> Problem:
    """Loss against int4 everywhere, one cost, and its budget at a fraction of its range."""
    rows = {name: np.array(row) for name, row in TABLES[network].items()}
    omega = np.stack([rows["trace"] * rows["error_4"], rows["trace"] * rows["error_8"]], axis=1)
    costs = {
        "bytes": rows["params"][:, None] * np.array([4, 8]) // 8,
        "bops": rows["macs"][:, None] * np.array([16, 64]),
        "ms": np.stack([rows["ms_4"], rows["ms_8"]], axis=1),
    }[cost]
    least, most = costs.min(1).sum(), costs.max(1).sum()
    budget = float(least + fraction * (most - least))
    return Problem(omega - omega[:, :1], {cost: costs}, {cost: budget}, TABLES[network]["tied"])


def solve(problem: Problem, **options: object) -> tap.Allocation:
    plan = tap.allocate(
        problem.loss, dict(problem.costs), dict(problem.budgets), groups=problem.groups, **options
    )
    assert plan.status == "optimal"
    assert plan.gap < 1e-12
    assert all(plan.choice[a] == plan.choice[b] for a, b in problem.groups)
    return plan


@pytest.mark.parametrize("objective", ["sum", "lexicographic"])
@pytest.mark.parametrize(("cost", "fraction"), OPTIMA)
def test_resnet18_has_the_exhaustive_optima(cost: str, fraction: float, objective: str) -> None:
    plan = solve(published("resnet18", cost, fraction), objective=objective)
    bits, value = OPTIMA[cost, fraction]
    assert "".join("48"[c] for c in plan.choice) == bits
    assert plan.objective == pytest.approx(value, abs=6e-7)


@pytest.mark.parametrize("fraction", [0.25, 0.5, 0.75])
def test_resnet18_within_its_latency_agrees_with_enumeration(fraction: float) -> None:
    problem = published("resnet18", "ms", fraction)
    assert solve(problem).objective == pytest.approx(twin.optimum(problem), rel=1e-12)


@pytest.mark.parametrize("fraction", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("cost", ["bytes", "bops"])
def test_resnet50_agrees_with_a_table_of_every_total(cost: str, fraction: float) -> None:
    problem = published("resnet50", cost, fraction)
    costs = problem.costs[cost]
    step = int(np.gcd.reduce(costs.ravel()))
    budget = int(problem.budgets[cost] // step)
    coarse = Problem(problem.loss, {cost: costs // step}, {cost: budget}, problem.groups)
    assert solve(problem).objective == pytest.approx(twin.by_table(coarse, cost), rel=1e-12)
