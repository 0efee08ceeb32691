"""The same allocation problems through tap, HiGHS and, where installed, CBC (PuLP) and OR-Tools CP-SAT.

`make bench-solvers` installs the peers into an environment of their own and runs this.

A status counts as proven only where the solver says so: `sol_status` of PuLP (its `status` says Optimal at a
time limit as well), OPTIMAL of CP-SAT, status 0 of HiGHS. CP-SAT reads integers: losses are rounded to 1e-9
of the largest, which may cost the last digits of its objective. HiGHS and CBC let a row be missed by their
tolerance: each choice is summed anew from the tables, and those over a budget are counted apart. Times are
processor time, so that a busy machine says much the same.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import platform
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import tap
from tap import _core

Choice = NDArray[np.int64]
Answer = tuple[bool, Choice | None]
"""Whether the solver says that it proved its choice, and the choice."""
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
    return plan.status == "optimal", plan.choice if plan.status != "limit" else None


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
    return found.status == 0, None if found.x is None else found.x.reshape(loss.shape).argmax(1)


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
    taken = np.array([take[cell].value() or 0.0 for cell in cells]).reshape(loss.shape)
    choice = taken.argmax(1) if (taken.max(1) > 0.5).all() else None
    return problem.sol_status == pulp.LpSolutionOptimal, choice


def cp_sat(loss: NDArray[np.float64], costs: Costs, budgets: list[int], limit: float) -> Answer:
    """OR-Tools CP-SAT on one worker."""
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    cells = list(np.ndindex(loss.shape))
    take = {cell: model.new_bool_var(f"x_{cell[0]}_{cell[1]}") for cell in cells}
    for unit in range(len(loss)):
        model.add_exactly_one(take[unit, column] for column in range(loss.shape[1]))
    for cost, budget in zip(costs, budgets, strict=True):
        whole, limit_of_row = _whole(cost, budget)
        model.add(sum(int(whole[cell]) * take[cell] for cell in cells) <= limit_of_row)
    step = np.abs(loss).max() * 1e-9
    model.minimize(sum(round(loss[cell] / step) * take[cell] for cell in cells))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = limit
    solver.parameters.num_workers = 1
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return False, None
    taken = np.array([solver.value(take[cell]) for cell in cells]).reshape(loss.shape)
    return status == cp_model.OPTIMAL, taken.argmax(1)


def _whole(cost: NDArray[np.int64], budget: int) -> tuple[NDArray[np.int64], int]:
    """A cost and its budget in whole numbers: fractions up to 1e-9 of the largest, the budget down."""
    if np.issubdtype(cost.dtype, np.integer):
        return cost, budget
    step = cost.max() * 1e-9
    return np.ceil(cost / step).astype(np.int64), int(budget / step)


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
    parser.add_argument("--budgets", type=int, nargs="+", default=[1, 2], choices=[1, 2, 3])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--limit", type=float, default=20.0, help="seconds a solve")
    parser.add_argument("--solvers", nargs="+", default=list(SOLVERS), choices=list(SOLVERS))
    options = parser.parse_args()
    installed = [name for name in options.solvers if importlib.util.find_spec(SOLVERS[name][0])]
    print(machine(installed))
    columns = ["family", "units x 7", "budgets", "solver", "median ms", "slowest ms", "of tap", "proven"]
    print("| " + " | ".join([*columns, "over budget", "loss over the best"]) + " |")
    print("|---" * (len(columns) + 2) + "|")
    for family in ("cnn", "llm"):
        for units in options.units:
            for n_budgets in options.budgets:
                problems = [instance(family, units, n_budgets, seed) for seed in range(options.seeds)]
                compare(f"| {family} | {units} | {n_budgets}", problems, installed, options.limit)


def machine(names: list[str]) -> str:
    """What ran where: versions, interpreter, processor."""
    packages = [SOLVERS[name][0] for name in names if name != "tap"]
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
    return (
        f"{versions}; Python {platform.python_version()}, {platform.platform()}, {time.strftime('%Y-%m-%d')}"
    )


def spent() -> float:
    """Processor time of this process and of those that it waited for (CBC is one), in seconds."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@dataclass(frozen=True)
class Row:
    """One solve."""

    ms: float
    """Processor time."""
    proven: bool
    loss: float
    """Summed anew; infinite without a choice, or when the choice is over a budget."""
    over: bool
    """Whether the choice is over a budget."""


def judge(problem: Tables, answer: Answer, ms: float) -> Row:
    """Read a choice by the tables, whatever its solver says."""
    loss, costs, budgets = problem
    proven, choice = answer
    if choice is None:
        return Row(ms, proven, float("inf"), False)
    units = np.arange(len(loss))
    over = any(int(cost[units, choice].sum()) > budget for cost, budget in zip(costs, budgets, strict=True))
    return Row(ms, proven, float("inf") if over else float(loss[units, choice].sum()), over)


def compare(label: str, problems: list[Tables], names: list[str], limit: float) -> None:
    """Run every solver on the same problems and print their rows."""
    results: dict[str, list[Row]] = {}
    for name in names:
        solve = SOLVERS[name][1]
        # Imports and first allocations are nobody's solving time.
        solve(*instance("cnn", 5, 1, 0), limit)
        for problem in problems:
            started = spent()
            answer = solve(*problem, limit)
            row = judge(problem, answer, 1e3 * (spent() - started))
            results.setdefault(name, []).append(row)
    best = [min(rows[seed].loss for rows in results.values()) for seed in range(len(problems))]
    medians = {name: statistics.median(row.ms for row in rows) for name, rows in results.items()}
    for name, rows in results.items():
        ratio = f"{medians[name] / medians.get('tap', medians[name]):,.0f}x"
        fitting = [row.loss / least - 1 for row, least in zip(rows, best, strict=True) if row.loss < np.inf]
        figures = [
            *(f"{medians[name]:.2f}", f"{max(row.ms for row in rows):.2f}", ratio),
            *(f"{sum(row.proven for row in rows)}/{len(rows)}", str(sum(row.over for row in rows))),
            f"{max(fitting, default=float('nan')):.0e}",
        ]
        print(f"{label} | {name} | {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
