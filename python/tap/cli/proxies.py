"""`tap proxies`, `score` and `screen`: programs of the proxy language and what they say."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from tap import proxies as library
from tap.cli import options as o
from tap.cli.console import say, show, show_json
from tap.errors import ProxyError


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(proxies)
    app.command()(score)
    app.command()(screen)


def source_of(name: str) -> str:
    """The program that a name means: `-` for standard input, a file, or a proxy of the library."""
    if name == "-":
        return sys.stdin.read()
    path = Path(name)
    if name.endswith(".tap") or path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ProxyError(
                f"{name} cannot be read: {error}", hint="tap proxies lists the named ones"
            ) from error
    return library.source(name)


def proxies(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show one proxy with its program.")
    ] = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """List the named proxies, or show one."""
    if name is not None:
        if as_json:
            show_json({**vars(library.header(name)), "program": library.source(name)})
        else:
            print(library.source(name), end="")
        return
    rows = [
        {"name": header.name, "what": header.title, "formula": header.formula, "source": header.source}
        for header in map(library.header, library.names())
    ]
    show(rows, as_json=as_json, quiet=quiet)


def score(
    proxy: Annotated[
        str, typer.Argument(metavar="PROXY", help="A name, a file.tap, or - for standard input.")
    ],
    table: o.Table,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Score every unit of a table in every format with one proxy.

    Example: tap score sqnr --table table.safetensors
    """
    from tap.proxy import Proxy
    from tap.stats.table import LayerTable

    loaded = LayerTable.load(table)
    program = Proxy(source_of(proxy), columns=loaded)
    scores = program.score(loaded)
    for note in program.notes:
        say(f"note: {note}", quiet=quiet)
    rows = [
        {"unit": unit.name, **dict(zip(loaded.formats, map(float, row), strict=True))}
        for unit, row in zip(loaded.units, scores, strict=True)
    ]
    show(rows, as_json=as_json, quiet=quiet)


def screen(
    proxy: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PROXY]...", help="Names, files or folders of .tap files; default: all named."
        ),
    ] = None,
    table: Annotated[
        list[Path] | None, typer.Option("--table", "-t", metavar="FILE", help="Tables, one a model.")
    ] = None,
    target: Annotated[
        list[Path] | None,
        typer.Option("--target", metavar="FILE", help="What tap measure wrote, one a table."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Threads; default: all cores.")
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", min=1, metavar="N", help="Print only the best N.")
    ] = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Compare proxies with measured truth: agreement, regret, best first.

    Example: tap screen --table table.safetensors --target configs.safetensors
    """
    from tap.pipeline import load_target
    from tap.screen import screen as run
    from tap.stats.table import LayerTable

    if not table or not target:
        raise typer.BadParameter("give at least one --table and one --target for each")
    if len(table) != len(target):
        raise typer.BadParameter(
            f"{len(table)} tables and {len(target)} targets; give one target for each table"
        )
    sources = _sources(proxy or list(library.names()))
    found = run(
        list(sources.values()),
        [LayerTable.load(path) for path in table],
        [load_target(path) for path in target],
        threads=threads,
    )
    rows: list[dict[str, Any]] = [
        {
            "proxy": name,
            "spearman": float(found.spearman[index]),
            "kendall": float(found.kendall[index]),
            "ops": int(found.ops[index]),
            "error": str(found.kind[index]),
        }
        for index, name in enumerate(sources)
    ]
    rows.sort(key=lambda row: -float(np.nan_to_num(row["spearman"], nan=-2.0)))
    show(rows[:top], as_json=as_json, quiet=quiet)


def _sources(names: list[str]) -> dict[str, str]:
    """Programs by name; a folder stands for the .tap files in it."""
    sources: dict[str, str] = {}
    for name in names:
        if Path(name).is_dir():
            sources.update({path.stem: source_of(str(path)) for path in sorted(Path(name).glob("*.tap"))})
        else:
            sources[name] = source_of(name)
    return sources
