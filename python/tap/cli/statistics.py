"""`tap collect` and `tap measure`: what is read off a model and its data, once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tap.cli import options as o
from tap.cli.console import is_interactive, say, show_json


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(collect)
    app.command()(measure)


def collect(
    model: o.Model,
    data: o.Data,
    out: o.Out,
    formats: o.Formats = None,
    samples: o.Samples = None,
    device: o.Device = None,
    sample: Annotated[
        int,
        typer.Option("--sample", min=0, metavar="N", help="Elements of each weight to keep; 0 keeps all."),
    ] = 4096,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="PATTERN", help="Units to leave out, for example 'head*'."),
    ] = None,
    proxy: Annotated[
        list[str] | None, typer.Option("--for", metavar="PROXY", help="Collect only what these proxies read.")
    ] = None,
    seed: o.Seed = 0,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Collect the statistics that proxies read, into a table file.

    Example: tap collect tap.demo:model --data tap.demo:calibration -o table.safetensors
    """
    from tap.stats.collect import collect as collect_table
    from tap.stats.sources import load_batches, load_model

    table = collect_table(
        load_model(model),
        load_batches(data),
        formats=o.split(formats),
        samples=samples,
        device=device,
        sample=sample or None,
        exclude=exclude or (),
        for_proxies=proxy,
        seed=seed,
        progress=not quiet and is_interactive(),
    )
    table.save(out)
    if as_json:
        units = [unit.name for unit in table.units]
        show_json(
            {"table": str(out), "units": units, "formats": table.formats, "columns": list(table.columns)}
        )
    say(
        f"{out}: {len(table.units)} units, {len(table.formats)} formats, {len(table.columns)} columns, "
        f"{len(table.samples)} sampled tensors",
        quiet=quiet,
    )


def measure(
    model: o.Model,
    data: o.Data,
    out: o.Out,
    configs: Annotated[
        int,
        typer.Option("--configs", min=0, metavar="N", help="Measure N whole configurations at each budget."),
    ] = 0,
    budget: o.Budgets = None,
    formats: o.Formats = None,
    loss: Annotated[str, typer.Option("--loss", help="kl (no labels needed) or cross-entropy.")] = "kl",
    samples: o.Samples = None,
    device: o.Device = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="FILE", help="Journal to continue from, and to keep.")
    ] = None,
    seed: o.Seed = 0,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Measure the ground truth: each unit alone in each format, or whole configurations of equal size.

    Example: tap measure tap.demo:model -d tap.demo:calibration --configs 40 -b 3bits -o c.safetensors
    """
    from tap.stats.batches import Batches
    from tap.stats.sources import load_batches, load_model

    network, batches = load_model(model), Batches(load_batches(data), samples=samples)
    if device:
        network.to(device)
    progress = not quiet and is_interactive()
    if configs:
        from tap.configurations import measure_configs

        measured = measure_configs(
            network,
            batches,
            formats=o.split(formats),
            budgets=budget or ["3bits"],
            n=configs,
            seed=seed,
            resume=resume,
            progress=progress,
        )
        measured.save(out)
        if as_json:
            show_json({"file": str(out), "configurations": len(measured.loss), "ceiling": measured.ceiling})
        say(f"{out}: {len(measured.loss)} configurations, noise ceiling {measured.ceiling:.3f}", quiet=quiet)
        return
    from tap.sensitivity import measure as measure_units

    sensitivity = measure_units(
        network, batches, formats=o.split(formats), loss=loss, seed=seed, resume=resume, progress=progress
    )
    sensitivity.save(out)
    if as_json:
        units, forms = list(sensitivity.units), list(sensitivity.formats)
        show_json({"file": str(out), "units": units, "formats": forms, "ceiling": sensitivity.ceiling})
    say(
        f"{out}: {len(sensitivity.units)} units, {len(sensitivity.formats)} formats, "
        f"noise ceiling {sensitivity.ceiling:.3f}",
        quiet=quiet,
    )
