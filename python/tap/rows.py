"""Files of programs and of screening results, one row a program, read and written piece by piece."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from tap.errors import DataError, require_extra

_MARKS = ("spearman", "kendall", "regret")
COLUMNS = ("line", "ok", "kind", "error", *_MARKS, "ops", "hash", "signature", "source")
"""What each row of a result holds; `line` is the line of the program's file, from 1."""
_LINE, _HELD = 1 << 24, 1 << 23
"""Bytes of the longest line, and of lines held before they are handed on."""
_KEYS = ("program", "source", "code")


class Writer(Protocol):
    """Takes columns of rows, in the order of `COLUMNS`."""

    def write(self, columns: Sequence[Sequence[Any]]) -> None:
        """Add the rows."""


def read_programs(
    path: str | Path, *, chunk: int | Callable[[], int]
) -> Iterator[tuple[list[int], list[str], int]]:
    """Programs of a JSON Lines file, `chunk` at a time: their line numbers, texts, and the bytes read so far.

    A line is a JSON string, or an object with the program under "program", "source" or "code"; empty lines
    are skipped. Anything else is a `DataError` that names the line, as is a line of more than 16 MiB. Where
    programs are long, fewer than `chunk` come at once.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "programs.jsonl"
    >>> _ = file.write_text('"score = dw2"\\n{"program": "score = bits"}\\n')
    >>> list(read_programs(file, chunk=10))
    [([1, 2], ['score = dw2', 'score = bits'], 42)]
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} does not exist", hint="write one program a line, as JSON strings")
    size = chunk if callable(chunk) else lambda: chunk
    numbers, texts, done, held = list[int](), list[str](), 0, 0
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_LINE + 1), b""), 1):
            if len(line) > _LINE:
                raise DataError(
                    f"{path}, line {number} has more than {_LINE:,} bytes", hint="write one program a line"
                )
            done, held = done + len(line), held + len(line)
            if line.strip():
                numbers.append(number)
                texts.append(_program(path, number, line))
            if texts and (len(texts) >= size() or held > _HELD):
                yield numbers, texts, done
                numbers, texts, held = [], [], 0
    if texts:
        yield numbers, texts, done


def _program(path: Path, number: int, line: bytes) -> str:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise DataError(
            f"{path}, line {number} is not JSON: {error}", hint='a line is "program text" or {"program": ...}'
        ) from error
    if isinstance(record, dict):
        record = next((record[key] for key in _KEYS if key in record), None)
    if not isinstance(record, str):
        raise DataError(
            f"{path}, line {number} holds no program",
            hint=f"an object needs one of the keys {', '.join(_KEYS)}",
        )
    return record


@contextmanager
def writer(path: Path, suffix: str) -> Iterator[Writer]:
    """A writer of `.csv`, `.jsonl` or `.parquet`; the file is complete when the block ends.

    Raises:
        DataError: another suffix.
        MissingExtraError: `.parquet` without the package pyarrow.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "found"
    >>> with writer(file, ".csv") as rows:
    ...     rows.write([[1]] * len(COLUMNS))
    >>> file.read_text().splitlines()[1]
    '1,1,1,1,1,1,1,1,1,1,1'
    """
    if suffix == ".parquet":
        require_extra("pyarrow", extra="parquet", why="writing .parquet")
        with _parquet(path) as rows:
            yield rows
    elif suffix in (".csv", ".jsonl"):
        with path.open("w", encoding="utf-8", newline="") as file:
            yield _Csv(file) if suffix == ".csv" else _Jsonl(file)
    else:
        raise DataError(
            f"cannot write '{suffix or path.name}'", hint="name the result .csv, .jsonl or .parquet"
        )


class _Csv:
    def __init__(self, file: Any) -> None:
        # The line end of RFC 4180, or a lone carriage return within a program would not be quoted.
        self._rows = csv.writer(file)
        self._rows.writerow(COLUMNS)

    def write(self, columns: Sequence[Sequence[Any]]) -> None:
        self._rows.writerows(zip(*columns, strict=True))


class _Jsonl:
    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, columns: Sequence[Sequence[Any]]) -> None:
        rows = (
            json.dumps(dict(zip(COLUMNS, map(_finite, row), strict=True)))
            for row in zip(*columns, strict=True)
        )
        self._file.writelines(f"{row}\n" for row in rows)


def _finite(value: Any) -> Any:
    """The value, with null for a NaN, which JSON lacks."""
    return None if value != value else value


@contextmanager
def _parquet(path: Path) -> Iterator[Writer]:
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {"line": pa.int64(), "ok": pa.bool_(), "ops": pa.uint32()}
    kinds |= dict.fromkeys(_MARKS, pa.float64())
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])

    class Rows:
        def write(self, columns: Sequence[Sequence[Any]]) -> None:
            arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            file.write_table(pa.Table.from_arrays(arrays, schema=schema))

    with parquet.ParquetWriter(path, schema) as file:
        yield Rows()
