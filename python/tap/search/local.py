"""The local search: typed genetic variation and constant tuning between two calls of a model.

It is ours, not the paper's, it is an arm of its own, and what it gains is reported apart. It starts from the
best programs known, whoever wrote them, turns their statistics into columns (`features`), lets the core vary
the programs above them, and screens thousands of children at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tap import _core
from tap.screen import screen
from tap.screening import Screening
from tap.search.archive import Archive, Elite
from tap.search.config import Settings
from tap.search.features import Blocks
from tap.search.judge import Submission
from tap.search.nets import Net
from tap.search.records import Candidate
from tap.search.reply import Draft

ROUND = 8_192
"""Children screened together."""
ELITES = 300
"""Programs that survive a round."""
PARENTS = 1_024
"""Draws from the elites for a round."""
STARTERS = 60
"""Known candidates that a generation starts from, besides the population."""
PRICE = 5e-4
"""Agreement, or regret, that one more operation must bring."""
RUNGS = 3
"""Budgets of the regret by a sensitivity."""
FRESH_OPS = 12
THOUGHT = "Found by the local search (typed genetic variation), without a model."


class LocalSearch:
    """Keeps nothing between generations but computed columns, so a resumed run equals an unbroken one."""

    def __init__(self, nets: Sequence[Net], settings: Settings) -> None:
        self.nets = list(nets)
        self.settings = settings
        self.tried = 0
        self._blocks = Blocks(nets)

    def search(
        self,
        residents: Sequence[Candidate],
        known: Sequence[Candidate],
        island: int,
        random: np.random.Generator,
    ) -> list[Submission]:
        """The best new programs after `settings.local` tries, the best first, as submissions to `island`."""
        if self.settings.local == 0:
            return []
        lifted = [(self._blocks.lifted(one.code), one.id) for one in _starters(residents, known)]
        starters = {source: root for source, root in lifted if source is not None}
        ground = _Ground(self._blocks, list(starters), self.nets, self.settings)
        if not ground.inputs:
            return []
        archive = Archive(ELITES)
        self._compete(archive, ground, list(starters), list(starters.values()))
        left = self.settings.local
        while left > 0:
            count = min(ROUND, left)
            self._compete(archive, ground, *ground.children(archive, count, random))
            self.tried += count
            left -= count
        found = [one for one in archive.elites if one.source not in starters]
        return [
            Submission(
                Draft(THOUGHT, self._blocks.lowered(one.source)),
                "local",
                () if one.root is None else (one.root,),
                None,
                island,
            )
            for one in found[: 2 * self.settings.population]
        ]

    def _compete(
        self, archive: Archive, ground: _Ground, sources: Sequence[str], roots: Sequence[int | None]
    ) -> None:
        """Screen programs and let those that pass the bar into the archive; `roots` are their ancestors."""
        if not sources:
            return
        found = ground.screened(sources)
        aim = -found.regret if self.settings.fitness == "regret" else ground.agreement(found)
        worth = aim - PRICE * found.ops
        fit = found.ok & (worth > archive.bar) & (found.ops <= self.settings.max_ops)
        archive.take(
            [
                Elite(sources[at], float(worth[at]), int(found.signature[at]), roots[at])
                for at in np.flatnonzero(fit).tolist()
            ]
        )


class _Ground:
    """What the programs of one generation read, and what they are judged by."""

    def __init__(
        self, blocks: Blocks, sources: Sequence[str], nets: Sequence[Net], settings: Settings
    ) -> None:
        named = blocks.named(sources)
        self.settings = settings
        self.tables = blocks.tables(named)
        self.targets = [net.target for net in nets]
        self.rungs = RUNGS if settings.fitness == "regret" else None
        self.inputs = list(dict.fromkeys([*blocks.base, *named]))
        self.columns = [(name, ["format"] if value[0].ndim == 2 else []) for name, value in named.items()]

    def children(
        self, archive: Archive, count: int, random: np.random.Generator
    ) -> tuple[list[str], list[int | None]]:
        """Varied elites and some programs grown anew, with the candidates that they descend from."""
        fresh = count if not archive.elites else round(count * self.settings.fresh)
        seed, ops = int(random.integers(2**63)), int(random.integers(2, FRESH_OPS + 1))
        grown = _core.random_programs(seed, fresh, ops, self.inputs, self.columns)
        if fresh == count:
            return grown, [None] * fresh
        parents = archive.draw(PARENTS, random)
        varied, places = _core.vary(
            seed, [one.source for one in parents], count - fresh, self.inputs, self.columns, threads=0
        )
        roots = [*(one.root for one in parents), None]
        return [*grown, *varied], [None] * fresh + [roots[place] for place in places.tolist()]

    def screened(self, sources: Sequence[str]) -> Screening:
        """How they do on all nets."""
        return screen(sources, self.tables, self.targets, budgets=self.rungs)

    def agreement(self, found: Screening) -> NDArray[np.float64]:
        """Mean agreement, of which what is above a noise ceiling does not count: it can only be noise."""
        ceilings = np.array([np.inf if np.isnan(one.ceiling) else one.ceiling for one in self.targets])
        return np.asarray(np.minimum(found.spearman_by_table, ceilings[:, None]).mean(axis=0))


def _starters(residents: Sequence[Candidate], known: Sequence[Candidate]) -> list[Candidate]:
    """The population and the best of all other candidates."""
    scored = [one for one in known if one.fitness is not None]
    others = sorted(scored, key=lambda one: (-(one.fitness or 0.0), one.id))[:STARTERS]
    return list({one.id: one for one in (*residents, *others)}.values())
