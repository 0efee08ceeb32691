"""Turns what models and the local search wrote into candidates with a verdict, the cheap tests first.

Order: compile, duplicate (canonical hash), finite scores, twin (same order of the truth), agreement, and only
for those that could enter the population the accuracy kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from tap.errors import ProxyError, TableError
from tap.proxy import Proxy
from tap.search import fitness as terms
from tap.search.config import Settings
from tap.search.nets import Net, Scores, signature
from tap.search.records import Candidate
from tap.search.reply import Draft

AGREEMENT = "agreement"
ACCURACY = "accuracy"
REGRET = "regret"


@dataclass(frozen=True)
class Submission:
    """A draft and where it comes from."""

    draft: Draft
    origin: str
    parents: tuple[int, ...] = ()
    prompt: int | None = None
    island: int = 0


@dataclass(frozen=True)
class Failure:
    """A submission that does not compile, with the report a model can repair it from."""

    submission: Submission
    report: str


class Judge:
    """Knows every program seen in this run."""

    def __init__(self, nets: Sequence[Net], settings: Settings) -> None:
        self.nets = list(nets)
        self.settings = settings
        self.known: list[Candidate] = []
        self._by_hash: dict[str, int] = {}
        self._by_signature: dict[str, int] = {}

    def remember(self, candidates: Iterable[Candidate]) -> None:
        """Count candidates as seen."""
        for one in candidates:
            self.known.append(one)
            if one.hash:
                self._by_hash.setdefault(one.hash, one.id)
            if one.signature:
                self._by_signature.setdefault(one.signature, one.id)

    def failures(self, submissions: Iterable[Submission]) -> list[Failure]:
        """Those that do not compile."""
        failed = []
        for submission in submissions:
            try:
                Proxy(submission.draft.code)
            except ProxyError as error:
                failed.append(Failure(submission, error.report))
        return failed

    def judge(
        self,
        generation: int,
        submissions: Sequence[Submission],
        could_enter: Callable[[int, float], bool],
    ) -> list[Candidate]:
        """A candidate for each submission, in order, with verdict, scores and fitness; remembers them."""
        judged = []
        for submission in submissions:
            candidate = self._judged(
                Candidate(
                    id=len(self.known) + 1,
                    generation=generation,
                    origin=submission.origin,
                    parents=submission.parents,
                    thought=submission.draft.thought,
                    code=submission.draft.code,
                    prompt=submission.prompt,
                ),
                partial(could_enter, submission.island),
            )
            self.remember([candidate])
            judged.append(candidate)
        return judged

    def rejections(self, count: int) -> list[Candidate]:
        """The latest candidates of models that were rejected, the newest first."""
        rejected = [one for one in self.known if one.verdict in REJECTED and one.origin != "local"]
        return rejected[: -count - 1 : -1]

    def wrong(self, candidate: Candidate) -> list[str]:
        """Where a scored candidate ranks wrongly, on every net, as lines for a prompt."""
        proxy = Proxy(candidate.code)
        return [line for net in self.nets for line in net.wrong(proxy.score(net.table))]

    def _judged(self, candidate: Candidate, could_enter: Callable[[float], bool]) -> Candidate:
        try:
            proxy = Proxy(candidate.code)
        except ProxyError as error:
            return replace(candidate, verdict="compile", reason=error.message)
        candidate = replace(candidate, hash=proxy.hash, ops=proxy.ops)
        twin = self._by_hash.get(proxy.hash)
        if twin is not None:
            return replace(candidate, verdict="duplicate", reason=f"the same program as candidate {twin}")
        try:
            scores = [proxy.score(net.table) for net in self.nets]
        except (ProxyError, TableError) as error:
            return replace(candidate, verdict="finite", reason=error.message)
        mark = signature(self.nets, scores)
        twin = self._by_signature.get(mark)
        if twin is not None:
            return replace(
                candidate, signature=mark, verdict="twin", reason=f"ranks exactly like candidate {twin}"
            )
        return self._scored(replace(candidate, signature=mark), scores, could_enter)

    def _scored(
        self, candidate: Candidate, scores: Sequence[Scores], could_enter: Callable[[float], bool]
    ) -> Candidate:
        """Agreement and regret on every net, and the accuracy where it matters."""
        agreement = [net.agreement(values) for net, values in zip(self.nets, scores, strict=True)]
        if not np.isfinite(agreement).all():
            return replace(candidate, verdict="finite", reason="the scores are the same for all units")
        found = [terms.regret(net, values) for net, values in zip(self.nets, scores, strict=True)]
        regret = [value for value in found if value is not None]
        table = [(net.name, AGREEMENT, value) for net, value in zip(self.nets, agreement, strict=True)]
        table += [
            (net.name, REGRET, value)
            for net, value in zip(self.nets, found, strict=True)
            if value is not None
        ]
        kept: list[float | None] = [None] * len(self.nets)
        if self.settings.fitness == "mixed" and could_enter(terms.ceiling(self.settings, agreement)):
            kept = [terms.accuracy_kept(net, values) for net, values in zip(self.nets, scores, strict=True)]
            table += [
                (net.name, ACCURACY, value)
                for net, value in zip(self.nets, kept, strict=True)
                if value is not None
            ]
        value = terms.fitness(self.settings, agreement, kept, regret)
        return replace(candidate, verdict="scored", fitness=value, scores=tuple(table))


REJECTED = ("compile", "duplicate", "finite", "twin")


def verdicts(candidates: Iterable[Candidate]) -> dict[str, int]:
    """How many candidates met each verdict."""
    return dict(sorted(Counter(one.verdict for one in candidates).items()))
