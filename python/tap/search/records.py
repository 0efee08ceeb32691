"""What a search is made of, as it is stored: prompts, candidates, generations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tap.search.wire import Request


@dataclass(frozen=True)
class Prompt:
    """One question of a generation, planned before it is asked."""

    generation: int
    wave: int
    slot: int
    arm: int
    operator: str
    parents: tuple[int, ...]
    request: Request
    id: int = 0


@dataclass(frozen=True)
class Candidate:
    """A (thought, program) with its lineage and verdict; `fitness` is None unless it was scored."""

    id: int
    generation: int
    origin: str
    parents: tuple[int, ...]
    thought: str
    code: str
    hash: str = ""
    signature: str = ""
    verdict: str = ""
    reason: str = ""
    fitness: float | None = None
    ops: int = 0
    prompt: int | None = None
    scores: tuple[tuple[str, str, float], ...] = ()
    """(net, metric, value), in a fixed order."""

    def score(self, net: str, metric: str) -> float | None:
        """The value of that metric on that net, if it was taken."""
        return next((value for name, what, value in self.scores if (name, what) == (net, metric)), None)


@dataclass(frozen=True)
class Generation:
    """What stands after a generation."""

    number: int
    controller: Mapping[str, list[float]]
    population: tuple[tuple[int, ...], ...]
    summary: Mapping[str, Any]
    random: Mapping[str, int]
    seconds: float
