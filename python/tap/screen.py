"""Screening: many programs run on tables and judged by the truth, from a list or from a file."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tap import _core
from tap.agreement import truth_of
from tap.errors import DataError, TableError
from tap.files import written_whole
from tap.limits import checked
from tap.proxy import core_table, readable
from tap.rows import read_programs, writer
from tap.screening import Screening
from tap.stats.table import LayerTable

__all__ = ["ScreenedFile", "Screening", "screen", "screen_file"]

_THREADS = 1024
"""More are never started."""
_KINDS = np.array(["", *_core.error_kinds()], dtype=object)


def screen(
    sources: str | Sequence[str],
    tables: LayerTable | Sequence[LayerTable],
    targets: Any,
    *,
    budgets: int | Sequence[float] | None = None,
    threads: int | None = None,
    limits: Mapping[str, int] | None = None,
) -> Screening:
    """Run programs on tables and compare their scores with the truth.

    `targets` holds a `Sensitivity` or `Configurations` for each of `tables`. Scores are those of
    `Proxy.score`. With a sensitivity, agreement is over all units and formats at once; with configurations
    a program predicts the loss of each as the sum of its units' scores, and agreement is within each
    stratum, averaged. Over several tables the mean is taken.

    Regret is what deciding by the scores gives away, 0 for the best decision and 1 for one no better than
    not knowing. With a sensitivity it needs `budgets` (average bits a weight, or the number of rungs of an
    even ladder): the loss of the best plan by the scores over that of the best plan by the truth, as part of
    what the cheapest plan gives away. With configurations: the loss of the one ranked first in each stratum
    over the least, as part of the mean's. `threads` is all cores by default; `limits` as for `Proxy`. Results
    do not depend on `threads`.

    Raises:
        TableError: a target that does not belong to its table.
        DataError: less than one thread.

    >>> found = screen(["dw2", "numel * bits", "log(0 * bits)"], *_example())
    >>> found.ok.tolist(), found.spearman[:2].tolist(), str(found.kind[2])
    ([True, True, False], [1.0, -0.5], 'non-finite')
    """
    programs = [sources] if isinstance(sources, str) else sources
    return _Judges(tables, targets, budgets=budgets, threads=threads, limits=limits).screen(programs)


@dataclass(frozen=True)
class ScreenedFile:
    """How the screening of a file went."""

    rows: int
    """Programs screened; all of them are in the result."""
    ok: int
    """Programs with finite scores."""
    complete: bool
    """False when Ctrl-C ended the work; the result then holds the rows up to there."""
    seconds: float


def screen_file(
    path: str | Path,
    tables: LayerTable | Sequence[LayerTable],
    targets: Any,
    *,
    out: str | Path,
    budgets: int | Sequence[float] | None = None,
    threads: int | None = None,
    limits: Mapping[str, int] | None = None,
    chunk: int = 32_768,
    progress: bool = True,
) -> ScreenedFile:
    """Screen the programs of a JSON Lines file, in memory that does not grow with it.

    A line is a program as a JSON string, or an object with it under "program". `out` is `.csv`, `.jsonl` or
    `.parquet` and appears when the work ends, by itself or by Ctrl-C; its columns are `tap.rows.COLUMNS`.
    At most `chunk` programs are screened at a time, as many as take about a second; the rest as for `screen`.

    Raises:
        DataError: a file or a line that holds no program; another suffix of `out`.
        TableError: a target that does not belong to its table, or a folder that does not exist.
        MissingExtraError: `.parquet` without pyarrow.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "programs.jsonl").write_text('"dw2"\\n"lgo(dw2)"\\n')
    >>> done = screen_file(folder / "programs.jsonl", *_example(), out=folder / "found.csv", progress=False)
    >>> done.rows, done.ok, (folder / "found.csv").read_text().splitlines()[1][:12]
    (2, 1, '1,True,,,1.0')
    """
    judges = _Judges(tables, targets, budgets=budgets, threads=threads, limits=limits)
    started, rows, ok, complete, pace = time.monotonic(), 0, 0, True, _Pace(chunk)
    size = Path(path).stat().st_size if Path(path).is_file() else 0
    with (
        _Interrupts() as interrupts,
        written_whole(out) as temporary,
        writer(temporary, Path(out).suffix) as file,
        _bar(size, progress) as bar,
    ):
        try:
            for lines, programs, done in read_programs(path, chunk=pace.size):
                before = time.monotonic()
                columns = _columns(lines, programs, found := judges.screen(programs))
                pace.took(len(programs), time.monotonic() - before)
                with interrupts.held_back():
                    file.write(columns)
                    rows, ok = rows + len(found), ok + int(found.ok.sum())
                bar.update(bar.task_ids[0], completed=done, rows=rows, ok=ok)
        except KeyboardInterrupt:
            complete = False
    return ScreenedFile(rows, ok, complete, time.monotonic() - started)


class _Pace:
    """How many programs to screen at a time: as many as take about a second, however slow they are."""

    def __init__(self, most: int) -> None:
        self._most, self._next = most, min(most, 256)

    def size(self) -> int:
        return self._next

    def took(self, programs: int, seconds: float) -> None:
        self._next = max(1, min(self._most, 4 * self._next, int(programs / max(seconds, 1e-9))))


class _Interrupts:
    """Ctrl-C once ends the work, but tears no row; once it came, further ones wait for the file's end.

    Somebody else's handler is left alone, as are other threads than the main one, which no signal reaches.
    """

    def __init__(self) -> None:
        self._came = self._held = self._installed = False

    def __enter__(self) -> _Interrupts:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
            self._installed = True
        return self

    def __exit__(self, *_: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """A block that Ctrl-C ends only behind its last line."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._came:
            raise KeyboardInterrupt

    def _handle(self, *_: object) -> None:
        first, self._came = not self._came, True
        if first and not self._held:
            raise KeyboardInterrupt


class _Judges:
    """Tables and targets in the core's form, made once for many calls."""

    def __init__(
        self,
        tables: LayerTable | Sequence[LayerTable],
        targets: Any,
        *,
        budgets: int | Sequence[float] | None,
        threads: int | None,
        limits: Mapping[str, int] | None,
    ) -> None:
        self.tables = [tables] if isinstance(tables, LayerTable) else list(tables)
        all_targets = list(targets) if isinstance(targets, (list, tuple)) else [targets]
        if not self.tables or len(self.tables) != len(all_targets):
            raise TableError(
                f"{len(self.tables)} tables and {len(all_targets)} targets",
                hint="give one target for each table",
            )
        self.pairs = [
            (core_table(table), truth_of(target, table, budgets=budgets))
            for table, target in zip(self.tables, all_targets, strict=True)
        ]
        if threads is not None and threads < 1:
            raise DataError(f"{threads} threads", hint="give at least 1, or None for all cores")
        self.threads = min(threads or os.cpu_count() or 1, _THREADS)
        self.limits = checked(limits)

    def screen(self, programs: Sequence[str]) -> Screening:
        try:
            found = _core.screen_programs(programs, self.pairs, self.threads, self.limits)
        except UnicodeEncodeError:
            programs = [readable(program) for program in programs]
            found = _core.screen_programs(programs, self.pairs, self.threads, self.limits)
        return Screening(
            kind=_KINDS[found["kind"]],
            spearman=found["spearman"].mean(axis=0),
            kendall=found["kendall"].mean(axis=0),
            regret=found["regret"].mean(axis=0),
            ops=found["ops"],
            signature=found["signature"],
            key=found["key"],
            spearman_by_table=found["spearman"],
            kendall_by_table=found["kendall"],
            regret_by_table=found["regret"],
            sources=programs,
            tables=self.tables,
            limits=self.limits,
        )


def _columns(lines: list[int], programs: list[str], found: Screening) -> list[list[Any]]:
    """The columns of `tap.rows.COLUMNS`."""
    signatures = [f"{signature:016x}" for signature in found.signature.tolist()]
    measures = [found.spearman.tolist(), found.kendall.tolist(), found.regret.tolist()]
    texts = [found.kind.tolist(), found.error.tolist()]
    return [
        lines,
        found.ok.tolist(),
        *texts,
        *measures,
        found.ops.tolist(),
        found.hash.tolist(),
        signatures,
        [readable(program) for program in programs],
    ]


def _bar(size: int, shown: bool) -> Any:
    """A progress bar over bytes that also counts programs."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    texts = TextColumn("{task.fields[rows]:,} programs, {task.fields[ok]:,} with scores")
    columns = (BarColumn(), TaskProgressColumn(), texts, TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), disable=not shown, transient=True)
    bar.add_task("screen", total=size, rows=0, ok=0)
    return bar


def _example() -> tuple[LayerTable, Any]:
    """A table of three units and its truth, for the examples of this page."""
    from types import SimpleNamespace

    from tap.stats.units import Unit

    units = tuple(
        Unit(name, "linear", size, 4, 1, 4 * size) for name, size in zip("abc", (2, 4, 8), strict=True)
    )
    columns = {"bits": np.full((3, 1), 2.0), "dw2": np.array([[0.5], [0.9], [0.1]])}
    values = np.array([[0.2], [0.4], [0.1]])
    truth = SimpleNamespace(units="abc", formats=("int2",), values=values, fingerprint="")
    return LayerTable(units, ("int2",), columns), truth
