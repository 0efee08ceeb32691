"""What a search found: the best programs, how they score on every net, where they come from, what it cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tap.errors import StoreError
from tap.files import write_text
from tap.search.budget import Spending
from tap.search.records import Candidate


@dataclass(frozen=True)
class Row:
    """One program in the score table."""

    name: str
    agreement: Mapping[str, float]
    """Spearman on each net; NaN where the program cannot run."""
    accuracy: Mapping[str, float] = field(default_factory=dict)
    """Share of the accuracy kept, where it is measured."""
    ops: int = 0
    candidate: int | None = None
    """Id of the candidate; None for a named proxy."""


@dataclass(frozen=True)
class SearchResult:
    """The outcome of a search; the first of `best` is the fittest, or the best on the validation nets.

    >>> one = Candidate(1, 1, "local", (), "noise", "score = dw2")
    >>> found = SearchResult((one,), (), (), (), {}, "done", Spending(), 1.0, {}, 10, (one,), {"seed": 0})
    >>> found.program
    'score = dw2'
    """

    best: tuple[Candidate, ...]
    table: tuple[Row, ...]
    """The best candidates, then every named proxy."""
    nets: tuple[str, ...]
    held_out: tuple[str, ...]
    """Nets that were scored once, at the end."""
    ceiling: Mapping[str, float]
    reason: str
    """Why the search ended."""
    spent: Spending
    seconds: float
    gains: Mapping[str, float]
    """How much of the best fitness each origin brought: init, mutation, crossover, repair, local."""
    tried: int
    """Programs scored by the local search."""
    lineage: tuple[Candidate, ...]
    """The best candidate and all its ancestors, the oldest first."""
    settings: Mapping[str, object]
    validation: tuple[str, ...] = ()
    """Nets whose agreement chose the order of `best`."""

    @property
    def program(self) -> str:
        """Source of the best program."""
        if not self.best:
            raise StoreError("the search found no candidate", hint="give it more generations or calls")
        return self.best[0].code

    @property
    def beyond(self) -> tuple[str, ...]:
        """Search nets on which the best program agrees more than the noise of the truth allows."""
        agreement = self.table[0].agreement if self.best and self.table else {}
        return tuple(net for net in self.nets if agreement.get(net, 0.0) > self.ceiling[net])

    def save(self, folder: str | Path) -> list[Path]:
        """Write `best-1.tap`, ... with their provenance, `scores.json` and `lineage.json`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for place, candidate in enumerate(self.best, start=1):
            path = folder / f"best-{place}.tap"
            write_text(path, self.provenance(candidate) + candidate.code.rstrip() + "\n")
            written.append(path)
        scores = {
            "reason": self.reason,
            "nets": list(self.nets),
            "held_out": list(self.held_out),
            "validation": list(self.validation),
            "ceiling": dict(self.ceiling),
            "gains": dict(self.gains),
            "spent": {"calls": self.spent.calls, "tokens": self.spent.tokens, "money": self.spent.money},
            "programs_tried_locally": self.tried,
            "settings": dict(self.settings),
            "rows": [
                {
                    "name": row.name,
                    "agreement": _finite(row.agreement),
                    "accuracy": _finite(row.accuracy),
                    "ops": row.ops,
                }
                for row in self.table
            ],
        }
        lineage = [
            {
                "id": one.id,
                "generation": one.generation,
                "origin": one.origin,
                "parents": list(one.parents),
                "fitness": one.fitness,
                "thought": one.thought,
                "code": one.code,
            }
            for one in self.lineage
        ]
        for name, record in (("scores.json", scores), ("lineage.json", lineage)):
            write_text(folder / name, json.dumps(record, indent=2, sort_keys=True) + "\n")
            written.append(folder / name)
        return written

    def provenance(self, candidate: Candidate) -> str:
        """Comment lines that say what the program is and where it comes from."""
        lines = [candidate.thought or "no thought was given"]
        row = next((row for row in self.table if row.candidate == candidate.id), None)
        if row is not None:
            lines += [f"agreement on {name}: {value:.4f}" for name, value in row.agreement.items()]
        parents = ", ".join(str(id) for id in candidate.parents) or "none"
        lines.append(
            f"found by tap search: candidate {candidate.id}, generation {candidate.generation}, origin"
            f" {candidate.origin}, parents {parents}, seed {self.settings.get('seed')}"
        )
        lines.append(f"hash {candidate.hash}")
        return "".join(f"# {line}\n" for text in lines for line in text.splitlines())


def lineage(best: Candidate | None, known: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """The candidate and all its ancestors, the oldest first."""
    if best is None:
        return ()
    by_id = {one.id: one for one in known}
    found: dict[int, Candidate] = {}
    waiting = [best.id]
    while waiting:
        one = by_id[waiting.pop()]
        if one.id not in found:
            found[one.id] = one
            waiting += [parent for parent in one.parents if parent in by_id]
    return tuple(found[id] for id in sorted(found))


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {name: value if value == value else None for name, value in values.items()}
