"""`tap report`: plans, measured truth, searches and benchmarks as one page for a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tap.cli import options as o
from tap.cli.console import say, show_json, working


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(report)


def report(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Plans, tables, what tap measure wrote, run.db, result.json."),
    ],
    out: o.Out,
    proxy: Annotated[
        list[str] | None,
        typer.Option("--proxy", "-p", metavar="NAME", help="Draw the scatter of this proxy too; repeatable."),
    ] = None,
    title: Annotated[str | None, typer.Option("--title", metavar="TEXT", help="Heading of the page.")] = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Draw files of tap as one HTML page that a browser opens without a network.

    Each file is recognised by what it holds. A table and a measured truth of the same model together judge
    every named proxy; a store of tap search shows lineage, controller, rejections and costs.

    Example: tap report plan.json -o report.html
    All at once: tap report plan.json table.safetensors configs.safetensors run.db -o report.html
    """
    from tap.files import write_text
    from tap.report import read, render, report_page

    with working("drawing", quiet=quiet):
        page = report_page(read(files), title=title, proxies=proxy or ())
        write_text(out, render(page))
    if as_json:
        show_json({"report": str(out), "sections": [chart.heading for chart in page.sections]})
    say(f"{out}: {len(page.sections)} sections; open it in a browser", quiet=quiet)
