"""The local search's archive: for every set of inputs that a program reads, the worthiest that reads it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NAMES = re.compile(r"[A-Za-z_]\w*(?!\w|\()")


@dataclass(frozen=True)
class Elite:
    """A program of columns with its worth; `root` is the candidate that it descends from."""

    source: str
    worth: float
    mark: int
    root: int | None = None


class Archive:
    """At most `size` elites; of programs that rank alike, and of those that read alike, the worthiest stays.

    >>> archive = Archive(2)
    >>> archive.take([Elite("score = dw2", 0.5, 1), Elite("score = dw2 * 2", 0.4, 1), Elite("numel", 0.1, 2)])
    >>> [one.source for one in archive.elites]
    ['score = dw2', 'numel']
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.elites: list[Elite] = []
        """The worthiest first."""

    @property
    def bar(self) -> float:
        """What a newcomer must beat: the worth of the last elite, when all places are taken."""
        return self.elites[-1].worth if len(self.elites) >= self.size else -np.inf

    def take(self, newcomers: Sequence[Elite]) -> None:
        """Let newcomers compete; ties go to those that were there."""
        ranked = sorted([*self.elites, *newcomers], key=lambda one: -one.worth)
        marks: set[int] = set()
        niches: set[frozenset[str]] = set()
        kept = []
        for one in ranked:
            niche = frozenset(NAMES.findall(one.source))
            if one.mark in marks or niche in niches:
                continue
            marks.add(one.mark)
            niches.add(niche)
            kept.append(one)
        self.elites = kept[: self.size]

    def draw(self, count: int, random: np.random.Generator) -> list[Elite]:
        """Elites with repeats, the worthier the likelier."""
        places = (len(self.elites) * random.random(count) ** 2).astype(int)
        return [self.elites[place] for place in places]
