"""The sections about one plan: bits and sizes by depth, frontier with the chosen point, prices, scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tap.plan import Plan
from tap.report.page import Chart
from tap.report.svg import Bar, Series, bars, heat_map, plot

POINTS = 60
"""Budgets of the frontier."""


def plan_facts(plan: Plan) -> tuple[tuple[str, str], ...]:
    """What a plan is, as (name, value)."""
    gap = plan.solution.gap
    budgets = ", ".join(f"{limit:,.0f} {name}" for name, limit in plan.budgets.items())
    return (
        ("Units", f"{len(plan.units)}"),
        ("Weights", f"{sum(unit.numel for unit in plan.units):,}"),
        ("Average bits", f"{plan.average_bits:.3f}"),
        ("Size", f"{plan.bytes:,.0f} bytes"),
        ("Budget", budgets or "none"),
        ("Proxy", str(plan.provenance.get("proxy", "scores"))),
        ("Solution", "proven best" if plan.solution.status == "optimal" else f"gap {100 * gap:.3g}%"),
    )


def bits_chart(plans: list[tuple[str, Plan]]) -> Chart:
    """Bars of bits by depth with sizes below, one chart a plan, and the table of the first one's choices."""
    svgs = []
    for caption, plan in plans:
        items = []
        for row, (unit, index) in enumerate(zip(plan.units, plan.choice, strict=True)):
            form = plan.formats[index]
            size = float(plan.costs["bytes"][row, index])
            tip = f"{unit.name}: {form.name}, {size:,.0f} bytes for {unit.numel:,} weights"
            items.append(Bar(unit.name, form.bits, f"b{min(8, max(1, round(form.bits)))}", tip, size))
        largest = max(item.below for item in items)
        label = f"Bits of each unit, {caption}"
        svgs.append((caption, bars(items, label=label, unit="bits", below=f"↓ bytes, up to {largest:,.0f}")))
    first = plans[0][1]
    rows = [
        {
            "unit": unit.name,
            "kind": unit.kind,
            "weights": unit.numel,
            "format": first.formats[index].name,
            "bytes": int(first.costs["bytes"][row, index]),
            "score": float(first.scores[row, index]),
        }
        for row, (unit, index) in enumerate(zip(first.units, first.choice, strict=True))
    ]
    text = "Units in the order of their first call: bits upwards, stored bytes downwards."
    return Chart("Bits by depth", text, tuple(svgs), rows, folded=True)


def frontier_chart(plan: Plan) -> Chart:
    """The smallest total score at each size, the plan, its budget, and the uniform formats."""
    cost, loss = ladder(plan)
    scale, unit = (1e6, "MB") if cost.max() > 2e6 else (1e3, "kB")
    uniform = [
        (float(plan.costs["bytes"][:, column].sum()), float(plan.scores[:, column].sum()), form.name)
        for column, form in enumerate(plan.formats)
        if plan.allowed is None or plan.allowed[:, column].all()
    ]
    series = [
        Series("best possible", list(cost / scale), list(loss), joined=True),
        Series("this plan", [plan.bytes / scale], [plan.solution.objective]),
        Series(
            "one format for all",
            [size / scale for size, _, _ in uniform],
            [score for _, score, _ in uniform],
            names=[name for _, _, name in uniform],
        ),
    ]
    log = bool(loss.min() > 0)
    label = "Total score against size"
    svg = plot(series, label=label, x_name=f"size, {unit}", y_name="total score", log_y=log)
    rows = [
        {"bytes": int(size), "average bits": size * 8 / plan_weights(plan), "total score": float(score)}
        for size, score in zip(cost, loss, strict=True)
    ]
    text = (
        "The smallest total score at each size, tied units and forbidden formats as in the plan; the plan is "
        "on the line when size is its only budget."
    )
    return Chart("Frontier", text, ((label, svg),), rows, folded=True)


def prices_chart(plan: Plan) -> Chart | None:
    """What one more byte would save at each size, and the marginal price of every budget of the plan."""
    cost, loss = ladder(plan)
    hull = lower_hull(cost, loss)
    if len(hull) < 2:
        return None
    x, y = cost[hull], loss[hull]
    saved, middle = -np.diff(y) / np.diff(x), (x[1:] + x[:-1]) / 2
    scale, unit = (1e6, "MB") if cost.max() > 2e6 else (1e3, "kB")
    series = [Series("one more byte", list(middle / scale), list(saved), joined=True)]
    price = plan.solution.prices.get("bytes")
    if price:
        series.append(Series("this plan", [plan.bytes / scale], [price]))
    label = "Marginal price of a byte at each size"
    svg = plot(series, label=label, x_name=f"size, {unit}", y_name="score a byte", log_y=True)
    rows = [
        {
            "cost": name,
            "budget": plan.budgets.get(name),
            "used": plan.solution.used[name],
            "price of one more": plan.solution.prices.get(name),
        }
        for name in plan.solution.used
    ]
    text = (
        "How much total score one more byte saves at each size, by the convex hull of the frontier; the "
        "table has the plan's own price of each budget."
    )
    return Chart("Marginal prices", text, ((label, svg),), rows)


def lower_hull(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[int]:
    """Places of the points of the lower convex hull down to the smallest y; x ascends.

    >>> lower_hull(np.array([0.0, 1.0, 2.0, 3.0]), np.array([4.0, 3.0, 0.0, 0.0]))
    [0, 2]
    """
    kept: list[int] = []
    for k in range(int(np.argmin(y)) + 1):
        if kept and x[k] == x[kept[-1]]:
            continue
        while len(kept) > 1:
            a, b = kept[-2], kept[-1]
            if (y[b] - y[a]) * (x[k] - x[b]) < (y[k] - y[b]) * (x[b] - x[a]):
                break
            kept.pop()
        kept.append(k)
    return kept


def ladder(plan: Plan) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Size in bytes and total score of the best choice at each of `POINTS` budgets, ties as in the plan."""
    from tap.frontier import frontier

    sizes, names = plan.costs["bytes"], [unit.name for unit in plan.units]
    groups = [[names.index(name) for name in group] for group in plan.groups]
    low, high = plan.cost_range()
    budgets = np.unique(np.ceil(np.append(np.linspace(low, high, POINTS), plan.bytes))).tolist()
    found = frontier(plan.scores, sizes, groups=groups or None, allowed=plan.allowed, budgets=budgets)
    return np.asarray(found.cost, np.float64), np.asarray(found.loss, np.float64)


def plan_weights(plan: Plan) -> int:
    """Weights of all units."""
    return sum(unit.numel for unit in plan.units)


def scores_chart(plan: Plan) -> Chart:
    """Heat map of the scores [L, F] that the plan was chosen by."""
    low = plan.scores.min()
    scale, how = ("log", "a logarithmic") if low > 0 else ("linear", "a linear")
    label = "Score of each unit in each format"
    names = [unit.name for unit in plan.units]
    svg = heat_map(names, [form.name for form in plan.formats], plan.scores, label=label, scale=scale)
    text = f"What the plan minimises the sum of; darker is worse, on {how} scale."
    rows = [
        {"unit": name, **{form.name: float(plan.scores[i, j]) for j, form in enumerate(plan.formats)}}
        for i, name in enumerate(names)
    ]
    return Chart("Scores", text, ((label, svg),), rows, folded=True)
