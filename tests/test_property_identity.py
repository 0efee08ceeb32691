"""One formula has one name however it is written, and programs that rank alike share a signature."""

from __future__ import annotations

import os
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import rankdata

import tap
from oracles.dsl_random import ALL, Generator
from oracles.identity import SAME
from oracles.tables import random_table
from tap import _core, proxies
from tap.stats.table import LayerTable

CASES = int(os.environ.get("TAP_CASES", "2000"))
GOLDEN = Path(__file__).parent / "golden" / "dsl" / "ok"


def program(seed: int) -> str:
    return Generator(random.Random(seed), ALL).program(depth=4)


@pytest.mark.parametrize("way", SAME)
def test_a_formula_written_anew_has_the_same_hash(way: str) -> None:
    changed = 0
    for seed in range(CASES // 4):
        source = program(seed)
        other = SAME[way](source, random.Random(seed))
        changed += other.strip() != source.strip()
        assert tap.Proxy(source).hash == tap.Proxy(other).hash, f"seed {seed}\n{source}\n{other}"
    assert changed > CASES // 20


def test_other_formulas_have_other_hashes() -> None:
    """Among random programs equal hashes are equal scores, on tables where few things are equal by luck."""
    rng = np.random.default_rng(1)
    table = next(table for table in (random_table(rng) for _ in range(50)) if len(table.units) >= 4)
    by_hash: dict[str, bytes] = {}
    for seed in range(CASES // 2):
        try:
            proxy = tap.Proxy(program(seed))
            scores = proxy.score(table)
        except tap.ProxyError:
            continue
        assert by_hash.setdefault(proxy.hash, scores.tobytes()) == scores.tobytes(), program(seed)
    assert len(by_hash) > CASES // 20


def printed(source: str) -> str:
    """The canonical print, which must be its own, and the same formula."""
    text = _core.format_source(source)
    assert _core.format_source(text) == text, source
    assert tap.Proxy(text).hash == tap.Proxy(source).hash, source
    assert tap.Proxy(text).notes == (), text
    return text


def test_printing_is_a_fixpoint_of_parsing() -> None:
    sources = [program(seed) for seed in range(CASES // 2)]
    sources += _core.random_programs(4, CASES // 4, 20)
    sources += [proxies.source(name) for name in proxies.names()]
    sources += [path.read_text(encoding="utf-8") for path in sorted(GOLDEN.glob("*.tap"))]
    texts = {printed(source) for source in sources}
    assert len(texts) > len(sources) // 2


def sensitivity(table: LayerTable) -> SimpleNamespace:
    rng = np.random.default_rng(0)
    names = tuple(unit.name for unit in table.units)
    values = rng.standard_normal((len(names), len(table.formats)))
    return SimpleNamespace(units=names, formats=table.formats, values=values, fingerprint="")


@pytest.mark.parametrize("seed", range(4))
def test_equal_signatures_are_equal_rankings(seed: int) -> None:
    """Both ways round: twins share it, others do not. Scaling by 4 rounds nothing, so makes twins."""
    rng = np.random.default_rng(seed)
    table = next(table for table in (random_table(rng) for _ in range(50)) if len(table.units) >= 3)
    sources = [program(1000 * seed + place) for place in range(CASES // 10)]
    sources += [f"{''.join(lines)}score = ({last}) * 4" for *lines, last in map(_lines, sources)]
    found = tap.screen(sources, table, sensitivity(table))
    ranks: dict[int, bytes] = {}
    for place in np.flatnonzero(found.ok):
        scores = tap.Proxy(sources[place]).score(table)
        order = rankdata(scores.ravel()).tobytes()
        assert ranks.setdefault(int(found.signature[place]), order) == order, sources[place]
    assert len(set(ranks.values())) == len(ranks) > 3
    half = len(sources) // 2
    both = found.ok[:half] & found.ok[half:]
    assert both.sum() > half // 4
    np.testing.assert_array_equal(found.signature[:half][both], found.signature[half:][both])


def _lines(source: str) -> list[str]:
    *lines, last = source.strip().split("\n")
    return [*(f"{line}\n" for line in lines), last.removeprefix("score = ")]
