"""`tap collect`: what is read off a model and its data, once."""

from __future__ import annotations

from typing import Annotated

import typer

from tap.cli import options as o
from tap.cli.console import is_interactive, say


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(collect)


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
    say(
        f"{out}: {len(table.units)} units, {len(table.formats)} formats, {len(table.columns)} columns, "
        f"{len(table.samples)} samples",
        quiet=quiet,
    )
