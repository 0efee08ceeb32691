"""`tap plan show|diff|pin`: plans that are read, compared and overridden."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tap.cli import options as o
from tap.cli.console import say, show
from tap.errors import PlanError
from tap.plan import Plan

PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="A plan that tap allocate wrote.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(no_args_is_help=True, help="Show, compare and override plans.")
    group.command("show")(show_plan)
    group.command()(diff)
    group.command()(pin)
    app.add_typer(group, name="plan")


def show_plan(plan: PlanFile, as_json: o.Json = False, quiet: o.Quiet = False) -> None:
    """List the choices of a plan, in the order of the model."""
    loaded = Plan.load(plan)
    show(choices(loaded), as_json=as_json, quiet=quiet)
    say(summary(loaded), quiet=quiet)


def diff(plan: PlanFile, other: PlanFile, as_json: o.Json = False, quiet: o.Quiet = False) -> None:
    """List the units whose formats differ between two plans."""
    first, second = Plan.load(plan), Plan.load(other)
    second.require_model(first.units, first.fingerprint)
    here, there = first.choices, second.choices
    rows: list[dict[str, Any]] = [
        {"unit": name, str(plan): here[name], str(other): there.get(name)}
        for name in here
        if here[name] != there.get(name)
    ]
    show(rows, as_json=as_json, quiet=quiet)
    say(
        f"{len(rows)} of {len(here)} units differ; {first.bytes:,.0f} and {second.bytes:,.0f} bytes",
        quiet=quiet,
    )


def pin(
    plan: PlanFile,
    choice: Annotated[
        list[str], typer.Argument(metavar="UNIT=FORMAT...", help="Choices to fix, or UNIT!=FORMAT to forbid.")
    ],
    out: o.Out,
    quiet: o.Quiet = False,
) -> None:
    """Fix or forbid formats of some units and solve the rest again, from the plan alone.

    Example: tap plan pin plan.json stem=int8 head!=int2 -o pinned.json
    """
    pins: dict[str, str] = {}
    forbidden: list[tuple[str, str]] = []
    for text in choice:
        unit, equals, name = text.rpartition("=")
        if not equals or not unit.rstrip("!") or not name:
            raise PlanError(
                f"'{text}' is not UNIT=FORMAT or UNIT!=FORMAT", hint="for example stem=int8 or head!=int2"
            )
        if unit.endswith("!"):
            forbidden.append((unit[:-1], name))
        else:
            pins[unit] = name
    changed = Plan.load(plan).restrict(pin=pins, forbid=forbidden)
    changed.save(out)
    say(f"{out}: {summary(changed)}", quiet=quiet)


def choices(plan: Plan) -> list[dict[str, Any]]:
    """One row a unit."""
    return [
        {
            "unit": unit.name,
            "kind": unit.kind,
            "weights": unit.numel,
            "format": plan.formats[index].name,
            "bytes": int(plan.costs["bytes"][row, index]),
            "score": float(plan.scores[row, index]),
        }
        for row, (unit, index) in enumerate(zip(plan.units, plan.choice, strict=True))
    ]


def summary(plan: Plan) -> str:
    """A plan in one line."""
    solution = plan.solution
    proof = "optimal" if solution.status == "optimal" else f"at most {100 * solution.gap:.2g}% from optimal"
    return f"{plan.average_bits:.3f} average bits, {plan.bytes:,.0f} bytes, {proof}"
