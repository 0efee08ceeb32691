"""The page about one plan: bits by depth, sizes, scores, and the frontier with the chosen point."""

from __future__ import annotations

import numpy as np

from tap.plan import Plan
from tap.report.page import Chart, Page
from tap.report.svg import Bar, Series, bars, heat_map, plot


def plan_page(plan: Plan, *, title: str | None = None, extra: tuple[Chart, ...] = ()) -> Page:
    """The page of a plan; `extra` sections come first."""
    weights = sum(unit.numel for unit in plan.units)
    proxy = str(plan.provenance.get("proxy", "scores"))
    facts = (
        ("Units", f"{len(plan.units)}"),
        ("Weights", f"{weights:,}"),
        ("Average bits", f"{plan.average_bits:.3f}"),
        ("Size", f"{plan.bytes:,.0f} bytes"),
        ("Proxy", proxy),
        ("Solution", f"{plan.solution.status}, gap {100 * plan.solution.gap:.3g}%"),
    )
    name = str(plan.provenance.get("model", "")) or plan.fingerprint[:12]
    sections = (
        *extra,
        bits_chart([(f"{plan.average_bits:.2f} average bits", plan)]),
        _frontier(plan),
        _scores(plan),
    )
    return Page(title or "Bit-width plan", f"{name}: a number format for every unit.", facts, sections)


def bits_chart(plans: list[tuple[str, Plan]]) -> Chart:
    """Bars of bits by depth, one chart a plan, with the table of the first plan's choices."""
    svgs = []
    for caption, plan in plans:
        items = []
        for row, (unit, index) in enumerate(zip(plan.units, plan.choice, strict=True)):
            form = plan.formats[index]
            size = plan.costs["bytes"][row, index]
            tip = f"{unit.name}: {form.name}, {size:,.0f} bytes for {unit.numel:,} weights"
            items.append(Bar(unit.name, form.bits, f"b{min(8, max(1, round(form.bits)))}", tip))
        svgs.append((caption, bars(items, label=f"Bits of each unit, {caption}", unit="bits")))
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
    return Chart("Bits by depth", "Units in the order of their first call.", tuple(svgs), rows, folded=True)


def _frontier(plan: Plan) -> Chart:
    from tap.allocate import frontier

    sizes = plan.costs["bytes"]
    budgets = np.ceil(np.linspace(sizes.min(axis=1).sum(), sizes.max(axis=1).sum(), 60))
    found = frontier(plan.scores, sizes, budgets=budgets.tolist())
    cost, loss = found.cost, found.loss
    scale, unit = (1e6, "MB") if cost.max() > 2e6 else (1e3, "kB")
    series = [
        Series("best possible", list(cost / scale), list(loss), joined=True),
        Series("this plan", [plan.bytes / scale], [plan.solution.objective]),
    ]
    price = ", ".join(f"{price:.3g} per {name}" for name, price in plan.solution.prices.items())
    text = "The smallest total score at each size, without ties or forbidden formats"
    text += f"; one more unit of the budget saves {price}." if price else "."
    svg = plot(series, label="Total score against size", x_name=f"size, {unit}", y_name="total score")
    return Chart("Frontier", text, (("Total score against size", svg),))


def _scores(plan: Plan) -> Chart:
    low = plan.scores.min()
    values = plan.scores if low > 0 else plan.scores - low
    note = "" if low > 0 else " The smallest score is subtracted, since some are negative."
    svg = heat_map(
        [unit.name for unit in plan.units],
        [form.name for form in plan.formats],
        np.asarray(values),
        label="Score of each unit in each format",
    )
    text = f"What the plan minimises the sum of; darker is worse, on a logarithmic scale.{note}"
    return Chart("Scores", text, (("Score of each unit in each format", svg),))
