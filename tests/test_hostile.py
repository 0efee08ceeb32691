"""No text breaks the reader of programs: not its stack, memory, time or error report."""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import tap
from oracles.dsl_random import Generator
from oracles.hostile import ACCEPTED, REFUSED, damage, noise, soup
from oracles.tables import random_table

STACK = 2 << 20
MEMORY = 2 << 30
SECONDS = 2.0
"""CPU time that any one text may take; those of ten million characters are refused by their length."""


def in_a_small_place(mode: str) -> subprocess.CompletedProcess[str]:
    """Run this file in a process of its own, on a thread of 2 MiB of stack, in 2 GiB of address space."""
    command = [sys.executable, __file__, mode]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("mode", ["refused", "accepted", "soup", "noise", "damage", "screen"])
def test_hostile_texts_in_a_small_place(mode: str) -> None:
    result = in_a_small_place(mode)
    assert result.returncode == 0, f"{result.stdout[-300:]}\n{result.stderr[-3000:]}"
    assert result.stdout.endswith("finished\n")


def check_error(source: str, error: tap.ProxyError) -> None:
    """An error has a code, a span inside of the source, and a report that fits a prompt."""
    size = len(source.encode("utf-8", "surrogatepass"))
    start, end = error.span
    assert error.kind, source[:100]
    assert 0 <= start <= end <= size, (error.span, source[:100])
    assert error.message, source[:100]
    assert error.message in error.report
    assert len(error.report) < 2000, source[:100]
    assert "\n" not in error.message


def read(source: str) -> str:
    """The error code of a text, or `ok`; anything but a ProxyError goes up."""
    start = time.thread_time()
    try:
        tap.Proxy(source)
        kind = "ok"
    except tap.ProxyError as error:
        check_error(source, error)
        kind = error.kind
    spent = time.thread_time() - start
    assert spent < SECONDS, f"{spent:.1f} s for {source[:100]!r}"
    return kind


def read_refused() -> None:
    for name, build in REFUSED.items():
        print(name, flush=True)
        kind = read(build())
        assert kind != "ok", f"{name} was accepted"


def read_accepted() -> None:
    table = random_table(np.random.default_rng(5))
    expected = tap.Proxy("score = numel").score(table)
    for name, build in ACCEPTED.items():
        print(name, flush=True)
        np.testing.assert_array_equal(tap.Proxy(build()).score(table), expected, err_msg=name)


def read_many(mode: str) -> None:
    kinds = set()
    for seed in range(20_000):
        rng = random.Random(seed)
        if mode == "damage":
            source = damage(rng, Generator(rng).program())
        else:
            source = soup(rng) if mode == "soup" else noise(rng)
        print(repr(source), flush=True)
        kinds.add(read(source))
    assert len(kinds) >= 5, kinds
    assert "ok" in kinds or mode == "noise"


def screen_all() -> None:
    """One bad program in a thousand does not spoil the others."""
    table = random_table(np.random.default_rng(5))
    target = np.arange(len(table.units) * len(table.formats), dtype=float)
    target = target.reshape(len(table.units), len(table.formats))
    names = tuple(unit.name for unit in table.units)
    truth = SimpleNamespace(units=names, formats=table.formats, values=target, fingerprint="")
    hostile = [build() for build in REFUSED.values()]
    good = [build() for build in ACCEPTED.values()]
    sources = [source for pair in zip(hostile, good * len(hostile), strict=False) for source in pair]
    print("screening", flush=True)
    found = tap.screen(sources, table, truth)
    assert not found.ok[0::2].any()
    assert all(found.error[0::2])
    alone = tap.screen(good, table, truth)
    np.testing.assert_array_equal(found.spearman[1::2][: len(good)], alone.spearman)


def main(mode: str) -> None:
    """Runs one list on a thread with a small stack."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    lists = {"refused": read_refused, "accepted": read_accepted, "screen": screen_all}
    failures: list[BaseException] = []

    def run() -> None:
        try:
            lists[mode]() if mode in lists else read_many(mode)
        except BaseException as failure:
            failures.append(failure)

    threading.stack_size(STACK)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    print("finished")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main(sys.argv[1])
