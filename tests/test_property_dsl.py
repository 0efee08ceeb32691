"""The engine and its slow twin agree on random well-typed programs over random tables.

`TAP_CASES=100000 pytest tests/test_property_dsl.py` is the long run; a failure names its seed and prints the
program made small.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pytest

import tap
from oracles.dsl import Outcome, Rejected, evaluate
from oracles.dsl_random import ALL, EXACT, Generator, Vocabulary
from oracles.shrink import shrink
from oracles.tables import random_table
from tap.stats.table import LayerTable

CASES = int(os.environ.get("TAP_CASES", "2000"))
CHUNKS = 10
ROUNDING = 1e-13
"""Relative disturbance of each rounded result: a hundred times the 2 ulp that kernels may be off, so that
sums of tens of terms in any order stay inside."""


@dataclass(frozen=True)
class Expected:
    """Scores [L, F] as tap.Proxy.score gives them, and how far off an honest engine may be."""

    scores: np.ndarray
    tolerance: np.ndarray
    culprits: list[tuple[str, int]]

    @property
    def stable(self) -> bool:
        """Whether rounding cannot decide between a finite and a non-finite score."""
        return bool(np.isfinite(self.tolerance).all())


@lru_cache(maxsize=64)
def table_of(seed: int, exact: bool) -> LayerTable:
    return random_table(np.random.default_rng(seed), exact=exact, whole=exact)


def final(outcome: Outcome, table: LayerTable) -> np.ndarray:
    """A score without format is a sensitivity of the unit: it meets dw2 of each format in tap.Proxy."""
    if outcome.axes == {"format"}:
        return outcome.scores
    with np.errstate(all="ignore"):
        return outcome.scores * table.columns["dw2"]


def expected_of(source: str, table: LayerTable, *, exact: bool = False, looks: int = 2) -> Expected:
    """The twin's scores, with a tolerance from how much they move when every rounding is disturbed.

    Where rounding decides about a sign, a tie or a comparison, two looks may miss it; forty will not.
    """
    outcome = evaluate(source, table)
    scores = final(outcome, table)
    if exact:
        tolerance = np.full(scores.shape, np.inf if outcome.largest > 2.0**50 else 0.0)
        return Expected(scores, tolerance, outcome.culprits)
    rng = np.random.default_rng(1)

    def disturb(array: np.ndarray, rounded: bool, signless: bool) -> np.ndarray:
        if rounded:
            # Some elements stay as they are, so that what is equal by luck is seen equal and unequal.
            array = array * (1 + ROUNDING * rng.integers(-1, 2, array.shape))
        if signless and (array == 0).any():
            array = np.where(array == 0, rng.choice([0.0, -0.0], array.shape), array)
        return array

    def blunt(array: np.ndarray, rounded: bool, signless: bool) -> np.ndarray:
        """Fewer digits, so that what is equal but for its rounding is seen equal everywhere."""
        if not rounded:
            return array
        mantissa, exponent = np.frexp(array)
        with np.errstate(all="ignore"):
            return np.ldexp(np.rint(mantissa * 2.0**42) / 2.0**42, exponent)

    spread = np.zeros(scores.shape)
    for look in range(looks):
        other = final(evaluate(source, table, disturb=blunt if look == 2 else disturb), table)
        with np.errstate(all="ignore"):
            apart = np.abs(other - scores)
        apart[~np.isfinite(scores) & ~np.isfinite(other)] = 0.0
        spread = np.maximum(spread, np.where(np.isnan(apart), np.inf, apart))
    with np.errstate(all="ignore"):
        tolerance = 20 * spread + 1e-11 * np.where(np.isfinite(scores), np.abs(scores), 0.0)
        loose = tolerance > 1e-3 * np.abs(scores) + 1e-280
    tolerance[(loose & (spread > 0)) | outcome.doubtful] = np.inf
    return Expected(scores, tolerance, outcome.culprits)


def difference(source: str, table: LayerTable, *, exact: bool = False, looks: int = 2) -> str | None:
    """What the engine does differently from the twin, or None."""
    expected = expected_of(source, table, exact=exact, looks=looks)
    try:
        scores = tap.Proxy(source).score(table)
    except tap.ProxyError as error:
        if error.kind != "non-finite":
            return f"refused: {error.report}"
        if expected.stable and np.isfinite(expected.scores).all():
            return f"verdict {error.message}, but the scores are {expected.scores.tolist()}"
        return None
    if expected.stable and not np.isfinite(expected.scores).all():
        return f"scores {scores.tolist()}, but {expected.culprits} made {expected.scores.tolist()}"
    if scores.shape != expected.scores.shape or scores.dtype != np.float64:
        return f"shape {scores.shape} of {scores.dtype}"
    with np.errstate(all="ignore"):
        wrong = ~(np.abs(scores - expected.scores) <= expected.tolerance) & np.isfinite(expected.tolerance)
    if wrong.any():
        return f"scores {scores.tolist()}, not {expected.scores.tolist()} +- {expected.tolerance.tolist()}"
    return None


def still_different(source: str, table: LayerTable, *, exact: bool) -> bool:
    """For the shrinker: a program outside of the language is not a finding."""
    try:
        found = difference(source, table, exact=exact, looks=40)
    except (Rejected, SyntaxError, ValueError, KeyError, IndexError, TypeError):
        return False
    return found is not None and not found.startswith("refused")


def check(seed: int, vocabulary: Vocabulary, *, exact: bool) -> None:
    source = Generator(random.Random(seed), vocabulary).program(depth=3 if exact else 4)
    table = table_of(seed // 8, exact)
    found = difference(source, table, exact=exact)
    if found is not None and difference(source, table, exact=exact, looks=40) is not None:
        if not found.startswith("refused"):
            source = shrink(source, lambda text: still_different(text, table, exact=exact))
            found = difference(source, table, exact=exact)
        pytest.fail(f"seed {seed}: {found}\n{source}")


def part(chunk: int, cases: int) -> range:
    return range(chunk * cases // CHUNKS, (chunk + 1) * cases // CHUNKS)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_random_programs_score_as_numpy_does(chunk: int) -> None:
    for seed in part(chunk, CASES):
        check(seed, ALL, exact=False)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_programs_that_round_nothing_score_to_the_last_bit(chunk: int) -> None:
    for seed in part(chunk, CASES // 4):
        check(seed, EXACT, exact=True)


def test_most_random_cases_say_something() -> None:
    """The tests above would pass on programs that are all unstable or all not finite."""
    stable = finite = 0
    for seed in range(200):
        source = Generator(random.Random(seed), ALL).program()
        expected = expected_of(source, table_of(seed // 8, False))
        stable += expected.stable
        finite += expected.stable and bool(np.isfinite(expected.scores).all())
    assert stable >= 130
    assert 70 <= finite <= 180


def test_quantiles_beside_infinities_are_infinite() -> None:
    """Between equal infinities, and between a finite and an infinite element, nothing turns into NaN."""
    table = table_of(3, False)
    ones = "(w == w) * 1"
    for source in (
        f"score = 1 / median({ones} / 0)",
        f"score = 1 / quantile(where(w == max(w), 1 / 0, {ones}), 0.999)",
        f"score = 1 / quantile(where(w == min(w), -1 / 0, {ones}), 0.001)",
    ):
        assert difference(source, table) is None, source


def test_a_sensitivity_that_overflows_with_the_error_is_refused() -> None:
    table = table_of(3, False)
    assert (table.columns["dw2"] != 0).any()
    with pytest.raises(tap.ProxyError, match="not finite") as caught:
        tap.Proxy("score = 1e300 * 1e8 * numel").score(
            replace(table, columns={**table.columns, "dw2": np.full_like(table.columns["dw2"], 1e9)})
        )
    assert caught.value.kind == "non-finite"
