"""`tap plan show|diff|pin|edit`: plans that are read, compared and overridden."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from tap.cli import options as o
from tap.cli.console import say, show, show_json
from tap.errors import PlanError
from tap.plan import Plan

PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="A plan that tap allocate wrote.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(no_args_is_help=True, help="Show, compare and override plans.")
    group.command("show")(show_plan)
    group.command()(diff)
    group.command()(pin)
    group.command()(edit)
    app.add_typer(group, name="plan")


def show_plan(plan: PlanFile, as_json: o.Json = False, quiet: o.Quiet = False) -> None:
    """List the choices of a plan in the order of the model: sizes, scores, pins and ties.

    Example: tap plan show plan.json
    """
    loaded = Plan.load(plan)
    show(choices(loaded), as_json=as_json, quiet=quiet)
    for name, limit in loaded.budgets.items():
        used, price = loaded.solution.used[name], loaded.solution.prices.get(name, 0.0)
        say(f"{name}: {used:,.0f} of {limit:,.0f} used; one more saves {price:.3g} of the score", quiet=quiet)
    say(summary(loaded), quiet=quiet)


def diff(plan: PlanFile, other: PlanFile, as_json: o.Json = False, quiet: o.Quiet = False) -> None:
    """List the units whose formats differ between two plans, with what that costs and saves.

    Example: tap plan diff plan.json pinned.json
    """
    first, second = Plan.load(plan), Plan.load(other)
    second.require_model(first.units, first.fingerprint)
    here, there = first.choices, second.choices
    rows: list[dict[str, Any]] = []
    for row, unit in enumerate(first.units):
        if here[unit.name] == there.get(unit.name):
            continue
        at = second.unit_index(unit.name)
        size = second.costs["bytes"][at, second.choice[at]] - first.costs["bytes"][row, first.choice[row]]
        score = second.scores[at, second.choice[at]] - first.scores[row, first.choice[row]]
        rows.append({"unit": unit.name, str(plan): here[unit.name], str(other): there[unit.name],
                     "bytes": int(size), "score": float(score)})  # fmt: skip
    show(rows, as_json=as_json, quiet=quiet)
    say(
        f"{len(rows)} of {len(here)} units differ; {first.bytes:,.0f} and {second.bytes:,.0f} bytes, "
        f"scores {first.solution.objective:.4g} and {second.solution.objective:.4g}",
        quiet=quiet,
    )


def pin(
    plan: PlanFile,
    choice: Annotated[
        list[str],
        typer.Argument(
            metavar="UNIT=FORMAT...",
            help="A format, or its bits, to fix; UNIT!=FORMAT forbids, UNIT=any frees; * and ? match names.",
        ),
    ],
    out: o.Out,
    budget: o.Budgets = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Fix, forbid or free formats of some units and solve the rest again, from the plan alone.

    Example: tap plan pin plan.json stem=8 head!=int2 'blocks.*.conv1=int4' -o pinned.json
    """
    changed = overridden(Plan.load(plan), choice, budget)
    changed.save(out)
    if as_json:
        show_json({"plan": str(out), **vars(changed.solution), "choices": changed.choices})
    say(f"{out}: {summary(changed)}", quiet=quiet)


def edit(
    plan: PlanFile,
    out: o.Out,
    budget: o.Budgets = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Open the choices in $EDITOR; lines that you change are fixed, the rest is solved again.

    The editor is the one that $VISUAL or $EDITOR names.

    Example: tap plan edit plan.json -o edited.json
    """
    loaded = Plan.load(plan)
    lines = [f"{name}={form}" for name, form in loaded.choices.items()]
    head = ["# Change a line to fix it, or write unit!=format to forbid; lines left alone are solved again."]
    kept = [line.strip() for line in _edited("\n".join([*head, *lines]) + "\n").splitlines()]
    changes = [line for line in kept if line and not line.startswith("#") and line not in lines]
    if not changes:
        raise PlanError("nothing was changed", hint="edit a line, or use tap plan pin")
    changed = overridden(loaded, changes, budget)
    changed.save(out)
    if as_json:
        show_json({"plan": str(out), **vars(changed.solution), "choices": changed.choices})
    say(f"{out}: {len(changes)} changes; {summary(changed)}", quiet=quiet)


def choices(plan: Plan) -> list[dict[str, Any]]:
    """One row a unit."""
    ties = {name: group[0] for group in plan.groups for name in group[1:]}
    return [
        {
            "unit": unit.name,
            "kind": unit.kind,
            "weights": unit.numel,
            "format": plan.formats[index].name,
            "bytes": int(plan.costs["bytes"][row, index]),
            "score": float(plan.scores[row, index]),
            **({"pinned": bool(plan.allowed[row].sum() == 1)} if plan.allowed is not None else {}),
            **({"tied to": ties.get(unit.name)} if ties else {}),
        }
        for row, (unit, index) in enumerate(zip(plan.units, plan.choice, strict=True))
    ]


def overridden(plan: Plan, changes: list[str], budget: list[str] | None = None) -> Plan:
    """The plan with UNIT=FORMAT, UNIT!=FORMAT and UNIT=any applied, and the rest solved again."""
    pins: dict[str, str] = {}
    forbidden: list[tuple[str, str]] = []
    freed: set[str] = set()
    for text in changes:
        unit, equals, name = text.rpartition("=")
        if not equals or not unit.rstrip("!") or not name:
            raise PlanError(
                f"'{text}' is not UNIT=FORMAT or UNIT!=FORMAT",
                hint="for example stem=int8, stem=8 or head!=int2",
            )
        for found in _matching(plan, unit.removesuffix("!")):
            if unit.endswith("!"):
                forbidden.append((found, _format(plan, name)))
            elif name == "any":
                freed.add(found)
            else:
                pins[found] = _format(plan, name)
    if freed:
        plan = _freed(plan, freed)
    if budget:
        from tap.costs import limits

        plan = replace(plan, budgets=limits(budget, plan.units))
    return plan.restrict(pin=pins, forbid=forbidden)


def _edited(text: str) -> str:
    """What the user's editor makes of a text."""
    command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "choices.txt"
        path.write_text(text, encoding="utf-8")
        try:
            subprocess.run([*command, str(path)], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise PlanError(
                f"the editor '{command[0]}' failed", hint="set EDITOR, or use tap plan pin"
            ) from error
        return path.read_text(encoding="utf-8")


def _matching(plan: Plan, pattern: str) -> list[str]:
    """Units of a name or a pattern; an error that names the nearest when there is none."""
    names = [unit.name for unit in plan.units]
    found = [pattern] if pattern in names else [name for name in names if fnmatchcase(name, pattern)]
    return found or [names[plan.unit_index(pattern)]]


def _format(plan: Plan, text: str) -> str:
    """The plan's format of a name, or of so many bits."""
    if not text.replace(".", "", 1).isdecimal():
        return text
    same = [form.name for form in plan.formats if form.bits == float(text)]
    if len(same) != 1:
        listed = ", ".join(same or [form.name for form in plan.formats])
        what = f"{len(same)} formats have" if same else "no format has"
        raise PlanError(f"{what} {text} bits", hint=f"name one of {listed}")
    return same[0]


def _freed(plan: Plan, names: set[str]) -> Plan:
    """The plan with everything allowed to some units that its target holds."""
    allowed = np.ones(plan.scores.shape, np.bool_) if plan.allowed is None else plan.allowed.copy()
    whole = np.ones_like(allowed)
    target = plan.provenance.get("target")
    if target is not None:
        from tap.export.fit import fit
        from tap.formats import parse

        whole = fit(plan.units, [parse(form.name) for form in plan.formats], str(target)).allowed
    rows = [row for row, unit in enumerate(plan.units) if unit.name in names]
    allowed[rows] = whole[rows]
    return replace(plan, allowed=allowed)


def summary(plan: Plan) -> str:
    """A plan in one line."""
    solution = plan.solution
    proof = "optimal" if solution.status == "optimal" else f"at most {100 * solution.gap:.2g}% from optimal"
    return f"{plan.average_bits:.3f} average bits, {plan.bytes:,.0f} bytes, {proof}"
