"""Where an export goes: a new file or folder that appears whole or not at all."""

from __future__ import annotations

import errno
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from tap.errors import ExportError


@contextmanager
def new_place(
    path: str | Path, kind: Literal["file", "folder"], *, overwrite: bool = False
) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes the place of `path` when the block succeeds.

    Raises:
        ExportError: something is there already (unless `overwrite`), the folder above is missing, or the
            disk is full. Nothing is left behind then.

    >>> path = Path(tempfile.mkdtemp()) / "out"
    >>> with new_place(path, "folder") as folder:
    ...     _ = (folder / "config.json").write_text("{}")
    >>> [file.name for file in path.iterdir()]
    ['config.json']
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise ExportError(
            f"{path} is there already", hint="choose another path, or pass overwrite=True (--overwrite)"
        )
    if not path.parent.is_dir():
        raise ExportError(
            f"cannot write {path}: the folder {path.parent} does not exist",
            hint=f"mkdir -p {shlex.quote(str(path.parent))}",
        )
    try:
        holder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
    except OSError as error:
        raise _failed(path, error) from error
    try:
        place = holder / path.name
        if kind == "folder":
            place.mkdir()
        yield place
        if path.exists():
            path.replace(holder / "replaced")
        place.replace(path)
    except OSError as error:
        raise _failed(path, error) from error
    except Exception as error:
        # safetensors reports a failed write as an error of its own.
        if type(error).__name__ == "SafetensorError":
            raise _failed(path, error) from error
        raise
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def sizes_of(path: Path) -> dict[str, int]:
    """Bytes of each file at or below a path, by its name."""
    if path.is_file():
        return {path.name: path.stat().st_size}
    return {
        file.relative_to(path).as_posix(): file.stat().st_size
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def _failed(path: Path, error: Exception) -> ExportError:
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    full = full or any(word in str(error) for word in ("No space left", "too large", "quota"))
    why = "the disk is full" if full else str(error)
    return ExportError(
        f"cannot write {path}: {why}; nothing was left behind",
        hint="free space or choose another disk" if full else "check the path and its rights",
    )
