"""Files that are written whole or not at all, and checked when they are read."""

from __future__ import annotations

import json
import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tap.errors import TableError


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the place of `path` only when the block succeeds.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "plan.json"
    >>> with written_whole(target) as temporary:
    ...     _ = temporary.write_text("{}")
    >>> target.read_text()
    '{}'
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise TableError(
            f"cannot write {path}: the folder {path.parent} does not exist",
            hint=f"mkdir -p {shlex.quote(str(path.parent))}",
        )
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save_arrays(
    path: str | Path, *, kind: str, version: int, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]
) -> None:
    """Write named arrays and JSON metadata as one safetensors file of the given kind and version."""
    from safetensors.numpy import save_file

    header = {"tap": json.dumps({"kind": kind, "version": version, **meta}, sort_keys=True)}
    with written_whole(path) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary, header)


def load_arrays(
    path: str | Path, *, kind: str, version: int
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read what `save_arrays` wrote; a file of another kind or a newer version is a `TableError`."""
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise TableError(
            f"{path} does not exist", hint=f"write it first: tap {_COMMAND.get(kind, 'collect')}"
        )
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get("tap", "null"))
            if not isinstance(header, dict):
                raise TableError(f"{path} was not written by tap", hint="pass a file that tap wrote")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise TableError(
            f"{path} cannot be read: {error}", hint="the file is damaged; write it again"
        ) from error
    found = header.pop("kind", None)
    if found != kind:
        raise TableError(
            f"{path} holds {found}, not {kind}", hint=f"write one with tap {_COMMAND.get(kind, 'collect')}"
        )
    written = header.pop("version", None)
    if written != version:
        raise TableError(
            f"{path} has version {written} of {kind}; this tap reads version {version}",
            hint="use the tap that wrote it, or write it again",
        )
    return arrays, header


_COMMAND = {"table": "collect", "sensitivity": "measure", "configurations": "measure --configs"}
