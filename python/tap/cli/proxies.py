"""`tap proxies`, `score` and `grammar`: programs of the proxy language and what they say."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tap import proxies as library
from tap.cli import options as o
from tap.cli.console import say, show, show_json
from tap.errors import ProxyError


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(proxies)
    app.command()(score)
    app.command()(grammar)


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
    """List the named proxies, or show one with its program.

    Example: tap proxies hawq_v2
    """
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
    limit: o.Limits = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Score every unit of a table in every format with one proxy.

    Example: tap score sqnr --table table.safetensors
    """
    from tap.limits import parse
    from tap.proxy import Proxy
    from tap.stats.table import LayerTable

    loaded = LayerTable.load(table)
    program = Proxy(source_of(proxy), limits=parse(limit or []), columns=loaded)
    scores = program.score(loaded)
    for note in program.notes:
        say(f"note: {note}", quiet=quiet)
    rows = [
        {"unit": unit.name, **dict(zip(loaded.formats, map(float, row), strict=True))}
        for unit, row in zip(loaded.units, scores, strict=True)
    ]
    show(rows, as_json=as_json, quiet=quiet)


def grammar(
    notation: Annotated[
        str, typer.Option("--format", "-f", metavar="NOTATION", help="gbnf, lark or json-schema.")
    ] = "gbnf",
    table: Annotated[
        Path | None,
        typer.Option(
            "--table", "-t", metavar="FILE", help="GBNF of programs that all compile for this table."
        ),
    ] = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Print the grammar of the proxy language, for constrained generation by a language model.

    Example: tap grammar --format lark > proxy.lark
    """
    from tap.proxy import GRAMMARS, typed_grammar
    from tap.proxy import grammar as grammar_of
    from tap.search.prompts import input_names
    from tap.stats.table import LayerTable

    if notation not in GRAMMARS:
        raise typer.BadParameter(f"'{notation}' is none of {', '.join(GRAMMARS)}", param_hint="--format")
    if table is None:
        found = grammar_of(notation)
    elif notation != "gbnf":
        raise typer.BadParameter("a grammar for a table is written in gbnf", param_hint="--table")
    else:
        found = typed_grammar(input_names(LayerTable.load(table)))
    if as_json:
        show_json({"notation": notation, "grammar": found})
    elif not quiet:
        print(found)
