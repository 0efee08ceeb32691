"""A result as Markdown: one page with the networks together, then each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from tap.bench.result import Net, Row
from tap.bench.summary import overall


def markdown(nets: Sequence[Net]) -> str:
    """The page.

    >>> print(markdown([]), end="")
    # Benchmark
    """
    parts = ["# Benchmark"]
    if len(nets) > 1:
        parts += ["## All networks", table_of_all(nets)]
    for net in nets:
        ceilings = ", ".join(f"{name} {value:.3f}" for name, value in net.ceilings.items())
        full = f"Full precision {_percent(net.full)}; noise ceilings: {ceilings or 'no truth'}."
        parts += [f"## {net.name}", full]
        parts += ["### Agreement", table_of_agreement(net)] if net.ceilings else []
        parts += ["### Top-1 of the quantized network", table_of_plans(net)]
        parts += ["### KL to full precision", table_of_plans(net, "loss")]
        parts += ["### Top-1 without lifts", table_of_plans(net, "plain_accuracy")]
        failed = [f"- {row.name}: {row.error}" for row in net.rows if row.error]
        parts += ["### Without a score", "\n".join(failed)] if failed else []
    return "\n\n".join(parts) + "\n"


def table_of_all(nets: Sequence[Net]) -> str:
    """One row a contestant that is in all networks, best mean place by measured loss first."""
    head = ["contestant", "place by loss", "above uniform's loss", "for certain", "worst top-1 below uniform"]
    head += ["mean top-1", "place by agreement", "worst agreement / ceiling"]
    rows = [
        [
            one.name,
            _number(one.loss_rank, 1),
            f"{one.below} of {one.compared}",
            str(one.certain),
            _percent(one.worst),
            _percent(one.accuracy),
            _number(one.rank, 1),
            _number(one.relative),
        ]
        for one in overall(nets)
    ]
    return _table(head, rows)


def table_of_agreement(net: Net) -> str:
    """One row a contestant with scores, best agreement with configurations first."""
    first = next((row.configurations for row in net.rows if row.configurations), None)
    strata = list(first.by_group) if first else []
    second = next((row.sensitivity for row in net.rows if row.sensitivity), None)
    formats = list(second.by_group) if second else []
    head = ["proxy"]
    if first:
        head += ["configurations", "95 %", "/ ceiling", *strata, "regret"]
        head += ["to the best named", "p"]
    if second:
        head += ["sensitivity, pooled", "/ ceiling, within", *(f"within {name}" for name in formats)]
    scored = [row for row in net.rows if row.configurations or row.sensitivity]
    rows = []
    for row in sorted(scored, key=_agreement, reverse=True):
        cells = [_name(row)]
        if first and (one := row.configurations):
            cells += [_number(one.value), f"{one.low:.2f} to {one.high:.2f}", _number(one.relative)]
            cells += [_number(one.by_group[name]) for name in strata]
            cells += [_number(one.regret), f"{one.difference:+.3f}", _number(one.p)]
        if second and (two := row.sensitivity):
            cells += [_number(two.value), _number(two.relative)]
            cells += [_number(two.by_group[name]) for name in formats]
        rows.append(cells)
    return _table(head, rows)


def table_of_plans(net: Net, what: str = "accuracy") -> str:
    """One row a contestant, one column a budget; smallest mean loss first, then the random ones."""
    show: Callable[[float], str] = (lambda value: _number(value, 4)) if what == "loss" else _percent
    rows = []
    for row in sorted((row for row in net.rows if any(row.plans)), key=_mean_loss):
        cells = ["-" if plan is None else show(getattr(plan, what)) for plan in row.plans]
        rows.append([_name(row), *cells, *([_gain(row)] if what == "loss" else [])])
    if what != "plain_accuracy":
        for place, label in ((1, "random, median"), (0, "random, best")):
            by_budget = {one.budget: getattr(one, what)[place] for one in net.chance}
            count = max((one.n for one in net.chance), default=0)
            cells = [show(by_budget[name]) if name in by_budget else "-" for name in net.budgets]
            rows += [[f"*{label} of {count}*", *cells, *(["-"] if what == "loss" else [])]] if count else []
    return _table(["contestant", *net.budgets, *(["to the best named (p)"] if what == "loss" else [])], rows)


def _gain(row: Row) -> str:
    return "-" if math.isnan(row.gain) else f"{row.gain:+.4f} ({row.gain_p:.2g})"


def _name(row: Row) -> str:
    return {"discovered": f"**{row.name}**", "named": row.name}.get(row.kind, f"*{row.name}*")


def _agreement(row: Row) -> float:
    one = row.configurations or row.sensitivity
    return one.value if one else -math.inf


def _mean_loss(row: Row) -> float:
    losses = [plan.loss if plan else math.inf for plan in row.plans]
    return sum(losses) / len(losses)


def _number(value: float, digits: int = 3) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
