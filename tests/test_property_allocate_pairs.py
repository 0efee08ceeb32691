"""Interactions, ties under several budgets, and many budgets: against every assignment there is."""

from __future__ import annotations

import os

import numpy as np
import pytest

import tap
from oracles import knapsack as twin
from oracles.knapsack import Problem
from tap.errors import InfeasibleError, TableError

CASES = int(os.environ.get("TAP_CASES", "2000"))


def coupled_problem(seed: int, *, n_budgets: int, groups: bool, allowed: bool) -> Problem:
    """Up to six units of up to four formats, with interactions of every strength and sign, tied or real."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(2, 7)), int(rng.integers(1, 5)))
    whole = seed % 3 == 0
    loss = rng.integers(-2, 3, shape).astype(float) if whole else rng.normal(size=shape)
    strength = float(10.0 ** rng.integers(-2, 2))
    interactions: dict[tuple[tuple[int, int], tuple[int, int]], float] = {}
    for _ in range(int(rng.integers(0, 30))):
        left, right = rng.choice(shape[0], 2, replace=False).tolist()
        f, g = rng.integers(0, shape[1], 2).tolist()
        value = float(rng.integers(-2, 3)) if whole else strength * float(rng.normal())
        interactions[(left, f), (right, g)] = value
    costs = {f"c{k}": rng.integers(0, 12, shape) for k in range(n_budgets)}
    if n_budgets and seed % 4 == 0:
        costs["c0"] = costs["c0"] / 7.0
    near = rng.integers(0, shape[1], shape[0])
    budgets = {}
    for name, cost in costs.items():
        total = float(cost[np.arange(shape[0]), near].sum())
        budgets[name] = total * 1.001 if cost.dtype == float else int(total + rng.integers(-3, 4))
    ties = [[0, shape[0] - 1]] if groups else []
    mask = None
    if allowed:
        mask = rng.random(shape) < 0.7
        mask[:, int(rng.integers(0, shape[1]))] = True
    return Problem(loss, costs, budgets, ties, mask, interactions)


def solve(problem: Problem, **options: object) -> tap.Allocation:
    return tap.allocate(
        problem.loss,
        dict(problem.costs),
        dict(problem.budgets),
        groups=problem.groups or None,
        allowed=problem.allowed,
        interactions=problem.interactions,
        **options,
    )


@pytest.mark.parametrize("groups", [False, True])
@pytest.mark.parametrize("n_budgets", [0, 1, 2])
def test_interactions_agree_with_enumeration(n_budgets: int, groups: bool) -> None:
    infeasible = 0
    for seed in range(CASES):
        problem = coupled_problem(seed, n_budgets=n_budgets, groups=groups, allowed=seed % 2 == 0)
        best = twin.optimum(problem)
        if best is None:
            infeasible += 1
            with pytest.raises(InfeasibleError):
                solve(problem)
            continue
        plan = solve(problem)
        size = np.abs(problem.loss).sum() + sum(map(abs, problem.interactions.values()))
        assert plan.status == "optimal", seed
        assert plan.objective == pytest.approx(best, abs=1e-12 * size), seed
        assert plan.objective == pytest.approx(
            float(problem.objective(plan.choice[None])[0]), abs=1e-12 * size
        )
        assert problem.feasible(plan.choice[None])[0], seed
        assert best - 1e-9 * size <= plan.bound <= best + 1e-13 * size, seed
    assert infeasible < CASES // 2


def test_a_budget_that_good_choices_meet_exactly() -> None:
    """What is overspent is zero or one unit of costs up to 1e9: no price takes the digits of the losses."""
    for seed in range(max(200, CASES // 10)):
        rng = np.random.default_rng(seed)
        shape = (int(rng.integers(3, 7)), int(rng.integers(2, 5)))
        loss = rng.normal(size=shape)
        interactions: dict[tuple[tuple[int, int], tuple[int, int]], float] = {}
        for _ in range(int(rng.integers(3, 20))):
            left, right = rng.choice(shape[0], 2, replace=False).tolist()
            f, g = rng.integers(0, shape[1], 2).tolist()
            interactions[(left, f), (right, g)] = float(rng.normal()) * 10.0 ** int(rng.integers(-1, 2))
        cost = rng.integers(1, 10 ** int(rng.integers(1, 10)), shape)
        near = loss.argmin(1) if seed % 2 else rng.integers(0, shape[1], shape[0])
        budget = int(cost[np.arange(shape[0]), near].sum())
        problem = Problem(loss, {"c": cost}, {"c": budget}, [], None, interactions)
        plan, best = solve(problem), twin.optimum(problem)
        assert plan.status == "optimal", seed
        assert plan.objective == pytest.approx(best, abs=1e-9), seed


def test_few_nodes_with_interactions_never_lie() -> None:
    stopped = 0
    for seed in range(CASES // 10):
        rng = np.random.default_rng(seed)
        loss, cost = rng.normal(size=(7, 3)), rng.integers(1, 9, (7, 3))
        pairs = {
            ((a, f), (b, g)): float(rng.normal())
            for a in range(7)
            for b in range(a + 1, 7)
            for f in range(3)
            for g in range(3)
        }
        problem = Problem(loss, {"c": cost}, {"c": int(cost.mean(1).sum())}, (), None, pairs)
        best, plan, again = twin.optimum(problem), solve(problem, node_limit=3), solve(problem, node_limit=3)
        assert best is not None
        assert plan.bound <= best + 1e-12
        assert plan.objective >= best - 1e-12
        assert (plan.status, plan.choice.tolist()) == (again.status, again.choice.tolist())
        if plan.status == "optimal":
            assert plan.objective == pytest.approx(best, abs=1e-12)
        stopped += plan.status == "feasible"
    assert stopped > 0


@pytest.mark.parametrize("n_budgets", [1, 2])
def test_sixty_units_of_four_formats_are_solved(n_budgets: int) -> None:
    """Terms that change the plan, as they do between neighbouring layers and weakly between all."""
    rng = np.random.default_rng(1)
    loss = np.exp(1.5 * rng.normal(size=(60, 1))) * 0.25 ** np.array([2, 3, 4, 8])
    numel = rng.integers(1000, 100_000, (60, 2))
    costs = {
        "bytes": numel[:, :1] * np.array([2, 3, 4, 8]),
        "bops": numel[:, 1:] * np.array([4, 9, 16, 64]),
    }
    costs = {name: costs[name] for name in list(costs)[:n_budgets]}
    budgets = {name: int(0.6 * c.min(1).sum() + 0.4 * c.max(1).sum()) for name, c in costs.items()}
    pairs = {}
    for a in range(60):
        for b in range(a + 1, 60):
            share = (0.3 if b == a + 1 else 0.01) * rng.normal()
            for f in range(4):
                for g in range(4):
                    pairs[(a, f), (b, g)] = float(2 * share * np.sqrt(loss[a, f] * loss[b, g]))
    plan = tap.allocate(loss, costs, budgets, interactions=pairs, node_limit=2_000_000)
    alone = tap.allocate(loss, costs, budgets)
    problem = Problem(loss, costs, budgets, (), None, pairs)
    assert plan.status == "optimal"
    assert plan.gap < 1e-8
    assert plan.objective <= float(problem.objective(alone.choice[None])[0])
    assert plan.objective == pytest.approx(float(problem.objective(plan.choice[None])[0]), rel=1e-12)


def test_excluded_units_have_no_interactions() -> None:
    pairs = {((0, 1), (1, 1)): -5.0, ((0, 0), (2, 0)): -9.0}
    plan = tap.allocate([[0.0, 1.0]] * 3, {}, {}, interactions=pairs, excluded=[2])
    assert plan.choice.tolist() == [1, 1, -1]
    assert plan.objective == -3.0


@pytest.mark.parametrize(
    ("interactions", "message"),
    [
        ({((0, 0), (0, 1)): 1.0}, "one unit twice"),
        ({((0, 0), (5, 1)): 1.0}, "no unit 5"),
        ({((0, 0), (1, 7)): 1.0}, "no format 7"),
        ({((0, 0), (1, 1)): float("nan")}, "not finite"),
        ({(0, 1): 1.0}, "is not"),
    ],
)
def test_wrong_interactions_are_clear_errors(interactions: dict, message: str) -> None:
    with pytest.raises(TableError, match=message):
        tap.allocate(np.zeros((2, 2)), {}, {}, interactions=interactions)
    with pytest.raises(TableError, match="objective"):
        tap.allocate(np.zeros((2, 2)), {}, {}, interactions={((0, 0), (1, 1)): 1.0}, objective="max")


@pytest.mark.parametrize("n_budgets", [1, 2, 3])
def test_ties_take_the_cheapest_cost_after_cost(n_budgets: int) -> None:
    for seed in range(CASES):
        rng = np.random.default_rng(seed)
        shape = (int(rng.integers(1, 6)), int(rng.integers(1, 4)))
        loss = rng.integers(-1, 3, shape).astype(float)
        if seed % 5 == 0:
            loss = np.round(rng.normal(size=shape), 1)
        costs = {f"c{k}": rng.integers(0, 6, shape) for k in range(n_budgets)}
        budgets = {name: int(c.mean(1).sum() + rng.integers(-2, 4)) for name, c in costs.items()}
        problem = Problem(loss, costs, budgets)
        choices = problem.choices()
        choices = choices[problem.feasible(choices)]
        if not len(choices):
            with pytest.raises(InfeasibleError):
                tap.allocate(loss, costs, budgets, objective="lexicographic")
            continue
        losses = problem.objective(choices)
        tied = choices[losses <= losses.min() + 1e-9]
        expected = min(tuple(int(c[np.arange(shape[0]), row].sum()) for c in costs.values()) for row in tied)
        plan = tap.allocate(loss, costs, budgets, objective="lexicographic")
        assert plan.status == "optimal", seed
        assert plan.objective == pytest.approx(losses.min(), abs=1e-12)
        assert tuple(plan.used.values()) == expected, seed


def test_more_than_five_budgets_agree_with_enumeration() -> None:
    for seed in range(CASES):
        rng = np.random.default_rng(seed)
        shape, m = (int(rng.integers(2, 7)), int(rng.integers(2, 4))), int(rng.integers(6, 12))
        mask = rng.random((m, shape[0], 1)) < 0.5
        costs = {f"live{k}": rng.integers(0, 9, shape) * mask[k] for k in range(m)}
        budgets = {name: int(c.mean(1).sum() + rng.integers(-1, 5)) for name, c in costs.items()}
        problem = Problem(rng.normal(size=shape), costs, budgets)
        best = twin.optimum(problem)
        if best is None:
            with pytest.raises(InfeasibleError):
                tap.allocate(problem.loss, costs, budgets)
            continue
        plan = tap.allocate(problem.loss, costs, budgets)
        assert plan.status == "optimal"
        assert plan.objective == pytest.approx(best, abs=1e-12)
        assert plan.bound <= best + 1e-12
