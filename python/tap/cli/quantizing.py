"""`tap quantize`: plans put into a model, and what is left of its accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from tap.cli import options as o
from tap.cli.console import is_interactive, say, show
from tap.errors import PlanError

Plans = Annotated[
    list[Path] | None,
    typer.Option("--plan", "-p", metavar="FILE", help="A plan that tap allocate wrote; repeatable."),
]
Uniform = Annotated[
    list[str] | None,
    typer.Option("--uniform", metavar="FORMAT", help="Every unit in this format, beside them; repeatable."),
]
EvalData = Annotated[
    str | None,
    typer.Option("--eval", "-e", metavar="DATA", help="Batches to judge on; default: those of --data."),
]


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(quantize)


def quantize(
    model: o.Model,
    data: o.Data,
    plan: Plans = None,
    uniform: Uniform = None,
    evaluation: EvalData = None,
    out: o.MaybeOut = None,
    samples: o.Samples = None,
    device: o.Device = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Quantize a model by plans and measure each: loss (KL to full precision), top-1, with and without lifts.

    The lifts read the images of --data, not their labels. --out writes the weights of one plan.

    Example: tap quantize tap.demo:model -d tap.demo:calibration -e tap.demo:evaluation --plan plan.json
    """
    from tap.plan import Plan
    from tap.quantize import quantize as quantized
    from tap.quantize import save_weights
    from tap.stats.batches import Batches
    from tap.stats.sources import load_batches, load_model

    if not plan and not uniform:
        raise typer.BadParameter("give at least one --plan or --uniform")
    if out is not None and (len(plan or ()) != 1 or uniform):
        raise typer.BadParameter("--out writes the weights of exactly one --plan")
    plans = {str(path): Plan.load(path) for path in plan or ()}
    network = load_model(model)
    if device:
        network.to(device)
    calibration = Batches(load_batches(data))
    judged = Batches(load_batches(evaluation)) if evaluation else calibration
    judged = judged.limit(samples) if samples else judged
    rows = _measured(
        network, plans, uniform or [], calibration, judged, progress=not quiet and is_interactive()
    )
    show(rows, as_json=as_json, quiet=quiet)
    if out is not None:
        save_weights(quantized(network, next(iter(plans.values())), data=calibration), out)
        say(f"{out}: weights on the grid of their formats, as float tensors", quiet=quiet)


def _measured(
    network: Any, plans: dict[str, Any], uniform: list[str], calibration: Any, judged: Any, *, progress: bool
) -> list[dict[str, Any]]:
    """One row for each plan and each uniform format, and one for the model as it is."""
    from tap import costs
    from tap.formats import parse
    from tap.pipeline import evaluate, top1
    from tap.stats.layers import discover, fingerprint

    units = discover(network, calibration)
    names = [unit.name for unit in units]
    wanted: dict[str, dict[str, str]] = {}
    for path, plan in plans.items():
        if plan.fingerprint and plan.fingerprint != fingerprint(network, plan.units):
            raise PlanError(f"{path} is a plan of another model", hint="pass the model it was made for")
        wanted[path] = dict(plan.choices)
    wanted |= {f"uniform {form}": dict.fromkeys(names, parse(form).name) for form in uniform}
    left_out = {name for choices in wanted.values() for name in names if name not in choices}
    if left_out:
        raise PlanError(
            f"the plans leave out {', '.join(sorted(left_out))}", hint="collect the table without --exclude"
        )
    formats = list(dict.fromkeys(form for choices in wanted.values() for form in choices.values()))
    rows = np.array([[formats.index(choices[name]) for name in names] for choices in wanted.values()])
    found = evaluate(network, rows, judged, formats=formats, calibration=calibration, progress=progress)
    measured = [
        {
            "plan": name,
            "bytes": int(found.bytes[index]),
            "average bits": costs.average_bits(float(found.bytes[index]), units),
            "loss": float(found.loss[index]),
            "top-1": float(found.accuracy[index]),
            "loss, no lifts": float(found.plain_loss[index]),
            "top-1, no lifts": float(found.plain_accuracy[index]),
        }
        for index, name in enumerate(wanted)
    ]
    full = top1(network, judged)
    alone = {"loss": 0.0, "top-1": full, "loss, no lifts": 0.0, "top-1, no lifts": full}
    numel = sum(unit.numel for unit in units)
    return [*measured, {"plan": "full precision", "bytes": 4 * numel, "average bits": 32.0} | alone]
