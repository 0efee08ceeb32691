"""Measure what two quantized units do to the loss together beyond what each does alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from tap.errors import ModelError
from tap.formats import Format, parse_all
from tap.interactions import Interactions
from tap.stats.batches import Batches, unwrap
from tap.stats.layers import find_layers
from tap.truth.executor import Executor, executor_of
from tap.truth.journal import Journal
from tap.truth.losses import Loss
from tap.truth.one_at_a_time import Job, UnitTask, base_of, key_of
from tap.truth.progress import tracked
from tap.truth.statistics import bootstrap


def measure_couples(
    model: nn.Module,
    batches: Any,
    *,
    pairs: Sequence[tuple[str, str]],
    formats: Iterable[str | Format] | None,
    loss: Loss,
    base: Mapping[str, str] | None,
    executor: Executor | str | None,
    resume: str | Path | None,
    progress: bool,
    cache_bytes: int,
    seed: int,
) -> Interactions:
    """`tap.measure_pairs`, with torch loaded."""
    model, data, chosen = unwrap(model), Batches(batches), parse_all(formats)
    layers = find_layers(model, data)
    names = [unit.name for unit in layers.units]
    couples = _couples(pairs, names)
    task = UnitTask(model, data, layers, chosen, loss, base_of(base, names), cache_bytes)
    with Journal(resume, {"kind": "interactions", **task.header()}) as journal:
        jobs = _jobs(couples, names, chosen, set(journal.done))
        count = sum(len(choices) for _, choices in jobs)
        results = executor_of(executor).run(task, jobs)
        for key, values in tracked(results, count, "measure pairs", progress):
            journal.append(key, values)
        together = np.stack([
            [[journal.done[key_of([names[a], names[b]], [f, g])] for g in chosen] for f in chosen]
            for a, b in couples
        ])  # fmt: skip
        alone = {
            unit: np.stack([journal.done[key_of([names[unit]], [f])] for f in chosen])
            for unit in {unit for couple in couples for unit in couple}
        }
    first = np.stack([alone[a] for a, _ in couples])[:, :, None]
    second = np.stack([alone[b] for _, b in couples])[:, None]
    samples = np.moveaxis(together - first - second, -1, 0)
    return Interactions(
        pairs=tuple((names[a], names[b]) for a, b in couples),
        formats=tuple(format.name for format in chosen),
        values=samples.mean(axis=0),
        stderr=bootstrap(samples, seed),
        together=together.mean(axis=-1),
        fingerprint=str(task.header()["fingerprint"]),
        meta={"loss": task.header()["loss"], "samples": data.n_samples, "seed": seed},
    )


def _couples(pairs: Sequence[tuple[str, str]], names: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of unit indexes, the earlier unit first, each pair once."""
    found: dict[tuple[int, int], None] = {}
    for pair in pairs:
        if isinstance(pair, str) or len(pair) != 2 or pair[0] == pair[1]:
            raise ModelError(f"{pair!r} is not a pair of two units", hint="give pairs=[(name, name), ...]")
        for name in pair:
            if name not in names:
                raise ModelError(
                    f"the model has no unit '{name}'", hint=f"its units: {', '.join(names[:12])}"
                )
        one, two = sorted(names.index(name) for name in pair)
        found[one, two] = None
    if not found:
        raise ModelError("no pair is given", hint="give pairs=[(name, name), ...]")
    return list(found)


def _jobs(
    couples: Sequence[tuple[int, int]], names: Sequence[str], formats: Sequence[Format], done: set[str]
) -> list[Job]:
    """What is left to measure, in the order of the earlier units: prefixes are kept and never run again."""
    wanted: list[tuple[int, ...]] = [*couples, *((unit,) for unit in {u for c in couples for u in c})]
    jobs: list[Job] = []
    for units in sorted(wanted, key=lambda units: (units[0], -len(units), units)):
        choices = tuple(
            indexes
            for indexes in product(range(len(formats)), repeat=len(units))
            if key_of([names[unit] for unit in units], [formats[index] for index in indexes]) not in done
        )
        if choices:
            jobs.append((units, choices))
    return jobs
