"""The journal of a measurement: what is finished is on disk at once, and a killed run goes on from there."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tap.errors import TableError


class Journal:
    """Arrays by key in a file of JSON lines; the first line says what is measured, to refuse another's file.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "run.jsonl"
    >>> with Journal(path, {"loss": "kl"}) as journal:
    ...     journal.append("conv1/int4", np.array([0.5, 0.25]))
    >>> with Journal(path, {"loss": "kl"}) as journal:
    ...     journal.done["conv1/int4"].tolist()
    [0.5, 0.25]
    """

    def __init__(self, path: str | Path | None, header: Mapping[str, Any]) -> None:
        """Open or create; without a path nothing is written. A torn last line is dropped.

        Raises:
            TableError: the file is not a journal, or one of another measurement.
        """
        self.done: dict[str, NDArray[np.float64]] = {}
        self._file: int | None = None
        if path is None:
            return
        path = Path(path)
        kept = self._read(path, dict(header)) if path.is_file() and path.stat().st_size else 0
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        except OSError as error:
            raise TableError(f"cannot write {path}: {error.strerror}", hint="choose another path") from error
        os.truncate(path, kept)
        os.lseek(self._file, kept, os.SEEK_SET)
        if kept == 0:
            self._write({"tap": "journal", "version": 1, **header})

    def append(self, key: str, values: NDArray[np.float64]) -> None:
        """Write one finished item; when this returns it survives a crash."""
        self.done[key] = values
        data = np.ascontiguousarray(values, dtype="<f8")
        self._write(
            {"key": key, "shape": list(data.shape), "values": base64.b64encode(data.tobytes()).decode()}
        )

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, record: Mapping[str, Any]) -> None:
        if self._file is None:
            return
        left = memoryview((json.dumps(record, sort_keys=True) + "\n").encode())
        while left:
            left = left[os.write(self._file, left) :]
        os.fsync(self._file)

    def _read(self, path: Path, header: dict[str, Any]) -> int:
        """Fill `done`; return the length of the part of the file that is whole."""
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        try:
            lines = [json.loads(line) for line in data[:whole].splitlines()]
            if whole and lines[0].pop("tap") != "journal":
                raise TableError(f"{path} is not a journal of tap", hint="choose another path")
            if whole and (lines[0].pop("version") != 1 or lines[0] != json.loads(json.dumps(header))):
                other = ", ".join(name for name in header if lines[0].get(name) != header[name])
                raise TableError(
                    f"{path} is the journal of another measurement (other {other or 'version'})",
                    hint="delete the file to start again, or choose another path",
                )
            for record in lines[1:]:
                values = np.frombuffer(base64.b64decode(record["values"]), "<f8")
                self.done[record["key"]] = values.reshape(record["shape"])
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise TableError(
                f"{path} is not a journal of tap: {error}", hint="choose another path"
            ) from error
        return whole
