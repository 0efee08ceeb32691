"""The allocator as Python users meet it: tables in, plans with certificates out, clear errors."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

import tap
from tap import _core
from tap.errors import BudgetError, InfeasibleError, TableError


def _highs(loss: np.ndarray, costs: list[np.ndarray], budgets: list[float]) -> float:
    n_units, n_formats = loss.shape
    one_each = np.kron(np.eye(n_units), np.ones(n_formats))
    rows = np.stack([cost.ravel() / budget for cost, budget in zip(costs, budgets, strict=True)])
    scale = np.abs(loss).mean()
    found = milp(
        loss.ravel() / scale,
        constraints=[LinearConstraint(rows, ub=1.0), LinearConstraint(one_each, lb=1.0, ub=1.0)],
        integrality=np.ones(loss.size),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0.0},
    )
    assert found.status == 0
    return float(found.fun * scale)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("family", ["cnn", "llm"])
@pytest.mark.parametrize(("units", "n_budgets"), [(40, 1), (100, 1), (20, 2)])
def test_middle_sizes_agree_with_highs(family: str, units: int, n_budgets: int, seed: int) -> None:
    loss, *tables = _core.knapsack_instance(family, units, seed)
    costs = dict(zip(("bytes", "bops"), tables[:n_budgets], strict=False))
    budgets = {name: float(0.6 * cost.min(1).sum() + 0.4 * cost.max(1).sum()) for name, cost in costs.items()}
    plan = tap.allocate(loss, costs, budgets)
    reference = _highs(loss, list(costs.values()), list(budgets.values()))
    assert plan.status == "optimal"
    assert plan.objective == pytest.approx(reference, rel=1e-6)
    assert plan.objective <= reference * (1 + 1e-9)
    assert all(plan.used[name] <= budgets[name] for name in budgets)
    assert plan.objective == pytest.approx(loss[np.arange(units), plan.choice].sum(), rel=1e-14)


def test_groups_forced_forbidden_excluded_and_weights_agree_with_enumeration() -> None:
    rng = np.random.default_rng(5)
    for _ in range(300):
        loss, bits = rng.normal(size=(5, 3)), rng.integers(0, 9, (5, 3))
        weights, budget = rng.random(5), int(rng.integers(5, 30))
        fitting = [
            (float((loss[range(4), c] * weights[:4]).sum()), c)
            for c in itertools.product(range(3), repeat=4)
            if c[0] == c[2] and c[1] != 2 and c[3] == 1 and bits[range(4), c].sum() <= budget
        ]
        options = {
            "groups": [[0, 2]],
            "forced": {3: 1},
            "forbidden": [(1, 2)],
            "excluded": [4],
            "weights": weights,
        }
        if not fitting:
            with pytest.raises(InfeasibleError):
                tap.allocate(loss, {"bits": bits}, {"bits": budget}, **options)
            continue
        plan = tap.allocate(loss, {"bits": bits}, {"bits": budget}, **options)
        assert plan.objective == pytest.approx(min(fitting)[0], abs=1e-13)
        assert plan.choice[4] == -1
        assert plan.used["bits"] == bits[range(4), plan.choice[:4]].sum()


def test_labels_and_lists_tie_the_same_units() -> None:
    loss, bits = np.random.default_rng(0).random((4, 3)), np.array([[2, 4, 8]] * 4)
    by_list = tap.allocate(loss, {"bits": bits}, {"bits": 20}, groups=[[0, 3], [1, 2]])
    by_label = tap.allocate(loss, {"bits": bits}, {"bits": 20}, groups=[9, -1, -1, 9])
    assert by_list.choice.tolist() == by_label.choice.tolist()
    assert by_list.choice[0] == by_list.choice[3]


def test_integers_near_two_to_the_53_are_added_exactly() -> None:
    big = 2**53 - 1
    bits = np.array([[big, big - 1], [big, big - 1], [big, big - 1]])
    loss = np.array([[0.0, 1.0], [0.0, 2.0], [0.0, 4.0]])
    plan = tap.allocate(loss, {"bits": bits}, {"bits": 3 * big - 1})
    assert plan.choice.tolist() == [1, 0, 0]
    assert plan.used["bits"] == 3 * big - 1


def test_a_real_budget_that_is_a_sum_in_another_order_fits() -> None:
    cost = np.array([[0.1, 9.0], [0.2, 9.0]])
    plan = tap.allocate([[1.0, 0.0], [1.0, 0.0]], {"ms": cost}, {"ms": 0.3})
    assert plan.choice.tolist() == [0, 0]


def test_infeasible_says_how_far_each_budget_is() -> None:
    loss, a, b = np.zeros((2, 2)), np.array([[1, 5], [1, 5]]), np.array([[5, 1], [5, 1]])
    with pytest.raises(InfeasibleError, match="a needs at least 2 of 1") as caught:
        tap.allocate(loss, {"a": a, "b": b}, {"a": 1, "b": 10})
    assert caught.value.smallest == {"a": 2, "b": 2}
    with pytest.raises(InfeasibleError, match="not all together") as caught:
        tap.allocate(loss, {"a": a, "b": b}, {"a": 3, "b": 3})
    assert caught.value.smallest == {"a": 2, "b": 2}


def test_a_limit_shows_in_the_status_and_the_bound_stays_true() -> None:
    loss, cost, bops, latency = _core.knapsack_instance("cnn", 40, 1)
    costs = {"bytes": cost, "bops": bops, "ms": latency}
    budgets = {name: float(0.6 * c.min(1).sum() + 0.4 * c.max(1).sum()) for name, c in costs.items()}
    stopped = tap.allocate(loss, costs, budgets, node_limit=50)
    again = tap.allocate(loss, costs, budgets, node_limit=50)
    best = _highs(loss, list(costs.values()), list(budgets.values()))
    assert stopped.status in ("feasible", "limit")
    assert stopped.bound <= best * (1 + 1e-9)
    assert stopped.objective >= best * (1 - 1e-9)
    assert stopped.gap > 0
    assert again.choice.tolist() == stopped.choice.tolist()
    one = {"bytes": budgets["bytes"]}
    exact, early = tap.allocate(loss, costs, one), tap.allocate(loss, costs, one, node_limit=1)
    assert early.status == "feasible"
    assert early.bound <= exact.objective <= early.objective
    assert early.objective <= early.bound + early.gap * early.objective * (1 + 1e-9)


def test_no_budget_takes_the_least_loss() -> None:
    plan = tap.allocate([[2.0, 1.0], [1.0, 3.0]], {"bits": [[2, 4], [2, 4]]}, {})
    assert plan.choice.tolist() == [1, 0]
    assert plan.used == {"bits": 6}
    assert plan.prices == {}
    loose = tap.allocate([[2.0, 1.0], [1.0, 3.0]], {"bits": [[2, 4], [2, 4]]}, {"bits": math.inf})
    assert loose.choice.tolist() == [1, 0]
    assert loose.prices == {"bits": 0.0}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"loss": [[1.0, math.nan]]}, TableError, "loss of unit 0 in format 1 is nan"),
        ({"loss": [1.0, 2.0]}, TableError, "shape"),
        ({"loss": np.zeros((0, 2))}, TableError, "shape"),
        ({"loss": [["a", "b"]]}, TableError, "numbers"),
        ({"costs": {"bits": [[1, -2]]}}, TableError, "cost 'bits' of unit 0 in format 1 is -2"),
        ({"costs": {"bits": [[1.5, math.inf]]}}, TableError, "is inf"),
        ({"costs": {"bits": [[1, 2, 3]]}}, TableError, "shape"),
        ({"budgets": {"bits": math.nan}}, BudgetError, "not a number"),
        ({"budgets": {"bits": "4"}}, BudgetError, "not a number"),
        ({"budgets": {"bytes": 3}}, TableError, "no cost of that name"),
        ({"allowed": [[False, False]]}, TableError, "no allowed format"),
        ({"allowed": [[True]]}, TableError, "shape"),
        ({"groups": [0, 1]}, TableError, "groups has 2 labels"),
        ({"forced": {0: 5}}, TableError, "no format 5"),
        ({"forbidden": [(3, 0)]}, TableError, "no unit 3"),
        ({"weights": [-1.0]}, TableError, "weights"),
    ],
)
def test_bad_input_is_a_clear_error(change: dict, error: type[Exception], message: str) -> None:
    call = {"loss": [[1.0, 2.0]], "costs": {"bits": [[1, 2]]}, "budgets": {"bits": 5}, **change}
    loss, costs, budgets = call.pop("loss"), call.pop("costs"), call.pop("budgets")
    with pytest.raises(error, match=message):
        tap.allocate(loss, costs, budgets, **call)


def test_forbidden_cells_may_hold_anything() -> None:
    plan = tap.allocate([[1.0, math.nan]], {"ms": [[1.5, math.inf]]}, {"ms": 2.0}, allowed=[[True, False]])
    assert plan.choice.tolist() == [0]


def test_the_frontier_holds_every_ladder() -> None:
    loss, cost, _, _ = _core.knapsack_instance("llm", 20, 3)
    whole = tap.frontier(loss, cost)
    assert (np.diff(whole.cost) > 0).all()
    assert (np.diff(whole.loss) < 0).all()
    assert whole.supported[0]
    assert whole.supported[-1]
    budgets = np.linspace(whole.cost[0], whole.cost[-1], 23)
    ladder = tap.frontier(loss, cost, budgets=[float(budget) for budget in budgets])
    for budget, value in zip(budgets, ladder.loss, strict=True):
        assert value == pytest.approx(whole.loss[whole.cost <= budget].min(), rel=1e-12)
    point = len(whole) // 2
    assert loss[np.arange(20), whole.choice(point)].sum() == pytest.approx(whole.loss[point], rel=1e-12)
    with pytest.raises(InfeasibleError, match="smallest"):
        tap.frontier(loss, cost, budgets=[0])


def test_max_makes_the_worst_unit_best() -> None:
    rng = np.random.default_rng(8)
    for _ in range(300):
        loss, bits = rng.integers(-3, 9, (4, 3)).astype(float), rng.integers(0, 9, (4, 3))
        ops, budget = rng.integers(0, 9, (4, 3)), {"bits": int(rng.integers(4, 24)), "ops": 18}
        fitting = [
            (loss[range(4), c].max(), loss[range(4), c].sum())
            for c in itertools.product(range(3), repeat=4)
            if c[0] == c[3] and bits[range(4), c].sum() <= budget["bits"] and ops[range(4), c].sum() <= 18
        ]
        call = {"groups": [[0, 3]], "objective": "max"}
        if not fitting:
            with pytest.raises(InfeasibleError):
                tap.allocate(loss, {"bits": bits, "ops": ops}, budget, **call)
            continue
        plan = tap.allocate(loss, {"bits": bits, "ops": ops}, budget, **call)
        assert (plan.objective, plan.bound, plan.status) == (min(fitting)[0], min(fitting)[0], "optimal")
        assert loss[range(4), plan.choice].sum() == min(fitting)[1]


def test_alternatives_are_the_best_that_differ_enough() -> None:
    rng = np.random.default_rng(9)
    for _ in range(100):
        loss, bits = rng.random((4, 3)), rng.integers(1, 9, (4, 3))
        choices = [c for c in itertools.product(range(3), repeat=4) if bits[range(4), c].sum() <= 22]
        plan = tap.allocate(loss, {"bits": bits}, {"bits": 22}, top_k=3, min_different=2)
        seen = [plan.choice]
        for other in plan.alternatives:
            apart = [c for c in choices if all((np.array(c) != s).sum() >= 2 for s in seen)]
            assert other.objective == pytest.approx(min(loss[range(4), c].sum() for c in apart), rel=1e-12)
            assert other.status == "optimal"
            seen.append(other.choice)
        apart = [c for c in choices if all((np.array(c) != s).sum() >= 2 for s in seen)]
        assert len(seen) == 3 or not apart
