"""`tap demo`: the whole flow on a network and data that the package carries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tap.cli import options as o
from tap.cli.console import is_interactive, say, show


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(demo)


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where the files go.")] = Path(
        "demo-out"
    ),
    seed: o.Seed = 0,
    programs: Annotated[
        int, typer.Option("--programs", min=100, help="Programs that the search tries.")
    ] = 2000,
    llm: Annotated[
        str,
        typer.Option(
            "--llm", metavar="LLM", help="Who writes programs: none, or openai:MODEL@URL, anthropic:MODEL ..."
        ),
    ] = "none",
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Run the whole flow on handwritten digits: about a minute, no network, no key.

    Collect, measure, score every named proxy, search, allocate, quantize, measure again; writes plan.json and
    report.html.

    Example: tap demo --out demo-out
    """
    from tap.demo.flow import run, save
    from tap.demo.page import table

    found = run(
        seed=seed,
        programs=programs,
        llm=llm,
        say=lambda line: say(line, quiet=quiet),
        progress=not quiet and is_interactive(),
    )
    show(table(found), as_json=as_json, quiet=quiet)
    plan, report = save(found, out)
    say(f"wrote {plan} and {report}; open the report in a browser", quiet=quiet)
