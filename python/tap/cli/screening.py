"""`tap screen`: many proxies judged by measured truth, a list of them or a file of millions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from tap import proxies as library
from tap.cli import options as o
from tap.cli.console import is_interactive, say, show
from tap.cli.proxies import source_of
from tap.errors import TapError


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(screen)


def screen(
    proxy: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PROXY]...",
            help="Names, files or folders of .tap files, or one .jsonl file of programs; default: all named.",
        ),
    ] = None,
    table: Annotated[
        list[Path] | None, typer.Option("--table", "-t", metavar="FILE", help="Tables, one a model.")
    ] = None,
    target: Annotated[
        list[Path] | None,
        typer.Option("--target", metavar="FILE", help="What tap measure wrote, one a table."),
    ] = None,
    regret: Annotated[
        int | None,
        typer.Option("--regret", min=1, metavar="N", help="Regret too, over a ladder of N budgets."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Threads; default: all cores.")
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", min=1, metavar="N", help="Print only the best N.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Rows of a .jsonl file: .csv, .jsonl or .parquet."),
    ] = None,
    limit: o.Limits = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Compare proxies with measured truth: agreement, regret, best first.

    A file of programs, a JSON string or {"program": ...} a line, streams to --out in bounded memory; Ctrl-C
    leaves the rows so far.

    Example: tap screen --table table.safetensors --target configs.safetensors
    """
    from tap.limits import parse
    from tap.pipeline import load_target
    from tap.stats.table import LayerTable

    if not table or not target:
        raise typer.BadParameter("give at least one --table and one --target for each")
    if len(table) != len(target):
        raise typer.BadParameter(
            f"{len(table)} tables and {len(target)} targets; give one target for each table"
        )
    tables, targets = [LayerTable.load(path) for path in table], [load_target(path) for path in target]
    options: dict[str, Any] = {"budgets": regret, "threads": threads, "limits": parse(limit or [])}
    stream = Path(proxy[0]) if proxy and len(proxy) == 1 and proxy[0].endswith(".jsonl") else None
    if (stream is None) != (out is None):
        raise typer.BadParameter("--out and one .jsonl file of programs go together")
    if stream is not None and out is not None:
        _screen_file(stream, tables, targets, out, quiet=quiet, options=options)
        return
    rows = _rows(_sources(proxy or list(library.names())), tables, targets, options)
    show(rows[:top], as_json=as_json, quiet=quiet)


def _rows(
    sources: dict[str, str], tables: Any, targets: Any, options: dict[str, Any]
) -> list[dict[str, Any]]:
    """One row a proxy, best first."""
    from tap.screen import screen as run

    found = run(list(sources.values()), tables, targets, **options)
    rows: list[dict[str, Any]] = [
        {
            "proxy": name,
            "spearman": float(found.spearman[index]),
            "kendall": float(found.kendall[index]),
            **({"regret": float(found.regret[index])} if options["budgets"] else {}),
            "ops": int(found.ops[index]),
            "error": str(found.kind[index]),
        }
        for index, name in enumerate(sources)
    ]
    return sorted(rows, key=lambda row: -float(np.nan_to_num(row["spearman"], nan=-2.0)))


def _screen_file(
    path: Path, tables: Any, targets: Any, out: Path, *, quiet: bool, options: dict[str, Any]
) -> None:
    from tap.screen import screen_file

    done = screen_file(
        path,
        tables,
        targets,
        out=out,
        progress=not quiet and is_interactive(),
        **options,
    )
    say(
        f"{out}: {done.rows:,} programs in {done.seconds:.1f} s, {done.ok:,} with a finite score", quiet=quiet
    )
    if not done.complete:
        raise TapError(f"stopped by Ctrl-C; {out} holds the rows so far", hint="run it again for all of them")


def _sources(names: list[str]) -> dict[str, str]:
    """Programs by name; a folder stands for the .tap files in it."""
    sources: dict[str, str] = {}
    for name in names:
        if Path(name).is_dir():
            sources.update({path.stem: source_of(str(path)) for path in sorted(Path(name).glob("*.tap"))})
        else:
            sources[name] = source_of(name)
    return sources
