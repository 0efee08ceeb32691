"""Arguments and options that several commands share."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from tap.errors import TapError

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="file.py:function, package.module:function, timm:NAME or hf:NAME.",
        show_default=False,
    ),
]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        "-d",
        metavar="DATA",
        help="Batches: file.py:function or package.module:function.",
        show_default=False,
    ),
]
Formats = Annotated[
    str | None,
    typer.Option(
        "--formats", "-f", metavar="LIST", help="Candidate formats, for example int2,int3,int4,int8."
    ),
]
Table = Annotated[
    Path,
    typer.Option("--table", "-t", metavar="FILE", help="A table that tap collect wrote.", show_default=False),
]


def to_write(path: Path | None) -> Path | None:
    """The path, refused before any work is done when nothing can be written there."""
    if path is not None and path.is_dir():
        raise TapError(f"{path} is a folder", hint="name the file to write in it")
    return beside(path)


def beside(path: Path | None) -> Path | None:
    """The path of a file or folder, refused when there is no place for it."""
    if path is not None and not path.parent.is_dir():
        folder = shlex.quote(str(path.parent))
        raise TapError(f"cannot write {path}: the folder does not exist", hint=f"mkdir -p {folder}")
    return path


Out = Annotated[
    Path,
    typer.Option("--out", "-o", metavar="FILE", help="File to write.", show_default=False, callback=to_write),
]
MaybeOut = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE", help="File to write.", callback=to_write)
]
Samples = Annotated[
    int | None,
    typer.Option("--samples", "-n", min=1, metavar="N", help="Use only the first N samples of the data."),
]
Device = Annotated[
    str | None,
    typer.Option("--device", metavar="DEVICE", help="cpu, cuda, cuda:1, ...; default: where the model is."),
]
Budgets = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        "-b",
        metavar="BUDGET",
        help="4.25bits, 12MB, 35%, int4 (the size of all units in it), bops=40G ...; several hold together.",
        show_default=False,
    ),
]
Limits = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="NAME=VALUE",
        help="What a program may cost: source_bytes, tokens, nesting, operators, live_bytes or work.",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of everything random.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no result lines.")]


Folder = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FOLDER", help="Folder to write into.", callback=beside),
]
MaybePath = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="PATH", help="File or folder to write.", callback=beside),
]
FileOrFolder = Annotated[
    Path,
    typer.Option(
        "--out", "-o", metavar="PATH", help="File or folder to write.", show_default=False, callback=beside
    ),
]


def split(names: str | None) -> list[str] | None:
    """The names of a list with commas; None stays None.

    >>> split("int2, int4")
    ['int2', 'int4']
    """
    return None if names is None else [name.strip() for name in names.split(",") if name.strip()]
