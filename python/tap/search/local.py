"""The local search: typed genetic variation and constant tuning between two calls of a model.

It is ours, not the paper's, it is an arm of its own, and what it gains is reported apart. It starts from the
best programs known, whoever wrote them, turns their statistics into columns (`features`), varies the trees
above them (`trees`), and screens a thousand children at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tap.screen import screen
from tap.search.config import Settings
from tap.search.features import Blocks
from tap.search.judge import Submission
from tap.search.nets import Net
from tap.search.records import Candidate
from tap.search.reply import Draft
from tap.search.trees import Tree, grow, parse, program, vary

ROUND = 1_000
"""Children screened together."""
POOL = 200
"""Trees that survive a round."""
PARENTS = 60
"""Known candidates that a generation starts from, besides the population."""
PRICE = 5e-4
"""Agreement that one more operation must bring."""
THOUGHT = "Found by the local search (typed genetic variation), without a model."


@dataclass(frozen=True)
class Grown:
    """A tree in the pool, with its worth and the candidate it descends from."""

    tree: Tree
    worth: float
    twin: int
    root: int | None


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
        started = self._parsed(_starters(residents, known))
        statistics = list(dict.fromkeys(block for tree, _ in started for block in tree.blocks()))
        blocks = list(dict.fromkeys([*self._blocks.base, *statistics]))
        if not blocks:
            return []
        pool = self._screened(started, blocks, [])
        left = self.settings.local
        while left > 0:
            count = min(ROUND, left)
            pool = self._screened(self._children(pool, blocks, count, random), blocks, pool)
            self.tried += count
            left -= count
        roots = {tree.text() for tree, _ in started}
        found = [one for one in pool if one.tree.text() not in roots]
        return [
            Submission(
                Draft(THOUGHT, program(one.tree)),
                "local",
                () if one.root is None else (one.root,),
                None,
                island,
            )
            for one in found[: 2 * self.settings.population]
        ]

    def _parsed(self, candidates: Iterable[Candidate]) -> list[tuple[Tree, int | None]]:
        """The candidates that are trees over blocks."""
        trees = [(parse(one.code, self._is_block), one.id) for one in candidates]
        return [(tree, id) for tree, id in trees if tree is not None]

    def _is_block(self, text: str) -> bool:
        return self._blocks.values(text) is not None

    def _children(
        self, pool: Sequence[Grown], blocks: Sequence[str], count: int, random: np.random.Generator
    ) -> list[tuple[Tree, int | None]]:
        """Varied members of the pool, the better ones more often, and some grown anew."""
        children: list[tuple[Tree, int | None]] = []
        while len(children) < count:
            if not pool or random.random() < self.settings.fresh:
                children.append((grow(blocks, random), None))
                continue
            first = pool[int(len(pool) * random.random() ** 2)]
            second = pool[int(len(pool) * random.random() ** 2)]
            child = vary(first.tree, second.tree, blocks, random)
            while random.random() < 0.3:
                child = vary(child, second.tree, blocks, random)
            children.append((child, first.root))
        return children

    def _screened(
        self, trees: Sequence[tuple[Tree, int | None]], blocks: Sequence[str], pool: Sequence[Grown]
    ) -> list[Grown]:
        """The pool after new trees competed for it: the worthiest of each ranking, the best first."""
        names = {block: block if block.isidentifier() else f"block_{at}" for at, block in enumerate(blocks)}
        small = [one for one in trees if one[0].size() <= 2 * self.settings.max_ops]
        if not small:
            return list(pool)
        sources = [f"score = {tree.text(names.__getitem__)}" for tree, _ in small]
        tables = self._blocks.tables({name: block for block, name in names.items()})
        found = screen(sources, tables, [net.target for net in self.nets])
        best: dict[int, Grown] = {one.twin: one for one in pool}
        worth = found.spearman - PRICE * found.ops
        for at in np.flatnonzero(found.ok & np.isfinite(worth) & (found.ops <= self.settings.max_ops)):
            tree, root = small[int(at)]
            new = Grown(tree, float(worth[at]), int(found.signature[at]), root)
            if new.twin not in best or new.worth > best[new.twin].worth:
                best[new.twin] = new
        return sorted(best.values(), key=lambda one: (-one.worth, one.twin))[:POOL]


def _starters(residents: Sequence[Candidate], known: Sequence[Candidate]) -> list[Candidate]:
    """The population and the best of all other candidates."""
    scored = [one for one in known if one.fitness is not None]
    others = sorted(scored, key=lambda one: (-(one.fitness or 0.0), one.id))[:PARENTS]
    return list({one.id: one for one in (*residents, *others)}.values())
