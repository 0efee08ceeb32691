"""What the commands print: tables on standard output, everything else on standard error."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

Row = Mapping[str, Any]


def complain(message: str, hint: str | None) -> None:
    """One line that says what is wrong, and one that says what to do."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(Text.assemble(("error: ", "bold red"), message))
    if hint:
        console.print(Text.assemble(("hint: ", "bold cyan"), hint))


def say(message: str, *, quiet: bool = False) -> None:
    """One line of result for people; standard error, so that standard output stays data."""
    if not quiet:
        Console(stderr=True, soft_wrap=True, highlight=False).print(Text(message))


def show(
    rows: Sequence[Row], *, as_json: bool = False, title: str | None = None, quiet: bool = False
) -> None:
    """Print rows as a table, or as a JSON list of objects."""
    if as_json:
        print(json.dumps([{key: _plain(value) for key, value in row.items()} for row in rows], indent=1))
        return
    if quiet:
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=max(console.width, 200))
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    for column in columns:
        right = any(isinstance(row.get(column), int | float) for row in rows)
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(column))) for column in columns))
    console.print(table)


def show_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object."""
    print(json.dumps({key: _plain(item) for key, item in value.items()}, indent=1))


@contextmanager
def working(what: str, *, quiet: bool = False) -> Iterator[None]:
    """A spinner on standard error while the block runs, on a terminal."""
    if quiet or not is_interactive():
        yield
        return
    with Console(stderr=True).status(what):
        yield


def is_interactive() -> bool:
    """Whether progress bars make sense."""
    return sys.stderr.isatty()


def _plain(value: Any) -> Any:
    """The value as JSON has it; NaN and infinity become null."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if math.isnan(value):
            return "-"
        return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.3g}"
    return str(value)
