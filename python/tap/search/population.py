"""The population: islands of survivors, parents drawn by rank, ties to the younger.

Survival is APD's: old and new together, sorted by fitness, the worst dropped, ties to the younger. Islands,
the draw of parents by rank, and migration along a ring are ours; one island without migration is APD.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tap.search.records import Candidate


class Population:
    """Islands of at most `size` scored candidates each, the best first."""

    def __init__(self, size: int, islands: int = 1) -> None:
        self.size = size
        self.islands: list[list[Candidate]] = [[] for _ in range(islands)]

    def __len__(self) -> int:
        return len(self.members())

    def members(self) -> list[Candidate]:
        """All candidates on all islands, each once, the best first."""
        return _ranked({one.id: one for island in self.islands for one in island}.values())

    def best(self) -> Candidate | None:
        """The fittest candidate."""
        return next(iter(self.members()), None)

    def could_enter(self, island: int, fitness: float) -> bool:
        """Whether a newcomer of that fitness would survive on that island."""
        residents = self.islands[island]
        return len(residents) < self.size or fitness >= (residents[-1].fitness or 0.0)

    def take(self, newcomers: Iterable[Candidate], island: int) -> list[Candidate]:
        """Let newcomers compete on an island; returns those that survive."""
        arrived = [one for one in newcomers if one.fitness is not None]
        self.islands[island] = _ranked([*self.islands[island], *arrived])[: self.size]
        kept = {one.id for one in self.islands[island]}
        return [one for one in arrived if one.id in kept]

    def migrate(self) -> None:
        """Copy the best of each island to the next one."""
        best = [island[:1] for island in self.islands]
        for index, travellers in enumerate(best):
            goal = (index + 1) % len(self.islands)
            present = {one.id for one in self.islands[goal]}
            self.take([one for one in travellers if one.id not in present], goal)

    def parents(self, count: int, island: int, random: np.random.Generator) -> list[Candidate]:
        """Draw `count` different parents from an island, the better the likelier; fewer when it is small."""
        residents = self.islands[island]
        if not residents:
            return []
        weights = 1.0 / (1.0 + np.arange(len(residents)))
        drawn = random.choice(
            len(residents), size=min(count, len(residents)), replace=False, p=weights / weights.sum()
        )
        return [residents[int(index)] for index in drawn]

    def median(self, island: int) -> float:
        """Middle fitness of an island, 0 when it is empty: what a child without parents is compared with."""
        values = [one.fitness or 0.0 for one in self.islands[island]]
        return float(np.median(values)) if values else 0.0

    def copy(self) -> Population:
        """The population as it stands."""
        copied = Population(self.size)
        copied.islands = [list(island) for island in self.islands]
        return copied

    def ids(self) -> tuple[tuple[int, ...], ...]:
        """The ids on each island, as they are stored."""
        return tuple(tuple(one.id for one in island) for island in self.islands)

    def restore(self, ids: Sequence[Sequence[int]], known: Iterable[Candidate]) -> None:
        """Go on from what `ids` gave."""
        by_id = {one.id: one for one in known}
        self.islands = [[by_id[id] for id in island] for island in ids]


def _ranked(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Best first, ties to the younger."""
    return sorted(candidates, key=lambda one: (one.fitness or 0.0, one.id), reverse=True)
