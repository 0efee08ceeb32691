"""Measure the loss with one unit at a time in another format, running only the part after it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tap.errors import ModelError
from tap.formats import Format, parse_all
from tap.quantize.inputs import InputRanges
from tap.quantize.weights import QuantizedWeights
from tap.sensitivity import Sensitivity
from tap.stats.batches import Batches, unwrap
from tap.stats.layers import Layers, find_layers, fingerprint
from tap.stats.observe import plain_torch
from tap.stats.unchanged import lent
from tap.truth.executor import Executor, Result, Work, executor_of
from tap.truth.journal import Journal
from tap.truth.losses import Judge, Loss
from tap.truth.progress import tracked
from tap.truth.replay import Replay, same
from tap.truth.statistics import bootstrap, ceiling, halves

Job = tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]
"""Units that change together, in the order of their calls, and the formats to measure them in together."""


def measure_units(
    model: nn.Module,
    batches: Any,
    *,
    formats: Iterable[str | Format] | None,
    loss: Loss,
    base: Mapping[str, str] | None,
    executor: Executor | str | None,
    resume: str | Path | None,
    progress: bool,
    cache_bytes: int,
    exclude: Sequence[str],
    include: Sequence[str] | None,
    seed: int,
) -> Sensitivity:
    """`tap.measure`, with torch loaded."""
    model, data, chosen = unwrap(model), Batches(batches), parse_all(formats)
    layers = find_layers(model, data, exclude=exclude, include=include)
    names = tuple(unit.name for unit in layers.units)
    task = UnitTask(model, data, layers, chosen, loss, base_of(base, names), cache_bytes)
    header = {"kind": "sensitivity", **task.header()}
    with Journal(resume, header) as journal:
        jobs = [
            ((u,), todo)
            for u, name in enumerate(names)
            if (
                todo := tuple(
                    (f,) for f, one in enumerate(chosen) if key_of([name], [one]) not in journal.done
                )
            )
        ]
        count = sum(len(todo) for _, todo in jobs)
        results = executor_of(executor).run(task, jobs)
        for key, values in tracked(results, count, "measure", progress):
            journal.append(key, values)
        samples = np.stack(
            [np.stack([journal.done[key_of([n], [f])] for f in chosen], 1) for n in names], axis=1
        )
    groups = np.tile(np.arange(len(chosen)), len(names))
    return Sensitivity(
        units=names,
        formats=tuple(format.name for format in chosen),
        values=samples.mean(axis=0),
        stderr=bootstrap(samples, seed),
        ceiling=ceiling(samples.reshape(len(samples), -1), groups, seed),
        fingerprint=header["fingerprint"],
        meta={name: header[name] for name in ("loss", "base")} | {"samples": data.n_samples, "seed": seed},
        halves=halves(samples),
    )


def key_of(units: Sequence[str], formats: Sequence[Format]) -> str:
    """The journal's key of units that are in formats.

    >>> key_of(["conv1", "fc"], parse_all(["int4", "int2"]))
    'conv1/int4 & fc/int2'
    """
    return " & ".join(f"{unit}/{format.name}" for unit, format in zip(units, formats, strict=True))


def data_digest(data: Batches) -> str:
    """Identity of the samples, so that a journal is not continued on other data."""
    import hashlib

    digest = hashlib.sha256()
    for batch in data:
        for value in (*batch.args, *batch.kwargs.values(), batch.targets):
            if isinstance(value, Tensor):
                flat = value.detach().reshape(-1)[:: max(1, value.numel() // 4096)].double().cpu()
                digest.update(f"{tuple(value.shape)}".encode() + flat.numpy().tobytes())
    return digest.hexdigest()[:32]


def base_of(base: Mapping[str, str] | None, names: Sequence[str]) -> dict[int, str]:
    """The base point by unit index; an unknown unit is a `ModelError`."""
    for name in base or {}:
        if name not in names:
            raise ModelError(f"the base names a unit '{name}' that the model does not have")
    return {names.index(name): format for name, format in (base or {}).items()}


@dataclass
class UnitTask:
    """What the workers of one `tap.measure` share."""

    model: nn.Module
    data: Batches
    layers: Layers
    formats: tuple[Format, ...]
    loss: Loss
    base: dict[int, str]
    cache_bytes: int

    def header(self) -> dict[str, Any]:
        """What is measured, for a journal."""
        names = [unit.name for unit in self.layers.units]
        return {
            "fingerprint": fingerprint(self.model, self.layers.units),
            "units": names,
            "formats": [format.name for format in self.formats],
            "loss": self.loss if isinstance(self.loss, str) else getattr(self.loss, "__name__", "custom"),
            "base": {names[unit]: format for unit, format in self.base.items()},
            "data": data_digest(self.data),
        }

    @contextmanager
    def started(self, device: str | None = None) -> Iterator[Work]:
        """Run the full-precision model, put in the base point, and stand ready for units."""
        if device is not None and device != "cpu":
            self.model.to(device)
        with lent(self.model), plain_torch(), ExitStack() as stack:
            yield UnitMeter(self, stack).measure


class UnitMeter:
    """Measures units in the order of their calls; see `Replay` for why that is fast."""

    def __init__(self, task: UnitTask, stack: ExitStack) -> None:
        """Everything put into the model is taken out when `stack` unwinds."""
        self._task, self._model, self._data = task, task.model, task.data
        self._judge = Judge(task.model, task.data, task.loss)
        base = {unit: position for position, unit in enumerate(task.base)}
        self._based = QuantizedWeights(
            task.model, task.layers.units, parse_all(dict.fromkeys(task.base.values())) if base else ()
        )
        place = {format.name: index for index, format in enumerate(self._based.formats)}
        self._base = {unit: place[parse_all([name])[0].name] for unit, name in task.base.items()}
        self._weights = QuantizedWeights(task.model, task.layers.units, task.formats)
        self._ranges = InputRanges(task.model, task.layers, task.data)
        if any(format.act_bits < 16 for format in (*task.formats, *self._based.formats)):
            self._ranges.calibrate()
        stack.enter_context(self._based_point())
        self._tiny = next(iter(task.data)).part(0, 2)
        self._replay = Replay(task.model, len(self._judge.batches) + 1)
        stack.enter_context(self._replay.installed())
        self._before = self._losses(replayed=False)

    @contextmanager
    def _based_point(self) -> Iterator[None]:
        bits = {unit: self._based.formats[f].act_bits for unit, f in self._base.items()}
        with self._based.swapped(self._base), self._ranges.rounded(bits):
            yield

    def measure(self, job: Job) -> Iterator[Result]:
        """Loss of each sample less that of the base point, for the units in each choice of formats."""
        units, choices = job
        names = [self._task.layers.units[unit].name for unit in units]
        usable = self._advance(dict(zip(units, choices[0], strict=True)))
        for indexes in choices:
            formats = [self._task.formats[index] for index in indexes]
            with self._changed(dict(zip(units, indexes, strict=True))):
                losses = self._losses(replayed=usable)
            if not np.isfinite(losses).all():
                raise ModelError(
                    f"the loss is not finite with unit {key_of(names, formats)}",
                    hint="exclude the unit, or leave the format out",
                )
            yield key_of(names, formats), losses - self._before
        if len(units) == 1:
            self._weights.forget(units[0])

    @contextmanager
    def _changed(self, choice: Mapping[int, int]) -> Iterator[None]:
        bits = {unit: self._task.formats[format].act_bits for unit, format in choice.items()}
        with self._weights.swapped(choice), self._ranges.rounded(bits):
            yield

    def _losses(self, *, replayed: bool) -> NDArray[np.float64]:
        """Loss of every sample with the model as it now stands."""
        parts = []
        for index in range(len(self._judge.batches)):
            logits = self._run(index) if replayed else self._judge.run(index)
            parts.append(self._judge.judge(index, logits, self._reference(index)).loss)
        return np.concatenate(parts)

    def _reference(self, index: int) -> Tensor | None:
        """Full-precision logits that were too many to keep."""
        if self._judge.reference(index) is not None:
            return None
        with self._weights.originals(), self._ranges.paused():
            return self._judge.run(index)

    def _run(self, index: int, *, watch: bool = False) -> Tensor:
        tiny = index == len(self._judge.batches)
        run = self._run_tiny if tiny else partial(self._judge.run, index)
        result: Tensor = self._replay.run(index, run, watch=watch)
        return result

    def _run_tiny(self) -> Tensor:
        with torch.no_grad():
            return self._data.run(self._model, self._tiny)

    def _advance(self, choice: Mapping[int, int]) -> bool:
        """Keep all that runs before the units; whether replays give what plain runs give (two samples)."""
        tiny = len(self._judge.batches)
        targets = [site.module for unit in choice for site in self._task.layers.sites[unit]]
        kept = self._replay.snapshot(tiny)
        self._replay.advance(tiny, targets, self._run_tiny)
        needed = self._replay.kept_bytes(tiny) / self._tiny.size * self._judge.n_samples
        if needed > self._task.cache_bytes:
            self._replay.restore(tiny, kept)
        else:
            for index in range(tiny):
                self._replay.advance(index, targets, partial(self._judge.run, index))
        with self._changed(choice):
            return same(self._run(tiny, watch=True), self._run_tiny())
