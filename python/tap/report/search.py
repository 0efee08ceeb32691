"""The sections about a search: best by generation, lineage, controller, what was rejected and why, costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tap.report.page import Chart
from tap.report.shapes import Node, funnel, tree
from tap.report.svg import Series, plot
from tap.search.budget import Spending
from tap.search.config import Settings
from tap.search.controller import Controller, build, with_floor
from tap.search.prompts import OPERATORS
from tap.search.records import Candidate, Generation
from tap.search.result import lineage
from tap.search.store import Store
from tap.search.wire import Reply, Request

DRAWS = 400
"""Draws that the mean policy of a random controller is taken over."""
REASONS = {
    "compile": "did not compile",
    "duplicate": "the same program as an earlier one",
    "finite": "no finite or no different scores",
    "twin": "ranks exactly like an earlier one",
}
"""Why a candidate is rejected, in the order of the tests."""


@dataclass(frozen=True)
class Run:
    """A search as its store holds it."""

    settings: Settings
    inputs: Mapping[str, Any]
    status: str
    generations: Sequence[Generation]
    candidates: Sequence[Candidate]
    calls: Sequence[tuple[Request, Reply]]

    @staticmethod
    def load(path: Path) -> Run | None:
        """Read a store; None when it holds no run."""
        with Store(path) as store:
            found = store.run()
            if found is None:
                return None
            settings, inputs, status, reason = found
            return Run(
                Settings.from_json(settings),
                inputs,
                reason or status,
                store.generations(),
                store.candidates(),
                store.recording(),
            )

    @property
    def best(self) -> Candidate | None:
        """The fittest candidate."""
        scored = [one for one in self.candidates if one.fitness is not None]
        return max(scored, key=lambda one: (one.fitness or 0.0, -one.id), default=None)


def search_charts(run: Run, *, name: str = "") -> tuple[Chart, ...]:
    """All sections of a search; what has no data is left out."""
    charts = [_overview(run), _lineage(run), _controller(run), _rejected(run), _costs(run)]
    titled = [chart for chart in charts if chart is not None]
    if not name:
        return tuple(titled)
    return tuple(
        Chart(f"{c.heading} ({name})", c.text, c.svgs, c.rows, c.folded, code=c.code) for c in titled
    )


def _overview(run: Run) -> Chart:
    best = run.best
    text = f"{len(run.generations)} generations, {len(run.candidates)} candidates; {run.status}."
    if best is None:
        return Chart("Search", f"{text} No candidate has a score yet.")
    x = [float(one.number) for one in run.generations if one.summary.get("best") is not None]
    y = [float(one.summary["best"]) for one in run.generations if one.summary.get("best") is not None]
    label = "Best fitness after each generation"
    series = [Series("best", x, y, joined=True)]
    scores = "; ".join(f"{net} {metric} {value:.3f}" for net, metric, value in best.scores)
    text += f" The best, candidate {best.id} of generation {best.generation} ({best.origin}): fitness "
    text += f"{best.fitness:.3f}; {scores}."
    svg = plot(series, label=label, x_name="generation", y_name="fitness")
    code = "".join(f"# {line}\n" for line in best.thought.splitlines()) + best.code
    return Chart("Search", text, ((label, svg),), code=code)


def _lineage(run: Run) -> Chart | None:
    scored = [one for one in run.candidates if one.fitness is not None]
    if not scored:
        return None
    family = lineage(run.best, run.candidates)
    kin = {one.id for one in family}
    origins = list(dict.fromkeys(one.origin for one in scored))
    nodes = [
        Node(
            one.id,
            float(one.generation),
            float(one.fitness or 0.0),
            one.parents,
            origins.index(one.origin),
            f"candidate {one.id}, {one.origin}, generation {one.generation}: fitness {one.fitness:.4f}. "
            f"{one.thought}",
            one.id in kin,
        )
        for one in scored
    ]
    label = "Fitness of every scored candidate by generation, with lines to its parents"
    styles = dict(enumerate(origins))
    svg = tree(nodes, label=label, x_name="generation", y_name="fitness", styles=styles)
    rows = [
        {
            "candidate": str(one.id),
            "generation": one.generation,
            "origin": one.origin,
            "parents": ", ".join(map(str, one.parents)) or "none",
            "fitness": one.fitness,
            "idea": one.thought,
        }
        for one in family
    ]
    text = f"Large marks and dark lines: the best candidate and its {len(family) - 1} ancestors."
    return Chart("Lineage", text, ((label, svg),), rows)


def _controller(run: Run) -> Chart | None:
    models = list(run.inputs.get("models", ()))
    arms = [
        f"{operator}" if len(models) == 1 else f"{operator}, {model}"
        for model in models
        for operator in OPERATORS
    ]
    if not arms or not run.generations:
        return None
    controller = build(run.settings.controller, len(arms))
    policies = [_policy(controller, 0)]
    for generation in run.generations:
        controller.restore(generation.controller)
        policies.append(_policy(controller, generation.number))
    x = [0.0, *(float(one.number) for one in run.generations)]
    series = [
        Series(arm, x, [float(policy[index]) for policy in policies], joined=True)
        for index, arm in enumerate(arms)
    ]
    label = "Probability of each prompt after each generation"
    svg = plot(series, label=label, x_name="generation", y_name="probability", percent=True)
    text = (
        f"What the controller ({run.settings.controller}) would ask next; 0 is before the first generation."
    )
    rows = [
        {"generation": int(number), **{arm: float(policy[index]) for index, arm in enumerate(arms)}}
        for number, policy in zip(x, policies, strict=True)
    ]
    return Chart("Controller", text, ((label, svg),), rows, folded=True)


def _policy(controller: Controller, seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Mean over draws, for controllers that draw their policy."""
    random, pending = np.random.default_rng(seed), np.zeros(controller.n_arms)
    drawn = [with_floor(controller.policy(random, pending), controller.floor) for _ in range(DRAWS)]
    return np.asarray(np.mean(drawn, axis=0))


def _rejected(run: Run) -> Chart | None:
    if not run.candidates:
        return None
    left, steps = len(run.candidates), [("candidates written", len(run.candidates))]
    counts = {verdict: sum(one.verdict == verdict for one in run.candidates) for verdict in REASONS}
    passed = {
        "compile": "compile",
        "duplicate": "are new programs",
        "finite": "have scores",
        "twin": "rank anew",
    }
    for verdict, name in passed.items():
        left -= counts[verdict]
        steps.append((name, left))
    steps.append(("survived a generation", sum(one.verdict == "kept" for one in run.candidates)))
    origins = list(dict.fromkeys(one.origin for one in run.candidates))
    rows = [
        {
            "origin": origin,
            "written": len(some := [one for one in run.candidates if one.origin == origin]),
            **{reason: sum(one.verdict == verdict for one in some) for verdict, reason in REASONS.items()},
            "scored": sum(one.fitness is not None for one in some),
        }
        for origin in origins
    ]
    label = "What became of the candidates"
    tried = run.generations[-1].summary.get("tried", 0) if run.generations else 0
    text = "How many candidates passed each test, the cheap tests first; in brackets, those rejected there."
    if tried:
        text += f" The local search tried {tried:,} programs to write its own."
    return Chart("Rejected, by reason", text, ((label, funnel(steps, label=label)),), rows)


def _costs(run: Run) -> Chart | None:
    if not run.generations:
        return None
    spent = Spending(0, 0, 0.0)
    for _, reply in run.calls:
        spent += Spending(reply.attempts, reply.prompt_tokens + reply.reply_tokens, reply.money)
    seconds = [one.seconds for one in run.generations]
    label = "Seconds of each generation"
    series = [Series("seconds", [float(one.number) for one in run.generations], seconds, joined=True)]
    svg = plot(series, label=label, x_name="generation", y_name="seconds")
    models = list(dict.fromkeys(request.model for request, _ in run.calls))
    rows = []
    for model in models:
        replies = [reply for request, reply in run.calls if request.model == model]
        money = [reply.money for reply in replies]
        rows.append(
            {
                "model": model,
                "calls": sum(reply.attempts for reply in replies),
                "failed": sum(bool(reply.error) for reply in replies),
                "prompt tokens": sum(reply.prompt_tokens for reply in replies),
                "reply tokens": sum(reply.reply_tokens for reply in replies),
                "money": "unknown" if None in money else f"{sum(m for m in money if m is not None):.4f}",
                "seconds waited": sum(reply.seconds for reply in replies),
            }
        )
    price = "an unknown price" if spent.money is None else f"a cost of {spent.money:.4f}"
    text = f"{spent.calls} calls, {spent.tokens:,} tokens at {price}; {sum(seconds):.1f} s in all."
    return Chart("Costs", text, ((label, svg),), rows)
