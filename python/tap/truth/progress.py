"""A progress bar with rate and remaining time, on a terminal only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def tracked(items: Iterable[T], total: int, label: str, shown: bool = True) -> Iterator[T]:
    """Yield the items while a bar counts them to `total`; silent when `shown` is false or stderr is a file.

    >>> list(tracked([1, 2], 2, "count", shown=False))
    [1, 2]
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not shown or not console.is_terminal or total == 0:
        yield from items
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(label, total=total)
        for item in items:
            yield item
            bar.advance(task)
