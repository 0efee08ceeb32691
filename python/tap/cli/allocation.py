"""`tap allocate` and `tap frontier`: the best format of each unit under budgets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from tap import proxies as library
from tap.cli import options as o
from tap.cli.console import say, show, show_json
from tap.cli.plans import choices, summary
from tap.cli.proxies import source_of
from tap.plan import Plan
from tap.stats.table import LayerTable

MaybeTable = Annotated[
    Path | None, typer.Option("--table", "-t", metavar="FILE", help="What tap collect wrote.")
]
ProxyName = Annotated[
    str, typer.Option("--proxy", "-p", metavar="PROXY", help="A name, a file.tap, or - for standard input.")
]
PlanIn = Annotated[
    Path | None, typer.Option("--plan", metavar="FILE", help="Solve this plan again; no table is needed.")
]
Ties = Annotated[
    list[str] | None,
    typer.Option("--tie", metavar="A,B,...", help="Units that get the same format; repeatable."),
]
TargetName = Annotated[
    str | None,
    typer.Option(
        "--target", "-T", metavar="T", help="Choose only what this target holds; tie what it fuses."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(allocate)
    app.command()(frontier)


def allocate(
    budget: o.Budgets = None,
    table: MaybeTable = None,
    plan: PlanIn = None,
    proxy: ProxyName = library.DEFAULT,
    out: o.MaybeOut = None,
    tie: Ties = None,
    target: TargetName = None,
    time_limit: Annotated[
        float | None,
        typer.Option("--time-limit", min=0, metavar="SECONDS", help="Stop then, with the best found."),
    ] = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Choose the format of every unit: the smallest total score within the budgets, with a proof.

    Example: tap allocate --table table.safetensors --proxy sqnr --budget 3bits -o plan.json
    Again, without the model: tap allocate --plan plan.json --budget 12kB -o smaller.json
    For a server: tap allocate --table table.safetensors --budget 4.5bits --target vllm -o plan.json
    """
    solved = _solve(budget, table, plan, proxy, tie, time_limit, target)
    if out is not None:
        solved.save(out)
    if as_json:
        show_json({"plan": str(out) if out else None, **vars(solved.solution), "choices": solved.choices})
    else:
        show(choices(solved), quiet=quiet or out is not None)
    say(f"{out}: {summary(solved)}" if out else summary(solved), quiet=quiet)


def frontier(
    table: MaybeTable = None,
    plan: PlanIn = None,
    proxy: ProxyName = library.DEFAULT,
    points: Annotated[
        int, typer.Option("--points", min=2, metavar="N", help="Budgets between smallest and largest.")
    ] = 20,
    tie: Ties = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """List the best total score at a ladder of sizes.

    Example: tap frontier --table table.safetensors --proxy sqnr --points 10
    """
    from tap.costs import average_bits
    from tap.frontier import frontier as solve

    base = _solve(["1TB"] if plan is None else None, table, plan, proxy, tie, None)
    sizes = base.costs["bytes"]
    budgets = np.linspace(*base.cost_range(), points)
    names = [unit.name for unit in base.units]
    groups = [[names.index(name) for name in group] for group in base.groups]
    ladder = np.ceil(budgets).tolist()
    found = solve(base.scores, sizes, groups=groups or None, allowed=base.allowed, budgets=ladder)
    rows: list[dict[str, Any]] = [
        {
            "bytes": int(found.cost[point]),
            "average bits": average_bits(float(found.cost[point]), base.units),
            "score": float(found.loss[point]),
        }
        for point in range(len(found))
    ]
    show(rows, as_json=as_json, quiet=quiet)


def _solve(
    budget: list[str] | None,
    table: Path | None,
    plan: Path | None,
    proxy: str,
    tie: list[str] | None,
    time_limit: float | None,
    target: str | None = None,
) -> Plan:
    """A plan from a table and a proxy, or another plan solved again."""
    from tap.costs import limits
    from tap.pipeline import make_plan
    from tap.proxy import Proxy

    if (table is None) == (plan is None):
        raise typer.BadParameter("give either --table or --plan")
    if plan is not None:
        loaded = Plan.load(plan)
        if target is not None:
            from tap.export.fit import for_target

            loaded = for_target(loaded, target)
        return loaded.resolve(limits(budget, loaded.units) if budget else None, time_limit=time_limit)
    if not budget:
        raise typer.BadParameter("give at least one --budget, for example 3bits")
    assert table is not None
    loaded_table = LayerTable.load(table)
    groups = [group.split(",") for group in tie or ()]
    program = Proxy(source_of(proxy), columns=loaded_table)
    return make_plan(
        loaded_table, program, budget, name=proxy, groups=groups, time_limit=time_limit, target=target
    )
