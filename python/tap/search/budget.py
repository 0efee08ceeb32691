"""What a search may spend, and what it has spent: calls, tokens, money, seconds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tap.errors import BudgetError


@dataclass(frozen=True)
class Budget:
    """Upper limits; None is no limit."""

    calls: int | None = None
    """Requests sent, retries included."""
    tokens: int | None = None
    """Prompt and reply tokens together."""
    money: float | None = None
    """In the currency of the price table."""
    seconds: float | None = None
    """Wall time of the run, all sittings together."""

    def __post_init__(self) -> None:
        for name in ("calls", "tokens", "money", "seconds"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise BudgetError(
                    f"the budget of {name} is {value}", hint="give a number that is not negative"
                )


@dataclass(frozen=True)
class Price:
    """Money for one million tokens of one model."""

    input: float
    output: float

    def of(self, prompt_tokens: int, reply_tokens: int) -> float:
        """
        >>> Price(1.0, 2.0).of(500_000, 250_000)
        1.0
        """
        return (prompt_tokens * self.input + reply_tokens * self.output) / 1e6


@dataclass(frozen=True)
class Spending:
    """An amount spent or set aside; `money` is None when the price is unknown, never 0 for unknown."""

    calls: int = 0
    tokens: int = 0
    money: float | None = 0.0

    def __add__(self, other: Spending) -> Spending:
        """
        >>> Spending(1, 10, 0.5) + Spending(1, 5, None)
        Spending(calls=2, tokens=15, money=None)
        """
        known = self.money is not None and other.money is not None
        return Spending(
            self.calls + other.calls,
            self.tokens + other.tokens,
            (self.money or 0.0) + (other.money or 0.0) if known else None,
        )


@dataclass
class Meter:
    """Counts what is spent and what calls in flight may still spend, against a budget."""

    budget: Budget
    spent: Spending = field(default_factory=Spending)
    in_flight: dict[int, Spending] = field(default_factory=dict)
    """The most each call in flight may cost, by its ticket."""
    seconds_before: float = 0.0
    """Wall time of earlier sittings."""
    started: float = field(default_factory=time.monotonic)
    _tickets: int = 0

    def committed(self) -> Spending:
        """Spent plus all that is in flight."""
        total = self.spent
        for amount in self.in_flight.values():
            total = total + amount
        return total

    def refusal(self, most: Spending) -> str | None:
        """Why a call that may cost `most` does not fit, or None when it does."""
        after = self.committed() + most
        if self.budget.calls is not None and after.calls > self.budget.calls:
            return "calls"
        if self.budget.tokens is not None and after.tokens > self.budget.tokens:
            return "tokens"
        if self.budget.money is not None and (after.money is None or after.money > self.budget.money):
            return "money"
        if self.seconds_left() <= 0.0:
            return "seconds"
        return None

    def reserve(self, most: Spending) -> int:
        """Set `most` aside for a call about to be sent; returns the ticket that `settle` takes back."""
        self._tickets += 1
        self.in_flight[self._tickets] = most
        return self._tickets

    def release(self, ticket: int) -> None:
        """Give back what was set aside for a call that was not sent."""
        self.in_flight.pop(ticket, None)

    def settle(self, ticket: int, actual: Spending) -> None:
        """Replace what was set aside by what the call really cost."""
        self.in_flight.pop(ticket, None)
        self.spent = self.spent + actual

    def attempt(self, ticket: int) -> bool:
        """Whether the call with this ticket may be sent once more; the extra request is set aside as well."""
        more = Spending(calls=1)
        if self.refusal(more) is not None:
            return False
        self.in_flight[ticket] = self.in_flight.get(ticket, Spending()) + more
        return True

    def seconds(self) -> float:
        """Wall time of the run so far, earlier sittings included."""
        return self.seconds_before + time.monotonic() - self.started

    def seconds_left(self) -> float:
        """Wall time left; infinite without a limit."""
        return float("inf") if self.budget.seconds is None else self.budget.seconds - self.seconds()


def prices_from_json(record: Mapping[str, Any]) -> dict[str, Price]:
    """Read `{"model": {"input": 0.27, "output": 1.1}}`, money per million tokens.

    >>> prices_from_json({"m": {"input": 1, "output": 2}})
    {'m': Price(input=1.0, output=2.0)}
    """
    try:
        return {
            str(model): Price(float(entry["input"]), float(entry["output"]))
            for model, entry in record.items()
        }
    except (TypeError, KeyError, ValueError) as error:
        raise BudgetError(
            f"the price table cannot be read: {error!r}",
            hint='write {"model": {"input": 0.27, "output": 1.1}}, money per million tokens',
        ) from error
