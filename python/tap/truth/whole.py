"""Measure whole configurations: all units quantized at once, with and without lifts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from tap.configurations import Configurations
from tap.costs import Budget
from tap.errors import BudgetError, ModelError, TableError
from tap.formats import Format, parse_all
from tap.quantize.compensate import compensations
from tap.quantize.inputs import InputRanges
from tap.quantize.lifts import BatchNorms
from tap.quantize.weights import QuantizedWeights
from tap.stats.batches import Batches, unwrap
from tap.stats.layers import Layers, find_layers, fingerprint
from tap.stats.observe import plain_torch
from tap.stats.unchanged import lent
from tap.truth.draw import draw, target_bytes
from tap.truth.executor import Executor, Result, Work, executor_of
from tap.truth.journal import Journal
from tap.truth.losses import Judge, Loss
from tap.truth.one_at_a_time import data_digest
from tap.truth.progress import tracked
from tap.truth.statistics import bootstrap, ceiling

CALIBRATION = 256
"""Samples of the calibration data that the lifts read."""

Job = tuple[int, ...]
"""The format index of every unit."""


def measure_whole(
    model: nn.Module,
    batches: Any,
    *,
    budgets: Sequence[float | str],
    n: int,
    choices: NDArray[np.int64] | None,
    formats: Iterable[str | Format] | None,
    calibration: Any,
    lifts: bool,
    loss: Loss,
    around: Sequence[NDArray[np.int64]],
    executor: Executor | str | None,
    resume: str | Path | None,
    progress: bool,
    exclude: Sequence[str],
    include: Sequence[str] | None,
    seed: int,
) -> Configurations:
    """`tap.measure_configs`, with torch loaded."""
    model, data, chosen = unwrap(model), Batches(batches), parse_all(formats)
    layers = find_layers(model, data, exclude=exclude, include=include)
    cost = np.array([[f.stored_bytes(unit) for f in chosen] for unit in layers.units], np.int64)
    rng = np.random.default_rng(seed)
    if choices is None:
        targets = [_target(budget, layers, cost, chosen) for budget in budgets]
        drawn = [draw(cost, target, n, rng, around) for target in targets]
    else:
        drawn = [_given(choices, cost.shape)]
    if not any(map(len, drawn)):
        raise BudgetError("no configuration to measure", hint="give budgets and n, or choices")
    choice = np.concatenate([np.stack(group) for group in drawn])
    stratum = np.repeat(np.arange(len(drawn)), [len(group) for group in drawn])
    lifting = Batches(calibration if calibration is not None else data).limit(CALIBRATION) if lifts else None
    task = WholeTask(model, data, lifting, layers, chosen, loss)
    identity = fingerprint(model, layers.units)
    header: dict[str, Any] = {
        "kind": "configurations",
        "fingerprint": identity,
        "units": [unit.name for unit in layers.units],
        "formats": [format.name for format in chosen],
        "loss": loss if isinstance(loss, str) else getattr(loss, "__name__", "custom"),
        "data": data_digest(data),
        "calibration": data_digest(lifting) if lifting is not None else None,
    }
    with Journal(resume, header) as journal:
        jobs = [tuple(map(int, row)) for row in choice if _key(row) not in journal.done]
        results = executor_of(executor).run(task, jobs)
        for key, values in tracked(results, len(jobs), "measure configurations", progress):
            journal.append(key, values)
        found = np.stack([journal.done[_key(row)] for row in choice])
    losses = found[:, 0].T
    return Configurations(
        units=tuple(header["units"]),
        formats=tuple(header["formats"]),
        choice=choice,
        loss=found[:, 0].mean(axis=1),
        accuracy=found[:, 1].mean(axis=1),
        stderr=bootstrap(losses, seed),
        stratum=stratum,
        bytes=cost[np.arange(len(layers.units)), choice].sum(axis=1),
        ceiling=ceiling(losses, stratum, seed),
        fingerprint=identity,
        meta={
            "loss": header["loss"],
            "samples": data.n_samples,
            "calibration": lifting.n_samples if lifting is not None else 0,
            "budgets": list(budgets),
            "seed": seed,
        },
        plain_loss=found[:, 2].mean(axis=1),
        plain_accuracy=found[:, 3].mean(axis=1),
    )


def _target(budget: float | str, layers: Layers, cost: NDArray[np.int64], formats: Sequence[Format]) -> float:
    """Bytes of the stratum of a budget."""
    if not isinstance(budget, str):
        return target_bytes(float(budget), cost, [f.bits for f in formats])
    parsed = Budget.parse(budget)
    if parsed.cost != "bytes":
        raise BudgetError(f"'{budget}' is not a size", hint="write 3bits, 12kB or int3")
    return parsed.limit(layers.units)


def _given(choices: NDArray[np.int64], shape: tuple[int, ...]) -> list[NDArray[np.int64]]:
    """The user's configurations, checked against the units and formats."""
    found = np.asarray(choices)
    units, formats = shape
    fits = found.ndim == 2 and found.shape[1] == units and np.issubdtype(found.dtype, np.integer)
    if not fits or not ((found >= 0) & (found < formats)).all():
        raise TableError(f"choices must be format indexes [M, {units}], each 0 to {formats - 1}")
    return list(found.astype(np.int64))


def _key(choice: Any) -> str:
    """The key of a configuration in the journal."""
    return ",".join(str(int(index)) for index in choice)


@dataclass
class WholeTask:
    """What the workers of one `tap.measure_configs` share."""

    model: nn.Module
    data: Batches
    calibration: Batches | None
    """Data of the lifts; None: no lifts."""
    layers: Layers
    formats: tuple[Format, ...]
    loss: Loss

    @contextmanager
    def started(self, device: str | None = None) -> Iterator[Work]:
        """Run the full-precision model and stand ready for configurations."""
        if device is not None and device != "cpu":
            self.model.to(device)
        with lent(self.model), plain_torch():
            yield ConfigurationMeter(self).measure


class ConfigurationMeter:
    """Measures configurations; weights are quantized once for each unit and format."""

    def __init__(self, task: WholeTask) -> None:
        """Run the full-precision model over the data, and over the calibration data."""
        self._judge = Judge(task.model, task.data, task.loss)
        self._formats = task.formats
        self._norms = BatchNorms(task.model, task.calibration) if task.calibration is not None else None
        units = task.layers.units
        self._weights = QuantizedWeights(task.model, units, task.formats)
        self._lifted = self._weights
        if task.calibration is not None:
            found = compensations(task.model, task.layers, task.calibration, range(len(units)))
            self._lifted = QuantizedWeights(task.model, units, task.formats, found)
        self._ranges = InputRanges(task.model, task.layers, task.calibration or task.data)
        if any(format.act_bits < 16 for format in task.formats):
            self._ranges.calibrate()

    def measure(self, job: Job) -> Iterator[Result]:
        """Rows of [4, N]: loss and correctness of every sample with lifts, and without."""
        choice = dict(enumerate(job))
        bits = {unit: self._formats[format].act_bits for unit, format in choice.items()}
        with self._ranges.rounded(bits):
            with self._weights.swapped(choice):
                plain = lifted = self._losses()
                least = self._norms.divergence() if self._norms is not None else 0.0
            if self._norms is not None:
                with self._lifted.swapped(choice):
                    correction = self._norms.correction()
                    if correction.loss < least:
                        with self._norms.applied(correction.moments):
                            lifted = self._losses()
        if not np.isfinite((*plain[0], *lifted[0])).all():
            raise ModelError(
                "the loss of a configuration is not finite", hint="leave out the coarsest format"
            )
        yield _key(job), np.stack([*lifted, *plain])

    def _losses(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Loss and correctness of every sample with the model as it now stands."""
        parts = []
        for index in range(len(self._judge.batches)):
            reference = None
            if self._judge.reference(index) is None:
                with self._weights.originals(), self._ranges.paused():
                    reference = self._judge.run(index)
            parts.append(self._judge.judge(index, self._judge.run(index), reference))
        return np.concatenate([p.loss for p in parts]), np.concatenate([p.correct for p in parts])
