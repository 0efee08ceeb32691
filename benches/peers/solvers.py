"""The same allocation problems through tap, HiGHS and, where installed, CBC (PuLP) and OR-Tools CP-SAT.

One command, peers in an environment of their own:

    uv run --with . --with scipy --with pulp --with ortools benches/peers/solvers.py --budgets 1 2

A status counts as proven only where the solver says so: `sol_status` of PuLP (its `status` says Optimal at a
time limit as well), OPTIMAL of CP-SAT, status 0 of HiGHS. CP-SAT reads integers: losses are rounded to 1e-9
of the largest, which may cost the last digits of its objective.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import tap
from tap import _core

Answer = tuple[bool, float]
Costs = list[NDArray[np.int64]]
Tables = tuple[NDArray[np.float64], Costs, list[int]]


def instance(family: str, units: int, n_budgets: int, seed: int) -> Tables:
    """Loss, costs and budgets at 0.4 of the range of each cost."""
    loss, *costs = _core.knapsack_instance(family, units, seed)
    costs = costs[:n_budgets]
    budgets = [int(0.6 * cost.min(1).sum() + 0.4 * cost.max(1).sum()) for cost in costs]
    return loss, costs, budgets


def ours(loss: NDArray[np.float64], costs: Costs, budgets: list[int], limit: float) -> Answer:
    """tap.allocate."""
    names = [str(k) for k in range(len(costs))]
    tables, limits = dict(zip(names, costs, strict=True)), dict(zip(names, budgets, strict=True))
    plan = tap.allocate(loss, tables, limits, time_limit=limit)
    return plan.status == "optimal", plan.objective


def highs(loss: NDArray[np.float64], costs: Costs, budgets: list[int], limit: float) -> Answer:
    """HiGHS through SciPy, gap 0."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_matrix, eye, kron

    n_units, n_formats = loss.shape
    rows = np.stack([cost.ravel() / budget for cost, budget in zip(costs, budgets, strict=True)])
    one = kron(eye(n_units), np.ones((1, n_formats)))
    scale = np.abs(loss).mean()
    found = milp(
        loss.ravel() / scale,
        constraints=[LinearConstraint(csr_matrix(rows), ub=1.0), LinearConstraint(one, lb=1.0, ub=1.0)],
        integrality=np.ones(loss.size),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0.0, "time_limit": limit},
    )
    return found.status == 0, float("nan") if found.fun is None else float(found.fun * scale)


def cbc(loss: NDArray[np.float64], costs: Costs, budgets: list[int], limit: float) -> Answer:
    """CBC through PuLP, gap 0."""
    import pulp

    problem = pulp.LpProblem("plan", pulp.LpMinimize)
    cells = list(np.ndindex(loss.shape))
    take = {cell: pulp.LpVariable(f"x_{cell[0]}_{cell[1]}", cat="Binary") for cell in cells}
    scale = np.abs(loss).mean()
    problem += pulp.lpSum(float(loss[cell] / scale) * take[cell] for cell in cells)
    for unit in range(len(loss)):
        problem += pulp.lpSum(take[unit, column] for column in range(loss.shape[1])) == 1
    for cost, budget in zip(costs, budgets, strict=True):
        problem += pulp.lpSum(float(cost[cell] / budget) * take[cell] for cell in cells) <= 1
    problem.solve(pulp.PULP_CBC_CMD(msg=False, timeLimit=limit, gapRel=0.0, threads=1))
    chosen = sum(float(loss[cell]) for cell in cells if (take[cell].value() or 0.0) > 0.5)
    return problem.sol_status == pulp.LpSolutionOptimal, chosen


def cp_sat(loss: NDArray[np.float64], costs: Costs, budgets: list[int], limit: float) -> Answer:
    """OR-Tools CP-SAT on one worker."""
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    cells = list(np.ndindex(loss.shape))
    take = {cell: model.new_bool_var(f"x_{cell[0]}_{cell[1]}") for cell in cells}
    for unit in range(len(loss)):
        model.add_exactly_one(take[unit, column] for column in range(loss.shape[1]))
    for cost, budget in zip(costs, budgets, strict=True):
        model.add(sum(int(cost[cell]) * take[cell] for cell in cells) <= budget)
    step = np.abs(loss).max() * 1e-9
    model.minimize(sum(round(loss[cell] / step) * take[cell] for cell in cells))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = limit
    solver.parameters.num_workers = 1
    status = solver.solve(model)
    known = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    chosen = sum(float(loss[cell]) for cell in cells if known and solver.value(take[cell]))
    return status == cp_model.OPTIMAL, chosen if known else float("nan")


SOLVERS: dict[str, tuple[str, Callable[..., Answer]]] = {
    "tap": ("tap", ours),
    "HiGHS": ("scipy", highs),
    "CBC": ("pulp", cbc),
    "CP-SAT": ("ortools", cp_sat),
}


def main() -> None:
    """Print one row a family, size, number of budgets and solver."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, nargs="+", default=[54, 224])
    parser.add_argument("--budgets", type=int, nargs="+", default=[1, 2], choices=[1, 2])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--limit", type=float, default=20.0, help="seconds a solve")
    parser.add_argument("--solvers", nargs="+", default=list(SOLVERS), choices=list(SOLVERS))
    options = parser.parse_args()
    print("| family | units x 7 | budgets | solver | median ms | slowest ms | proven | loss over the best |")
    print("|---|---|---|---|---|---|---|---|")
    for family in ("cnn", "llm"):
        for units in options.units:
            for n_budgets in options.budgets:
                problems = [instance(family, units, n_budgets, seed) for seed in range(options.seeds)]
                compare(f"| {family} | {units} | {n_budgets}", problems, options.solvers, options.limit)


def compare(label: str, problems: list[Tables], names: list[str], limit: float) -> None:
    """Run every installed solver on the same problems and print their rows."""
    results: dict[str, list[tuple[float, bool, float]]] = {}
    for name in names:
        package, solve = SOLVERS[name]
        if importlib.util.find_spec(package) is None:
            continue
        for problem in problems:
            started = time.perf_counter()
            proven, value = solve(*problem, limit)
            elapsed = 1e3 * (time.perf_counter() - started)
            results.setdefault(name, []).append((elapsed, proven, value))
    best = [min(rows[seed][2] for rows in results.values()) for seed in range(len(problems))]
    for name, rows in results.items():
        times = [row[0] for row in rows]
        worst = max(row[2] / least - 1 for row, least in zip(rows, best, strict=True))
        proven_count = f"{sum(row[1] for row in rows)}/{len(rows)}"
        figures = f"{statistics.median(times):.2f} | {max(times):.2f} | {proven_count} | {worst:.1e}"
        print(f"{label} | {name} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
