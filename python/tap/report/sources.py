"""What a report is made of: files of tap, each recognised by what it holds."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tap.configurations import Configurations
from tap.errors import TableError, TapError
from tap.plan import Plan
from tap.sensitivity import Sensitivity
from tap.stats.table import LayerTable

Truth = Sensitivity | Configurations
KINDS = "a plan, a table, what tap measure wrote, the store of a search, or the result of a benchmark"


@dataclass(frozen=True)
class Sources:
    """The files of one report, by kind; each as (name of the file, what it holds)."""

    plans: list[tuple[str, Plan]] = field(default_factory=list)
    tables: list[tuple[str, LayerTable]] = field(default_factory=list)
    targets: list[tuple[str, Truth]] = field(default_factory=list)
    runs: list[tuple[str, Path]] = field(default_factory=list)
    benches: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


def read(paths: Iterable[str | Path]) -> Sources:
    """Read every file into its place.

    Raises:
        TapError: a file that is missing, damaged, or nothing that a report can show.
    """
    found = Sources()
    for path in map(Path, paths):
        if not path.is_file():
            raise TapError(f"there is no file {path}", hint=f"give {KINDS}")
        try:
            with path.open("rb") as file:
                head = file.read(16)
        except OSError as error:
            raise TapError(f"{path} cannot be read: {error.strerror}", hint="check its rights") from error
        if head.startswith(b"SQLite format 3"):
            found.runs.append((path.name, path))
        elif head.lstrip().startswith(b"{"):
            _read_json(path, found)
        else:
            _read_arrays(path, found)
    return found


def _read_json(path: Path, found: Sources) -> None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise TapError(f"{path} is not valid JSON: {error}", hint=f"give {KINDS}") from error
    if document.get("tap") == "plan":
        found.plans.append((path.name, Plan.load(path)))
    elif isinstance(document.get("nets"), list):
        found.benches.append((path.name, document))
    else:
        raise TapError(f"{path} is JSON of something else", hint=f"give {KINDS}")


def _read_arrays(path: Path, found: Sources) -> None:
    from tap.pipeline import load_target

    try:
        found.tables.append((path.name, LayerTable.load(path)))
    except TableError as error:
        if "not table" not in error.message:
            raise TableError(error.message, hint=f"give {KINDS}") from None
        found.targets.append((path.name, load_target(path)))
