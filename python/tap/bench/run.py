"""The benchmark of one network on one page: truth, contestants, plans, and what they come to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tap import costs
from tap.agreement import places_in
from tap.bench import agreeing, contestants
from tap.bench.agreeing import Agreed
from tap.bench.case import Case
from tap.bench.contestants import Choice, Contestant, Ladder
from tap.bench.measured import Outcome, measure_plans
from tap.bench.result import Agreeing, Chance, Net, Planned, Row
from tap.bench.truth import Given, Truths, gather
from tap.pipeline import top1
from tap.stats.table import LayerTable


@dataclass(frozen=True)
class Settings:
    """How thorough a benchmark is."""

    configurations: int = 40
    """Configurations measured at each budget, when none are given."""
    random: int = 20
    """Random configurations measured at each budget, beside the plans."""
    draws: int = 1000
    """Bootstrap draws of the intervals."""
    seed: int = 0
    progress: bool = True
    truth: bool = True
    """Measure a truth where none is given; without, only plans are compared."""


def run(
    case: Case,
    folder: Path,
    *,
    named: Mapping[str, str],
    discovered: Mapping[str, str],
    given: Given | None = None,
    settings: Settings | None = None,
) -> Net:
    """Compare programs by name on one case. What is measured is kept in `folder`, and not measured again."""
    from tap.stats.batches import Batches
    from tap.stats.sources import load_batches, load_model

    how = settings or Settings()
    folder.mkdir(parents=True, exist_ok=True)
    model = load_model(case.model)
    calibration = Batches(load_batches(case.calibration))
    evaluation = Batches(load_batches(case.evaluation), samples=case.evaluated)
    lifting = Batches(calibration, samples=case.lifted)
    if case.batch:
        evaluation, lifting = evaluation.split(case.batch), lifting.split(case.batch)
    found = gather(case, model, calibration, folder, given or Given(), how)
    rungs = contestants.ladder(found.table, case.budgets)
    every = _contestants(found, rungs, named, discovered)
    chance = contestants.random_choices(rungs, how.random, how.seed)
    wanted = [choice for one in every for choice in one.choices if choice is not None]
    outcomes = measure_plans(
        model,
        [*wanted, *(choice for some in chance for choice in some)],
        formats=found.table.formats,
        cost=rungs.cost,
        evaluation=evaluation,
        calibration=lifting,
        journal=folder / "plans.journal",
        progress=how.progress,
    )
    ceilings = {name: truth.ceiling for name, truth in found.items()}
    return Net(
        case.name,
        found.table.formats,
        rungs.names,
        top1(model, evaluation),
        _rows(every, found, rungs, outcomes, how),
        tuple(_chance(name, some, outcomes) for name, some in zip(rungs.names, chance, strict=True) if some),
        ceilings,
        {
            "evaluated": evaluation.n_samples,
            "lifted": lifting.n_samples,
            "random": how.random,
            "seed": how.seed,
            "draws": how.draws,
            "plans measured": len(outcomes),
            "truth": {name: dict(truth.meta) for name, truth in found.items()},
        },
    )


def _contestants(
    found: Truths, rungs: Ladder, named: Mapping[str, str], discovered: Mapping[str, str]
) -> list[Contestant]:
    """Programs first, then the plans that need none."""
    every = contestants.of_programs(named, found.table, rungs, kind="named")
    every += contestants.of_programs(discovered, found.table, rungs, kind="discovered")
    every += contestants.baselines(found.table, rungs)
    truth = found.sensitivity and contestants.of_truth(found.sensitivity, found.table, rungs)
    return [*every, truth] if truth else every


def _rows(
    every: Sequence[Contestant],
    found: Truths,
    rungs: Ladder,
    outcomes: Mapping[Choice, Outcome],
    how: Settings,
) -> tuple[Row, ...]:
    """One row a contestant, in the given order."""
    scored = [place for place, one in enumerate(every) if one.scores is not None]
    agreed: dict[str, dict[int, Agreeing]] = {}
    for name, truth in found.items():
        units, formats = places_in(found.table, truth)
        scores = [one.scores[np.ix_(units, formats)] for one in every if one.scores is not None]
        result = agreeing.with_truth(scores, truth, draws=how.draws, seed=how.seed)
        rivals = [at for at, place in enumerate(scored) if every[place].kind == "named"]
        best = max(rivals, key=lambda at: result.value[at]) if rivals else 0
        agreed[name] = {place: _agreeing(result, at, best) for at, place in enumerate(scored)}
    gains = _gains(every, outcomes)
    return tuple(
        Row(
            one.name,
            one.kind,
            agreed.get("configurations", {}).get(place),
            agreed.get("sensitivity", {}).get(place),
            tuple(
                None if choice is None else _planned(budget, outcomes[choice], found.table)
                for budget, choice in zip(rungs.names, one.choices, strict=True)
            ),
            *gains[place],
            one.error,
        )
        for place, one in enumerate(every)
    )


def _gains(every: Sequence[Contestant], outcomes: Mapping[Choice, Outcome]) -> list[tuple[float, float]]:
    """Mean loss over the budgets against that of the best named proxy, and its p over paired samples."""
    losses = [
        np.mean([outcomes[choice].samples[0] for choice in one.choices if choice is not None], axis=0)
        if one.choices and None not in one.choices
        else None
        for one in every
    ]
    rivals = [
        loss for one, loss in zip(every, losses, strict=True) if one.kind == "named" and loss is not None
    ]
    if not rivals:
        return [(math.nan, math.nan)] * len(every)
    best = min(rivals, key=lambda loss: float(loss.mean()))
    return [(math.nan, math.nan) if loss is None else _paired(loss - best) for loss in losses]


def _paired(difference: Any) -> tuple[float, float]:
    """Mean, and its two-sided p by the normal approximation."""
    mean = float(difference.mean())
    error = float(difference.std(ddof=1)) / math.sqrt(len(difference))
    return mean, 1.0 if error == 0 else math.erfc(abs(mean) / error / math.sqrt(2))


def _agreeing(result: Agreed, at: int, best: int) -> Agreeing:
    difference, p = result.against(best)
    return Agreeing(
        float(result.value[at]),
        *result.interval(at),
        float(result.relative[at]),
        dict(zip(result.groups, map(float, result.by_group[at]), strict=True)),
        float(result.regret[at]),
        float(difference[at]),
        float(p[at]),
    )


def _planned(budget: str, outcome: Outcome, table: LayerTable) -> Planned:
    return Planned(
        budget,
        outcome.bytes,
        costs.average_bits(outcome.bytes, table.units),
        outcome.choice,
        outcome.loss,
        outcome.loss_error,
        outcome.accuracy,
        outcome.plain_loss,
        outcome.plain_accuracy,
    )


def _chance(budget: str, some: Sequence[Choice], outcomes: Mapping[Choice, Outcome]) -> Chance:
    loss = sorted(outcomes[choice].loss for choice in some)
    accuracy = sorted((outcomes[choice].accuracy for choice in some), reverse=True)
    middle = len(some) // 2
    return Chance(
        budget,
        len(some),
        (loss[0], loss[middle], loss[-1]),
        (accuracy[0], accuracy[middle], accuracy[-1]),
    )
