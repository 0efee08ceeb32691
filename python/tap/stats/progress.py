"""A progress bar on standard error for the passes of a collection, silent where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any


class Progress:
    """One bar a pass; nothing is drawn when `shown` is false or standard error is no terminal.

    >>> with Progress(False) as bar:
    ...     advance = bar.start("forward", 10)
    ...     advance(10)
    """

    def __init__(self, shown: bool) -> None:
        self._bars: Any = None
        if shown and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bars

            self._bars = Bars(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )

    def __enter__(self) -> Progress:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def start(self, description: str, total: int) -> Callable[[int], None]:
        """Begin a bar; the returned function advances it."""
        if self._bars is None:
            return lambda _: None
        task = self._bars.add_task(description, total=total)
        return lambda steps: self._bars.advance(task, steps)
