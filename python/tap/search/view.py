"""What a running search shows: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TextIO

from tap.search.budget import Spending


@dataclass(frozen=True)
class Status:
    """Where a search stands."""

    generation: int
    generations: int
    phase: str
    """`planning`, `asking`, `local search`, `judging`, `done`, or why it stopped."""
    best: float | None = None
    agreement: Mapping[str, float] = field(default_factory=dict)
    """Agreement of the best candidate on each search network."""
    ceiling: Mapping[str, float] = field(default_factory=dict)
    program: str = ""
    spent: Spending = field(default_factory=Spending)
    tried: int = 0
    """Programs that the local search has scored."""
    verdicts: Mapping[str, int] = field(default_factory=dict)
    gains: Mapping[str, float] = field(default_factory=dict)
    """How much of the best fitness each origin brought."""
    seconds: float = 0.0


class View(Protocol):
    """What the search tells while it runs."""

    def update(self, status: Status) -> None:
        """Something changed."""
        ...

    def close(self) -> None:
        """The search ended, well or not."""
        ...


class Silent:
    """Shows nothing."""

    def update(self, status: Status) -> None:
        return None

    def close(self) -> None:
        return None


class Lines:
    """One plain line a generation."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out if out is not None else sys.stderr
        self._said: tuple[int, str] | None = None

    def update(self, status: Status) -> None:
        if status.phase in ("planning", "asking", "local search", "judging"):
            return
        if (status.generation, status.phase) != self._said:
            self._said = (status.generation, status.phase)
            print(line(status), file=self._out, flush=True)

    def close(self) -> None:
        return None


class Live:
    """A table that is drawn anew, with rich."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        self._live = RichLive(console=Console(stderr=True), refresh_per_second=4)
        self._live.start()

    def update(self, status: Status) -> None:
        self._live.update(_table(status))

    def close(self) -> None:
        self._live.stop()


def view(progress: bool) -> View:
    """A live table on a terminal, lines elsewhere, silence when `progress` is off."""
    if not progress:
        return Silent()
    return Live() if sys.stderr.isatty() else Lines()


def line(status: Status) -> str:
    """The status on one line.

    >>> line(Status(1, 5, "done", best=0.5, tried=200))
    'generation 1/5 done: best 0.500; 200 programs tried here'
    """
    parts = [f"generation {status.generation}/{status.generations} {status.phase}:"]
    parts.append("no candidate yet" if status.best is None else f"best {status.best:.3f}")
    told = ", ".join(_against(name, value, status) for name, value in status.agreement.items())
    text = " ".join(parts) + (f" ({told})" if told else "")
    if status.spent.calls:
        text += f"; {status.spent.calls} calls, {status.spent.tokens} tokens, cost {money(status.spent)}"
    if status.tried:
        text += f"; {status.tried} programs tried here"
    rejected = _counts({name: n for name, n in status.verdicts.items() if name not in ("kept", "scored")})
    return text + (f"; rejected: {rejected}" if rejected else "")


def money(spent: Spending) -> str:
    """Money spent; what is unknown says so.

    >>> money(Spending(1, 1, None)), money(Spending(1, 1, 0.25))
    ('unknown', '0.2500')
    """
    return "unknown" if spent.money is None else f"{spent.money:.4f}"


def _table(status: Status) -> Any:
    from rich.table import Table

    table = Table(show_header=False, title="tap search", title_justify="left")
    table.add_column(style="dim")
    table.add_column()
    table.add_row("generation", f"{status.generation} of {status.generations}, {status.phase}")
    table.add_row("best fitness", "none yet" if status.best is None else f"{status.best:.4f}")
    for name, value in status.agreement.items():
        table.add_row("agreement", _against(name, value, status))
    table.add_row("program", status.program)
    table.add_row(
        "spent",
        f"{status.spent.calls} calls, {status.spent.tokens} tokens, cost {money(status.spent)},"
        f" {status.seconds:.0f} s",
    )
    table.add_row("local search", f"{status.tried} programs")
    table.add_row("candidates", _counts(status.verdicts))
    gains = ", ".join(f"{name} {value:+.4f}" for name, value in status.gains.items())
    table.add_row("gain by origin", gains)
    return table


def _against(name: str, value: float, status: Status) -> str:
    ceiling = status.ceiling.get(name)
    return f"{name} {value:.3f}" + (f" of {ceiling:.3f}" if ceiling is not None else "")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items())
