"""Decides what is asked next: arm, island, parents, and the rendered prompt of each call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tap.search.config import Settings
from tap.search.controller import Controller, Vector, choose
from tap.search.judge import ACCURACY, AGREEMENT, REGRET, Failure, Judge
from tap.search.nets import Net
from tap.search.population import Population
from tap.search.prompts import (
    OPERATORS,
    SCHEMA,
    Manual,
    PromptTooLong,
    Rejected,
    Rendered,
    Scene,
    Shown,
    render,
    render_repair,
)
from tap.search.records import Candidate, Prompt
from tap.search.wire import Request

GRAMMARS = ("vllm", "gbnf", "gbnf-typed", "lark")
"""Forms of the reply that are one bare program."""
TRIED = 40
"""Rejections offered to a prompt; what does not fit is left out."""


class Planner:
    """Plans the calls of a generation from the state before it and the generation's own random numbers."""

    def __init__(
        self,
        settings: Settings,
        models: Sequence[str],
        nets: Sequence[Net],
        manual: Manual,
        grammar: str,
        references: Sequence[str],
    ) -> None:
        self.settings = settings
        self.models = list(models)
        self.nets = list(nets)
        self.manual = manual
        self.grammar = grammar
        self.references = list(references)

    @property
    def n_arms(self) -> int:
        """Prompt kinds times models."""
        return len(OPERATORS) * len(self.models)

    def plan(self, number: int, controller: Controller, population: Population, judge: Judge) -> list[Prompt]:
        """The first wave of generation `number`."""
        random = generator(self.settings.seed, number, "plan")
        pending: Vector = np.zeros(self.n_arms)
        prompts = []
        for slot in range(self.settings.calls if self.models else 0):
            island = slot % len(population.islands)
            arm = choose(controller, random, pending)
            pending[arm] += 1
            model, kind = divmod(arm, len(OPERATORS))
            parents = list(population.parents(kind, island, random))
            if len(parents) < kind:
                parents = []
            rendered = self._fitting(parents, population, judge)
            kind = len(parents)
            prompts.append(
                Prompt(
                    generation=number,
                    wave=0,
                    slot=slot,
                    arm=model * len(OPERATORS) + kind,
                    operator=OPERATORS[kind],
                    parents=tuple(parent.id for parent in parents),
                    request=self._request(rendered, self.models[model], number, slot),
                )
            )
        return prompts

    def repairs(self, prompts: Sequence[Prompt], failures: dict[int, list[Failure]]) -> list[Prompt]:
        """The second wave: for each reply with candidates that do not compile, one prompt to repair them."""
        wave = []
        for prompt in prompts:
            broken = failures.get(prompt.slot, [])
            if broken and self.settings.repair:
                rendered = render_repair(
                    self.manual,
                    [(one.submission.draft.thought, one.submission.draft.code, one.report) for one in broken],
                    limit=self.settings.prompt_tokens,
                )
                request = self._request(rendered, prompt.request.model, prompt.generation, prompt.slot)
                wave.append(
                    Prompt(prompt.generation, 1, prompt.slot, prompt.arm, "repair", prompt.parents, request)
                )
        return wave

    def _fitting(self, parents: list[Candidate], population: Population, judge: Judge) -> Rendered:
        """The prompt of the kind that has so many parents; the longest are taken out until it fits."""
        while True:
            try:
                return self._rendered(OPERATORS[len(parents)], parents, population, judge)
            except PromptTooLong:
                if not parents:
                    raise
                parents.remove(max(parents, key=lambda parent: len(parent.code)))

    def _rendered(
        self, operator: str, parents: Sequence[Candidate], population: Population, judge: Judge
    ) -> Rendered:
        scene = Scene(
            task=self._task(),
            count=1 if self.settings.structured in GRAMMARS else self.settings.children,
            parents=tuple(self._shown(parent, judge) for parent in parents),
            standing=tuple(self._standing(population)),
            tried=tuple(Rejected(one.code, one.reason) for one in judge.rejections(TRIED)),
        )
        return render(operator, self.manual, scene, limit=self.settings.prompt_tokens)

    def _request(self, rendered: Rendered, model: str, number: int, slot: int) -> Request:
        return Request(
            system=rendered.system,
            user=rendered.user,
            model=model,
            max_tokens=self.settings.reply_tokens,
            temperature=self.settings.temperature,
            structured=self.settings.structured,
            schema=SCHEMA if self.settings.structured == "json_schema" else "",
            grammar=self.grammar if self.settings.structured in GRAMMARS else "",
            sample=number * 1_000 + slot,
        )

    def _task(self) -> str:
        nets = "; ".join(
            f"{net.name} ({len(net.table.units)} units, formats {' '.join(net.table.formats)},"
            f" judged by {'whole configurations' if net.by_configurations else 'units one at a time'})"
            for net in self.nets
        )
        return f"Search networks: {nets}."

    def _standing(self, population: Population) -> list[str]:
        best = population.best()
        lines = (
            [] if best is None else [f"best so far: {scores_line(best, self.nets)}", f"  {one_line(best)}"]
        )
        ceilings = ", ".join(f"{net.name} {net.target.ceiling:.3f}" for net in self.nets)
        return [*lines, f"noise ceiling of the agreement: {ceilings}", *self.references]

    def _shown(self, parent: Candidate, judge: Judge) -> Shown:
        return Shown(
            parent.thought,
            parent.code,
            (f"{scores_line(parent, self.nets)}, {parent.ops} operations",),
            tuple(judge.wrong(parent)),
        )


def scores_line(candidate: Candidate, nets: Sequence[Net]) -> str:
    """Fitness, and what was measured on each net, on one line."""
    parts = []
    for net in nets:
        values = [(what, candidate.score(net.name, what)) for what in (AGREEMENT, REGRET, ACCURACY)]
        told = ", ".join(f"{what} {value:.3f}" for what, value in values if value is not None)
        parts.append(f"{net.name} {told}")
    return f"fitness {candidate.fitness or 0.0:.3f} ({'; '.join(parts)})"


def one_line(candidate: Candidate) -> str:
    """The program on one line."""
    return "; ".join(line.strip() for line in candidate.code.splitlines() if line.strip())


def generator(seed: int, number: int, purpose: str) -> np.random.Generator:
    """Random numbers of one purpose in one generation: the same whenever and wherever it is run.

    >>> bool(generator(1, 2, "plan").integers(100) == generator(1, 2, "plan").integers(100))
    True
    """
    return np.random.default_rng([seed, number, *purpose.encode()])
