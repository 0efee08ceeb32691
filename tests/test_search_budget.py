"""Budgets: what is spent, what is in flight, what is unknown."""

from __future__ import annotations

import pytest

from tap.errors import BudgetError
from tap.search.budget import Budget, Meter, Price, Spending, prices_from_json


@pytest.mark.parametrize(
    ("budget", "reason"),
    [(Budget(calls=2), "calls"), (Budget(tokens=250), "tokens"), (Budget(money=2.5), "money")],
)
def test_calls_in_flight_count(budget: Budget, reason: str) -> None:
    meter, call = Meter(budget), Spending(1, 100, 1.0)
    first, _ = meter.reserve(call), meter.reserve(call)
    assert meter.refusal(call) == reason
    meter.settle(first, Spending(0, 0, 0.0))
    assert meter.refusal(call) is None


def test_retries_count_as_calls() -> None:
    meter = Meter(Budget(calls=2))
    ticket = meter.reserve(Spending(1))
    assert meter.attempt(ticket)
    assert not meter.attempt(ticket)
    meter.settle(ticket, Spending(2, 10))
    assert meter.spent == Spending(2, 10, 0.0)


def test_unknown_price_is_unknown_and_refused_under_a_money_budget() -> None:
    assert Spending(1, 1, None) + Spending(1, 1, 1.0) == Spending(2, 2, None)
    assert Meter(Budget(money=10.0)).refusal(Spending(1, 1, None)) == "money"
    assert Meter(Budget(calls=10)).refusal(Spending(1, 1, None)) is None


def test_wall_time_counts_earlier_sittings() -> None:
    assert Meter(Budget(seconds=10.0), seconds_before=11.0).refusal(Spending(1)) == "seconds"
    assert Meter(Budget(seconds=10.0)).refusal(Spending(1)) is None


def test_prices() -> None:
    assert prices_from_json({"m": {"input": 2, "output": 4}})["m"].of(1_000_000, 500_000) == 4.0
    for wrong in ({"m": {"input": 1}}, {"m": 3}, {"m": {"input": "x", "output": 1}}):
        with pytest.raises(BudgetError):
            prices_from_json(wrong)
    with pytest.raises(BudgetError):
        Budget(calls=-1)
    with pytest.raises(BudgetError):
        Budget(money=float("nan"))
    assert Price(0.0, 0.0).of(10, 10) == 0.0
