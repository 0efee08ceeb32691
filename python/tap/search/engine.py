"""The discovery loop: ask models for proxies, judge them, keep the best, learn how to ask. Read this first.

One generation is: plan the prompts, ask them (and search locally while the answers are on their way), give
what does not compile back once, judge everything, let the best survive, tell the controller how each call
turned out, and write it all down. Every step is one transaction of the store, and every random number comes
from (seed, generation, purpose), so a run that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tap.search.asking import Asker, spending
from tap.search.budget import Meter
from tap.search.config import Settings
from tap.search.controller import Outcome, build
from tap.search.judge import AGREEMENT, Judge, Submission, verdicts
from tap.search.llm import LLM
from tap.search.local import LocalSearch
from tap.search.nets import Net
from tap.search.planning import Planner, generator, one_line
from tap.search.population import Population
from tap.search.records import Candidate, Generation, Prompt
from tap.search.reply import drafts
from tap.search.store import Store
from tap.search.view import Status, View

PATIENCE = 3
"""Generations in a row whose calls all fail, after which the run ends."""


class Engine:
    """One run over one store."""

    def __init__(
        self,
        settings: Settings,
        nets: Sequence[Net],
        llms: Sequence[LLM],
        store: Store,
        planner: Planner,
        view: View,
    ) -> None:
        self.settings = settings
        self.nets = list(nets)
        self.store = store
        self.planner = planner
        self.view = view
        self.judge = Judge(nets, settings)
        self.local = LocalSearch(nets, settings)
        self.population = Population(settings.population, settings.islands)
        self.controller = build(settings.controller, max(1, planner.n_arms))
        self.meter = Meter(settings.budget)
        self.asker = Asker(llms, store, self.meter, dict(settings.prices), settings.reply_tokens)
        self.number = 1
        self.gains: dict[str, float] = {}
        self.last: Mapping[str, Any] | None = None
        self._before = 0.0
        self._recall()

    def run(self) -> str:
        """Generation after generation until something ends the run; returns what did."""
        while (reason := self.over()) is None:
            prompts = self.plan()
            found = self.ask(prompts, meanwhile=self.search_locally)
            submissions = self.read(prompts)
            submissions += self.repair(prompts, submissions)
            before = self.population.copy()
            newcomers = self.assess([*submissions, *found])
            self.learn(prompts, newcomers, before)
            self.write_down(prompts, newcomers)
        self.store.finish(reason)
        self._tell(reason)
        return reason

    def over(self) -> str | None:
        """Why the run is over, or None."""
        if self.number > self.settings.generations:
            return "all generations done"
        if self.meter.seconds_left() <= 0.0:
            return "budget of seconds spent"
        if self.last is not None and self.last["silent"] >= PATIENCE:
            return f"every call of {PATIENCE} generations failed: {self.last['error']}"
        if self.asker.llms and not self.store.planned(self.number):
            admitted, refusal = self.asker.admitted(self._planned())
            return None if admitted else f"budget of {refusal} spent"
        return None

    def plan(self) -> list[Prompt]:
        """The prompts of this generation, written down before any is asked."""
        self._tell("planning")
        if not self.store.planned(self.number):
            prompts, _ = self.asker.admitted(self._planned())
            self.store.plan(self.number, prompts)
        return self.store.prompts(self.number, wave=0)

    def ask(self, prompts: Sequence[Prompt], meanwhile: Callable[[], list[Submission]]) -> list[Submission]:
        """Ask what has no reply yet; each reply is stored when it comes. Returns what `meanwhile` found."""
        self._tell("asking" if prompts else "local search")
        return self.asker.ask(prompts, meanwhile)

    def search_locally(self) -> list[Submission]:
        """Vary the best programs known, without a model."""
        random = generator(self.settings.seed, self.number, "local")
        island = (self.number - 1) % len(self.population.islands)
        return self.local.search(self.population.islands[island], self.judge.known, island, random)

    def read(self, prompts: Sequence[Prompt]) -> list[Submission]:
        """The candidates in the replies to `prompts`."""
        submissions = []
        for prompt in prompts:
            reply = self.store.reply(prompt.id)
            for draft in drafts(reply.text) if reply is not None else []:
                island = prompt.slot % len(self.population.islands)
                submissions.append(Submission(draft, prompt.operator, prompt.parents, prompt.id, island))
        return submissions

    def repair(self, prompts: Sequence[Prompt], submissions: Sequence[Submission]) -> list[Submission]:
        """Give what does not compile back once, with the compiler's report."""
        if not self.store.prompts(self.number, wave=1):
            slots = {prompt.id: prompt.slot for prompt in prompts}
            broken: dict[int, list[Any]] = {}
            for failure in self.judge.failures(submissions):
                broken.setdefault(slots[failure.submission.prompt or 0], []).append(failure)
            repairs, _ = self.asker.admitted(self.planner.repairs(prompts, broken))
            if not repairs:
                return []
            self.store.plan(self.number, repairs)
        repairs = self.store.prompts(self.number, wave=1)
        self.ask(repairs, meanwhile=list)
        return self.read(repairs)

    def assess(self, submissions: Sequence[Submission]) -> list[Candidate]:
        """Judge everything, in order, and let the fittest survive on their islands."""
        self._tell("judging")
        newcomers = self.judge.judge(self.number, submissions, self.population.could_enter)
        before = self.population.best()
        level = before.fitness if before is not None else None
        for submission, candidate in zip(submissions, newcomers, strict=True):
            self.population.take([candidate], submission.island)
            if candidate.fitness is not None and (level is None or candidate.fitness > level):
                gain = candidate.fitness - (level or 0.0)
                self.gains[candidate.origin] = self.gains.get(candidate.origin, 0.0) + gain
                level = candidate.fitness
        if self.number % self.settings.migrate == 0:
            self.population.migrate()
        kept = {one.id for one in self.population.members()}
        return [replace(one, verdict="kept") if one.id in kept else one for one in newcomers]

    def learn(self, prompts: Sequence[Prompt], newcomers: Sequence[Candidate], before: Population) -> None:
        """Tell the controller what each call gave: its best child against the better parent."""
        fitness = {one.id: one.fitness or 0.0 for one in self.judge.known}
        slots = {
            prompt.id: prompt.slot for wave in (0, 1) for prompt in self.store.prompts(self.number, wave)
        }
        outcomes = []
        for prompt in prompts:
            island = prompt.slot % len(before.islands)
            level = max((fitness[id] for id in prompt.parents), default=before.median(island))
            children = [
                one.fitness - level
                for one in newcomers
                if one.fitness is not None and slots.get(one.prompt or 0) == prompt.slot
            ]
            outcomes.append(Outcome(prompt.arm, min(1.0, max(children, default=-1.0))))
        self.controller.update(outcomes)

    def write_down(self, prompts: Sequence[Prompt], newcomers: Sequence[Candidate]) -> None:
        """One transaction: the candidates, and all that the next generation starts from."""
        replies = [self.store.reply(prompt.id) for prompt in prompts]
        errors = [reply.error for reply in replies if reply is not None and reply.error]
        best = self.population.best()
        silent = self.last["silent"] + 1 if self.last is not None else 1
        self.last = {
            "best": best.fitness if best is not None else None,
            "verdicts": verdicts(newcomers),
            "gains": dict(self.gains),
            "calls": len(prompts),
            "failed": len(errors),
            "silent": silent if 0 < len(errors) == len(prompts) else 0,
            "error": errors[-1] if errors else "",
            "tried": self.local.tried,
        }
        seed = {"seed": self.settings.seed, "generation": self.number}
        state, seconds = self.controller.state(), self.meter.seconds() - self._before
        self.store.complete(
            Generation(self.number, state, self.population.ids(), self.last, seed, seconds), newcomers
        )
        self._before = self.meter.seconds()
        self._tell("done")
        self.number += 1

    def _planned(self) -> list[Prompt]:
        return self.planner.plan(self.number, self.controller, self.population, self.judge)

    def _recall(self) -> None:
        """Take up the state after the last generation that was written down, and what was spent."""
        self.judge.remember(self.store.candidates())
        for generation in self.store.generations():
            self.number = generation.number + 1
            self.meter.seconds_before += generation.seconds
            self.last = generation.summary
            self.gains = dict(generation.summary["gains"])
            self.local.tried = generation.summary["tried"]
            self.controller.restore(generation.controller)
            self.population.restore(generation.population, self.judge.known)
        for _, reply in self.store.recording():
            self.meter.spent = self.meter.spent + spending(reply)
        self._before = self.meter.seconds()

    def _tell(self, phase: str) -> None:
        best = self.population.best()
        self.view.update(
            Status(
                generation=min(self.number, self.settings.generations),
                generations=self.settings.generations,
                phase=phase,
                best=best.fitness if best is not None else None,
                agreement={}
                if best is None
                else {net.name: best.score(net.name, AGREEMENT) or 0.0 for net in self.nets},
                ceiling={net.name: float(net.target.ceiling) for net in self.nets},
                program=one_line(best) if best is not None else "",
                spent=self.meter.committed(),
                tried=self.local.tried,
                verdicts=self.last["verdicts"] if self.last is not None else {},
                gains=self.gains,
                seconds=self.meter.seconds(),
            )
        )
