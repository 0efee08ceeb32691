"""`tap finetune`: a short quantization-aware training of a plan's model, and what it wins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from tap.cli import options as o
from tap.cli.console import is_interactive, say, show
from tap.errors import PlanError

Plan = Annotated[
    Path | None, typer.Option("--plan", "-p", metavar="FILE", help="A plan that tap allocate wrote.")
]
Uniform = Annotated[
    str | None, typer.Option("--uniform", metavar="FORMAT", help="Every unit in this format, without a plan.")
]
EvalData = Annotated[
    str | None,
    typer.Option("--eval", "-e", metavar="DATA", help="Batches to judge on; default: those of --data."),
]


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(finetune)


def finetune(
    model: o.Model,
    data: o.Data,
    plan: Plan = None,
    uniform: Uniform = None,
    evaluation: EvalData = None,
    out: o.MaybeOut = None,
    epochs: Annotated[
        int, typer.Option("--epochs", min=1, metavar="N", help="Passes over the training batches.")
    ] = 1,
    lr: Annotated[
        float, typer.Option("--lr", min=0.0, metavar="RATE", help="Learning rate at the start of the cosine.")
    ] = 1e-4,
    hard: Annotated[
        float,
        typer.Option("--hard", min=0.0, metavar="WEIGHT", help="Weight of the cross-entropy with labels."),
    ] = 0.0,
    samples: o.Samples = None,
    device: o.Device = None,
    seed: o.Seed = 0,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Train a quantized model for a short while: AdamW, a cosine schedule, distillation from full precision.

    --data is what it trains on; its first 256 samples also calibrate. --out writes the trained weights.

    Example: tap finetune tap.demo:model -d tap.demo:training -e tap.demo:evaluation --uniform int2
    """
    from tap.finetune import finetune as train
    from tap.plan import Plan as Loaded
    from tap.quantize import quantize, save_weights
    from tap.stats.batches import Batches
    from tap.stats.layers import fingerprint
    from tap.stats.sources import load_batches, load_model
    from tap.truth.losses import Judge

    if (plan is None) == (uniform is None):
        raise typer.BadParameter("give either --plan or --uniform")
    network = load_model(model).eval()
    wanted: Any = uniform
    if plan is not None:
        wanted = Loaded.load(plan)
        if wanted.fingerprint and wanted.fingerprint != fingerprint(network, wanted.units):
            raise PlanError(f"{plan} is a plan of another model", hint="pass the model it was made for")
    if device:
        network.to(device)
    batches = Batches(load_batches(data), samples=samples)
    judge = Judge(network, Batches(load_batches(evaluation)) if evaluation else batches)
    small = quantize(network, wanted, data=batches)
    rows = [_row("quantized", judge, small)]
    progress = not quiet and is_interactive()
    train(small, network, batches, epochs=epochs, lr=lr, hard=hard, seed=seed, progress=progress)
    rows += [_row("fine-tuned", judge, small), _row("full precision", judge, network)]
    show(rows, as_json=as_json, quiet=quiet)
    if out is not None:
        save_weights(small, out)
        say(f"{out}: weights on the grid of their formats, as float tensors", quiet=quiet)


def _row(name: str, judge: Any, model: Any) -> dict[str, Any]:
    """KL to full precision and top-1 of one model."""
    parts = [judge.compare(index, model.eval()) for index in range(len(judge.batches))]
    loss, correct = (np.concatenate([getattr(part, key) for part in parts]) for key in ("loss", "correct"))
    return {"model": name, "loss": float(loss.mean()), "top-1": float(correct.mean())}
