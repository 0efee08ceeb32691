"""The frontier and the ladder as Python users meet them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tap
from tap import _core
from tap.errors import InfeasibleError, TableError


@pytest.mark.parametrize("family", ["cnn", "llm"])
def test_each_point_is_the_best_at_its_cost(family: str) -> None:
    loss, cost, _, _ = _core.knapsack_instance(family, 30, 5)
    points, ladder = tap.frontier(loss, cost), tap.Ladder(loss, cost)
    assert (np.diff(points.cost) > 0).all()
    assert (np.diff(points.loss) < 0).all()
    rng = np.random.default_rng(5)
    for at in rng.integers(1, len(points), 60):
        here, below = ladder.at(points.cost[at]), ladder.at(points.cost[at] - 1)
        choice = points.choice(int(at))
        assert cost[np.arange(30), choice].sum() == points.cost[at] == here.used["cost"]
        assert loss[np.arange(30), choice].sum() == pytest.approx(points.loss[at], rel=1e-12)
        assert here.objective == pytest.approx(points.loss[at], rel=1e-12)
        assert below.objective == pytest.approx(points.loss[at - 1], rel=1e-12)
        assert below.used["cost"] == points.cost[at - 1]


def test_options_restrict_the_frontier_as_they_do_a_plan() -> None:
    rng = np.random.default_rng(6)
    for _ in range(200):
        loss, cost = rng.normal(size=(5, 3)), rng.integers(0, 9, (5, 3))
        options = {
            "groups": [[0, 3]],
            "forced": {1: 2},
            "forbidden": [(2, 0)],
            "excluded": [4],
            "weights": rng.uniform(0, 2, 5),
        }
        pairs = set()
        for c in itertools.product(range(3), repeat=4):
            if c[0] == c[3] and c[1] == 2 and c[2] != 0:
                value = (options["weights"][:4] * loss[range(4), c]).sum()
                pairs.add((int(cost[range(4), c].sum()), float(value)))
        best, expected = np.inf, []
        for total, value in sorted(pairs):
            if value < best - 1e-12:
                best = value
                expected.append((total, value))
        points = tap.frontier(loss, cost, **options)
        assert points.cost.tolist() == [total for total, _ in expected]
        assert points.loss == pytest.approx([value for _, value in expected])
        assert (points.choices[:, 4] == -1).all()
        rungs = tap.frontier(loss, cost, budgets=points.cost.tolist(), **options)
        assert rungs.choices.tolist() == points.choices.tolist()
        assert rungs.supported.tolist() == points.supported.tolist()


def test_real_costs_and_limits() -> None:
    rng = np.random.default_rng(7)
    loss, cost = rng.random((12, 4)), rng.random((12, 4))
    points = tap.frontier(loss, cost)
    totals = [cost[np.arange(12), choice].sum() for choice in points.choices]
    assert points.cost == pytest.approx(totals, rel=1e-14)
    assert points.choice(-1).tolist() == points.choices[-1].tolist()
    with pytest.raises(TableError, match="more points"):
        tap.frontier(loss, cost, node_limit=3)
    with pytest.raises(IndexError):
        points.choice(len(points))
    with pytest.raises(InfeasibleError):
        tap.Ladder(loss, cost).at(points.cost[0] * 0.9)


def test_a_ladder_says_what_a_plan_says() -> None:
    loss, cost, _, _ = _core.knapsack_instance("cnn", 40, 2)
    ladder = tap.Ladder(loss, cost)
    for fraction in (0.1, 0.4, 0.8):
        budget = float((1 - fraction) * cost.min(1).sum() + fraction * cost.max(1).sum())
        plan, rung = tap.allocate(loss, {"cost": cost}, {"cost": budget}), ladder.at(budget)
        assert rung.choice.tolist() == plan.choice.tolist()
        assert (rung.status, rung.objective, rung.prices) == (plan.status, plan.objective, plan.prices)
    early = ladder.at(budget, node_limit=1)
    assert early.status in ("feasible", "optimal")
    assert early.bound <= plan.objective <= early.objective
