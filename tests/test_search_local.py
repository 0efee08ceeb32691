"""The local search: statistics lifted and put back, the archive, and that it finds what it should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from search_world import net
from tap import _core
from tap.proxy import Proxy
from tap.screen import screen
from tap.search.archive import Archive, Elite
from tap.search.config import Settings
from tap.search.features import Blocks
from tap.search.local import LocalSearch

PROGRAMS = (
    "score = trace / numel * sum(square(dw))",
    "a = sum(g2 * square(dw))\nb = max(abs(w), out)\nscore = rank(a) + a * mean(b) ** 0.5",
    "score = mean(sum(square(dw), in_, pos) / (max(abs(w)) + 1e-9)) * bits",
    "score = sum(g2)",
    "score = dw2 * numel",
)


@pytest.mark.parametrize("program", PROGRAMS)
def test_statistics_are_lifted_and_put_back(program: str) -> None:
    one = net(1)
    blocks = Blocks([one])
    lifted = blocks.lifted(program)
    assert lifted is not None
    table = blocks.tables(blocks.named([lifted]))[0]
    assert not table.samples
    np.testing.assert_array_equal(Proxy(lifted, columns=table).score(table), Proxy(program).score(one.table))
    assert Proxy(blocks.lowered(lifted)).hash == Proxy(program).hash


def test_equal_statistics_have_one_name() -> None:
    first = _core.lift("score = sum(g2 * square(dw)) * 2")[1]
    second = _core.lift("e = dw * dw\nscore = rank(sum(e * g2)) / bits")[1]
    assert [name for name, _ in first] == [name for name, _ in second]


def test_what_does_not_lift() -> None:
    blocks = Blocks([net(1)])
    assert blocks.lifted("score = (") is None
    assert blocks.lifted("score = sum(gz2)") is None
    assert blocks.lifted("score = bits") == "score = bits"


def test_offspring_are_the_same_on_any_number_of_threads() -> None:
    columns = [("own", ["format"]), ("other", [])]
    parents = ["score = own * trace ** 0.5 + other", "score = rank(own)", "score = rank(own)"]
    one = _core.vary(5, parents, 2_000, ["own", "other", "trace"], columns, threads=1)
    two = _core.vary(5, parents, 2_000, ["own", "other", "trace"], columns, threads=2)
    assert one[0] == two[0]
    assert one[1].tolist() == two[1].tolist()
    assert {0, 1, 2} <= set(one[1].tolist())
    assert len(set(one[0])) > 800


def test_every_kind_of_change_happens() -> None:
    parent = "score = dw2 * trace ** 0.5"
    children = "\n".join(_core.vary(7, [parent, "score = rank(bytes) + 1"], 3_000, ["dw2", "trace"])[0])
    for part in ("net_mean(", "rank(", "tanh(", "max(", "**(-2)", "trace**0.4", "dw2 * trace**0.5 * dw2"):
        assert part in children, part
    assert "score = dw2\n" in children


def test_the_archive_keeps_the_worthiest_of_each_kind() -> None:
    archive = Archive(2)
    archive.take([Elite("score = a * b", 0.5, 1), Elite("score = b + a", 0.6, 2), Elite("score = a", 0.4, 3)])
    assert [one.source for one in archive.elites] == ["score = b + a", "score = a"]
    assert archive.bar == 0.4
    archive.take([Elite("score = c", 0.45, 4), Elite("score = d", 0.45, 2)])
    assert [one.source for one in archive.elites] == ["score = b + a", "score = c"]
    drawn = archive.draw(2_000, np.random.default_rng(0))
    assert drawn.count(archive.elites[0]) > drawn.count(archive.elites[1]) > 0


@pytest.mark.parametrize("fitness", ["agreement", "regret"])
def test_it_finds_more_than_its_statistics_say(fitness: str) -> None:
    nets = [net(1), net(2)]
    search = LocalSearch(nets, Settings(local=20_000, fitness=fitness))
    tables, targets = [one.table for one in nets], [one.target for one in nets]
    found = search.search([], [], 0, np.random.default_rng(1))
    again = LocalSearch(nets, search.settings).search([], [], 0, np.random.default_rng(1))
    assert [one.draft.code for one in found] == [one.draft.code for one in again]
    alone = screen([search._blocks.lowered(name) for name in search._blocks.base], tables, targets)
    best = screen([one.draft.code for one in found], tables, targets)
    assert best.ok.all()
    if fitness == "regret":
        assert np.nanmin(best.regret) <= np.nanmin(alone.regret)
    else:
        assert np.nanmax(best.spearman) > np.nanmax(alone.spearman)


def test_small_programs_are_preferred_and_large_ones_refused() -> None:
    nets = [net(1)]
    search = LocalSearch(nets, replace(Settings(), local=5_000, max_ops=6))
    found = search.search([], [], 0, np.random.default_rng(1))
    assert found
    lifted = [search._blocks.lifted(one.draft.code) for one in found]
    assert all(
        Proxy(str(code), columns=search._blocks.tables(search._blocks.named([str(code)]))[0]).ops <= 6
        for code in lifted
    )
