"""`tap compress`, `tap export` and `tap targets`: plans written for the stacks that run them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tap import proxies as library
from tap.cli import options as o
from tap.cli.console import is_interactive, say, show, show_json
from tap.cli.plans import summary
from tap.errors import ExportError

Options = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="An option of the target's writer; repeatable."),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(compress)
    app.command()(export)
    app.command()(targets)


def export(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan that tap allocate wrote.")],
    target: Annotated[
        str, typer.Option("--target", "-T", metavar="T", help="A name that tap targets lists.")
    ],
    out: o.FileOrFolder,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="MODEL", help="The model; needed where weights are written."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", "-d", metavar="DATA", help="Batches to calibrate rounding and input ranges on."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is at the path.")] = False,
    settings: Options = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Write a plan in the form that a target loads, whole or not at all.

    Example: tap export plan.json --target state-dict --model tap.demo:model -o packed.safetensors
    """
    from tap.export import export as write
    from tap.stats.sources import load_batches, load_model

    done = write(
        plan,
        target,
        out,
        model=load_model(model) if model else None,
        data=load_batches(data) if data else None,
        overwrite=overwrite,
        **_options(settings),
    )
    if as_json:
        show_json(
            {"target": target, "path": str(out), "files": dict(done.files), "bytes": done.bytes,
             "units": dict(done.units)}
        )  # fmt: skip
    units = f"; {sum(done.units.values()):,} of them weights of units" if done.units else ""
    say(f"{out}: {done.bytes:,} bytes in {len(done.files)} files{units}", quiet=quiet)


def compress(
    model: o.Model,
    budget: o.Budgets = None,
    target: Annotated[
        str | None, typer.Option("--target", "-T", metavar="T", help="A name that tap targets lists.")
    ] = None,
    out: o.MaybePath = None,
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", metavar="DATA", help="Batches; default: text that the model writes."),
    ] = None,
    evaluation: Annotated[
        str | None,
        typer.Option(
            "--eval", "-e", metavar="DATA", help="Batches to compare on; default: half of the data."
        ),
    ] = None,
    formats: o.Formats = None,
    proxy: Annotated[
        str, typer.Option("--proxy", "-p", metavar="PROXY", help="A named proxy.")
    ] = library.DEFAULT,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="PATTERN", help="Layers to leave in full precision; repeatable."),
    ] = None,
    settings: Options = None,
    seed: o.Seed = 0,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """From a model to files in one go: collect, score, allocate, quantize, compare, export.

    Example: tap compress hf:NAME --budget 4.25bits --target vllm -o out
    """
    from dataclasses import asdict

    from tap.compress import compress as run
    from tap.stats.sources import load_batches

    found = run(
        model,
        load_batches(data) if data else None,
        budget=budget or ["4.25bits"],
        target=target,
        out=out,
        formats=o.split(formats),
        proxy=proxy,
        evaluation=load_batches(evaluation) if evaluation else None,
        exclude=exclude or (),
        seed=seed,
        progress=not quiet and is_interactive(),
        **_options(settings),
    )
    show([asdict(row) for row in found.compared], as_json=as_json, quiet=quiet)
    if found.left_out:
        say(f"left in full precision: {', '.join(found.left_out)}", quiet=quiet)
    say(found.warning or f"gain {found.gain:.3g}, noise {found.noise:.3g}", quiet=quiet)
    if out is not None:
        say(f"{out}: {summary(found.plan)}", quiet=quiet)


def targets(as_json: o.Json = False, quiet: o.Quiet = False) -> None:
    """List the targets: what each holds, which units it ties, what it needs installed.

    Example: tap targets
    """
    from tap.export import TARGETS

    show(
        [
            {
                "target": target.name,
                "writes": target.title,
                "formats": target.holds.describe(),
                "layers": ", ".join(target.holds.kinds),
                "ties of": target.ties or "-",
                "needs": ", ".join(target.needs) or "-",
            }
            for target in TARGETS.values()
        ],
        as_json=as_json,
        quiet=quiet,
    )


def _options(settings: list[str] | None) -> dict[str, Any]:
    """NAME=VALUE as keyword arguments; numbers become numbers."""
    found: dict[str, Any] = {}
    for text in settings or ():
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ExportError(f"'{text}' is not NAME=VALUE", hint="for example --set opset=21")
        found[name] = int(value) if value.isdecimal() else value
    return found
