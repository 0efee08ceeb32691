"""The allocator's plans against every assignment there is, on small problems of every kind."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize

import tap
from oracles import knapsack as twin
from oracles.knapsack import Problem

CASES = int(os.environ.get("TAP_CASES", "2000"))
EXACT = 2.0**53


def rows(rng: np.random.Generator, shape: tuple[int, int], kind: str) -> np.ndarray:
    """Losses [L, F] of one kind."""
    match kind:
        case "falling":
            return np.sort(rng.random(shape), axis=1)[:, ::-1] * 10.0 ** rng.integers(-6, 6)
        case "signed":
            return rng.standard_normal(shape)
        case "tied":
            return rng.integers(-2, 3, shape).astype(float)
        case "zero":
            return np.where(rng.random(shape) < 0.7, 0.0, rng.random(shape))
        case "wide":
            return rng.standard_normal(shape) * 10.0 ** rng.integers(-9, 9, shape)
    raise AssertionError(kind)


LOSSES = ("falling", "signed", "tied", "zero", "wide")


def costs_of(rng: np.random.Generator, shape: tuple[int, int], kind: str) -> np.ndarray:
    """Costs [L, F] of one kind; floats are multiples of 1/1024, so that their sums are exact."""
    match kind:
        case "bits":
            return rng.integers(1, 40, (shape[0], 1)) * np.arange(2, 2 + shape[1])
        case "any":
            return rng.integers(0, 12, shape)
        case "huge":
            return rng.integers(2**52 // shape[0], 2**53 // shape[0], shape)
        case "zero":
            return np.zeros(shape, np.int64)
        case "float":
            return rng.integers(0, 10**6, shape) / 1024.0
        case "irrational":
            return rng.random(shape) * 10.0 ** rng.integers(-3, 4)
    raise AssertionError(kind)


COSTS = ("bits", "any", "huge", "zero", "float", "irrational")


def budget_of(rng: np.random.Generator, costs: np.ndarray, choice: np.ndarray) -> float | int:
    """Mostly the cost of `choice` or near it; sometimes too small for anything, or more than enough."""
    picked = costs[np.arange(len(costs)), choice].sum()
    lowest, highest = costs.min(axis=1).sum(), costs.max(axis=1).sum()
    if np.issubdtype(costs.dtype, np.integer):
        rare = [picked - 1, lowest, lowest - 1, highest, 0]
        return int(rng.choice([picked] * 6 + [picked + 1, picked + 3] + rare))
    if (picked * 1024).is_integer() and rng.random() < 0.5:
        return float(picked)
    share = rng.choice([rng.uniform(0.0, 1.1), -0.1], p=[0.95, 0.05])
    return float(max(lowest + share * (highest - lowest), 0.0))


def groups_of(rng: np.random.Generator, n_units: int) -> list[list[int]]:
    """Some units tied, in any order."""
    order = rng.permutation(n_units)
    cuts = sorted(rng.integers(0, n_units + 1, 2))
    return [part.tolist() for part in np.split(order, cuts)[:2] if len(part) > 1]


def random_problem(
    seed: int, *, n_budgets: int = 1, groups: bool = False, allowed: bool = False, largest: int = 6
) -> Problem:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, largest + 1)), int(rng.integers(1, 5)))
    loss = rows(rng, shape, LOSSES[seed % len(LOSSES)])
    if seed % 7 == 0 and shape[1] > 1:
        loss[:, -1] = loss[:, 0]
    kinds = rng.choice(COSTS, n_budgets)
    costs = {f"c{k}": costs_of(rng, shape, str(kind)) for k, kind in enumerate(kinds)}
    choice = rng.integers(0, shape[1], shape[0])
    budgets = {name: budget_of(rng, cost, choice) for name, cost in costs.items()}
    mask = None
    if allowed:
        mask = rng.random(shape) < 0.7
        mask[np.arange(shape[0]), rng.integers(0, shape[1], shape[0])] = True
    ties = groups_of(rng, shape[0]) if groups else []
    if mask is not None:
        for group in ties:
            mask[group] = mask[group[0]]
    return Problem(loss, costs, budgets, ties, mask)


def solve(problem: Problem, **options: object) -> tap.Allocation:
    return tap.allocate(
        problem.loss,
        costs=dict(problem.costs),
        budgets=dict(problem.budgets),
        groups=problem.groups or None,
        allowed=problem.allowed,
        **options,
    )


def close(a: float, b: float, problem: Problem) -> bool:
    """Equal but for the rounding of one sum of losses."""
    return abs(a - b) <= 1e-12 * np.abs(problem.loss).max(axis=1).sum()


def fits(problem: Problem, choice: np.ndarray) -> bool:
    """Budgets kept: exactly where costs are integers, else but for the rounding of the sum."""
    for name, costs in problem.costs.items():
        total, budget = problem.total(costs, choice[None])[0], problem.budgets[name]
        slack = 0 if np.issubdtype(costs.dtype, np.integer) else 2e-12 * abs(budget)
        if total > budget + slack:
            return False
    return True


def check_certificate(problem: Problem, result: tap.Allocation) -> None:
    """What any answer must keep, optimal or not."""
    choice = np.asarray(result.choice)
    assert choice.shape == (problem.n_units,)
    assert fits(problem, choice)
    if problem.allowed is not None:
        assert problem.allowed[np.arange(problem.n_units), choice].all()
    for group in problem.groups:
        assert len({int(choice[unit]) for unit in group}) == 1
    for name, costs in problem.costs.items():
        assert result.used[name] == pytest.approx(problem.total(costs, choice[None])[0], rel=1e-15)
    assert result.bound <= result.objective
    assert result.gap >= 0


def check_optimal(seed: int, problem: Problem) -> None:
    best = twin.optimum(problem)
    if best is None:
        with pytest.raises(tap.InfeasibleError) as caught:
            solve(problem)
        for name, least in problem.smallest().items():
            assert caught.value.smallest[name] == pytest.approx(float(least), rel=1e-12), seed
        return
    result = solve(problem)
    check_certificate(problem, result)
    assert result.status == "optimal", seed
    assert close(result.objective, best, problem), f"seed {seed}: {result.objective}, optimum {best}"
    recomputed = problem.objective(np.asarray(result.choice)[None])[0]
    assert close(result.objective, recomputed, problem), seed
    slack = 1e-12 * np.abs(problem.loss).max(axis=1).sum()
    assert result.bound <= best + slack, f"seed {seed}: bound {result.bound} above optimum {best}"


@pytest.mark.parametrize("groups", [False, True])
@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize("n_budgets", [1, 2, 3])
def test_every_assignment_was_looked_at(n_budgets: int, groups: bool, allowed: bool) -> None:
    for seed in range(CASES):
        check_optimal(seed, random_problem(seed, n_budgets=n_budgets, groups=groups, allowed=allowed))


def test_no_budget_takes_the_best_of_each_unit() -> None:
    for seed in range(CASES // 10):
        problem = replace(random_problem(seed, allowed=True), costs={}, budgets={})
        check_optimal(seed, problem)


def test_small_integer_costs_by_table() -> None:
    """Larger problems than enumeration reaches: best loss of every exact total, unit by unit."""
    for seed in range(CASES // 20):
        rng = np.random.default_rng(seed)
        shape = (int(rng.integers(10, 30)), 4)
        costs = rng.integers(0, 12, shape)
        budget = int(rng.integers(costs.min(axis=1).sum() - 2, costs.max(axis=1).sum() + 1))
        problem = Problem(rows(rng, shape, LOSSES[seed % 5]), {"c": costs}, {"c": budget})
        best = twin.by_table(problem, "c")
        if best is None:
            with pytest.raises(tap.InfeasibleError):
                solve(problem)
            continue
        result = solve(problem)
        check_certificate(problem, result)
        assert close(result.objective, best, problem), seed


def by_highs(problem: Problem) -> float | None:
    """The optimum as an integer program by HiGHS at gap 0."""
    n_units, n_formats = problem.loss.shape
    one_each = np.kron(np.eye(n_units), np.ones(n_formats))
    constraints = [scipy.optimize.LinearConstraint(one_each, 1, 1)]
    for name, costs in problem.costs.items():
        constraints.append(
            scipy.optimize.LinearConstraint(costs.ravel()[None], -np.inf, problem.budgets[name])
        )
    result = scipy.optimize.milp(
        problem.loss.ravel(),
        constraints=constraints,
        integrality=np.ones(problem.loss.size),
        bounds=scipy.optimize.Bounds(0, 1),
        options={"mip_rel_gap": 0.0},
    )
    return float(result.fun) if result.success else None


@pytest.mark.parametrize("n_budgets", [1, 2])
@pytest.mark.parametrize("seed", range(12))
def test_middle_sizes_agree_with_highs(seed: int, n_budgets: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(20, 60)), int(rng.integers(3, 8)))
    numel = rng.integers(10, 1000, (shape[0], 1))
    bits = np.arange(2, 2 + shape[1])
    loss = np.exp(rng.standard_normal((shape[0], 1))) * 4.0**-bits * rng.uniform(0.8, 1.2, shape)
    costs = {
        f"c{k}": numel * bits if k == 0 else rng.integers(1, 50, shape[:1])[:, None] * bits for k in range(2)
    }
    costs = {name: costs[name] for name in list(costs)[:n_budgets]}
    lows = {name: cost.min(axis=1).sum() for name, cost in costs.items()}
    share = rng.uniform(0.3, 0.8)
    budgets = {name: int(lows[name] + share * (costs[name].max(axis=1).sum() - lows[name])) for name in costs}
    problem = Problem(loss, costs, budgets)
    result = solve(problem)
    check_certificate(problem, result)
    assert result.status == "optimal"
    # HiGHS lets a row be missed by 1e-7 relative to its scale, so it may be a little better.
    assert result.objective == pytest.approx(by_highs(problem), rel=1e-6)


def test_the_same_problem_gives_the_same_plan() -> None:
    for seed in range(CASES // 20):
        problem = random_problem(seed, n_budgets=1 + seed % 3, groups=True)
        try:
            first, second = solve(problem), solve(problem)
        except tap.InfeasibleError:
            continue
        np.testing.assert_array_equal(first.choice, second.choice)
        assert (first.objective, first.bound, first.status) == (second.objective, second.bound, second.status)


def test_a_limit_never_lies() -> None:
    """With few nodes the answer may be worse, and says so; the bound still holds."""
    unfinished = 0
    for seed in range(CASES // 20):
        rng = np.random.default_rng(seed)
        shape = (12, 4)
        costs = {f"c{k}": rng.integers(5, 60, shape) for k in range(3)}
        budgets = {name: int(cost.mean(axis=1).sum()) for name, cost in costs.items()}
        problem = Problem(rng.random(shape), costs, budgets)
        try:
            best = solve(problem)
            limited = solve(problem, node_limit=1)
        except tap.InfeasibleError:
            continue
        assert best.status == "optimal"
        assert limited.bound <= best.objective + 1e-12
        if limited.status == "optimal":
            assert close(limited.objective, best.objective, problem)
        elif limited.status == "feasible":
            check_certificate(problem, limited)
            assert limited.objective >= best.objective - 1e-12
        unfinished += limited.status != "optimal"
    assert unfinished > 0, "one node never sufficed to stop a search: the test says nothing"
