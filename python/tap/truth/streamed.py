"""Plans of a causal language model measured some layers at a time, with little more than the model in memory.

The full-precision network and every plan stand before the same layers of a block. Their weights are rounded
to each format that a plan gives them, every plan runs on to the next ones, and the rounded weights are
dropped; so each weight is rounded once a format, whatever the number of plans. What is held besides the model
is those layers in the formats, the second moments of their inputs, and the hidden states of all plans there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tap.errors import DataError, ModelError
from tap.formats import Format, Grid
from tap.quantize.compensate import Compensation, fits, moments_of
from tap.quantize.fake import FakeWeight
from tap.quantize.model import put_formats
from tap.quantize.weights import find_grid, round_unit
from tap.stats.batches import Batch, Batches, is_causal, unwrap
from tap.stats.layers import Layers
from tap.stats.memory import give_back
from tap.stats.observe import observed, plain_torch
from tap.stats.progress import Progress
from tap.stats.sites import Site
from tap.stats.unchanged import lent
from tap.truth.losses import Judge, Losses
from tap.truth.replay import Replay, same


@dataclass(frozen=True)
class Streamed:
    """Loss (KL to full precision) and correctness [plans, samples]."""

    loss: NDArray[np.float64]
    correct: NDArray[np.float64]


def can_stream(model: nn.Module, layers: Layers, data: Batches) -> bool:
    """Whether the model is a causal one whose layers are each called once, block after block.

    It is tried: one sample is run so, and the logits must be those of a plain run.
    """
    if not is_causal(model) or any(site.is_packed for group in layers.sites for site in group):
        return False
    inner, one = unwrap(model), data.limit(1)
    with lent(inner), torch.no_grad(), plain_torch():
        stages = _stages(inner, layers, one)
        sites = [site for stage in stages for site in stage.sites]
        if len({id(site.module) for site in sites}) < len(sites):
            return False
        batch, replay = next(iter(one)), Replay(inner, 1)
        with replay.installed():
            try:
                for stage in stages:
                    replay.advance(0, [stage.start], lambda: one.run(inner, batch))
                    replay.empty(0, stage.over)
                found = replay.run(0, lambda: one.run(inner, batch))
            except DataError:
                return False
        return same(found, one.run(inner, batch))


def measure_streamed(
    model: nn.Module,
    data: Batches,
    calibration: Batches,
    layers: Layers,
    formats: Sequence[Format],
    choices: NDArray[np.int64],
    *,
    progress: bool = True,
) -> Streamed:
    """Measure the rows [L] of `choices`, and leave the model in the formats of the first one.

    Weights are rounded as `tap.quantize` rounds them with `calibration` for data. The model's own weights are
    given up; `can_stream` must hold.
    """
    inner = unwrap(model)
    with lent(inner), torch.no_grad(), plain_torch(), Progress(progress) as bar:
        stages = _stages(inner, layers, calibration.limit(1))
        sweep = _Sweep(inner, data, calibration, layers, tuple(formats), choices, stages)
        found = sweep.run(bar.start("plans, some layers at a time", len(stages)))
    put_formats(inner, layers, [sweep.fakes[unit] for unit in range(len(layers.units))])
    return found


@dataclass(frozen=True)
class _Stage:
    """Neighbours of one block, or one layer outside of the blocks, that are passed together."""

    sites: list[Site]
    over: frozenset[str]
    """Blocks whose outputs nothing reads any more."""

    @property
    def start(self) -> nn.Module:
        """The layer that the stage begins with."""
        return self.sites[0].module

    @property
    def numel(self) -> int:
        """Weights of its layers."""
        return sum(site.weight.numel() for site in self.sites)


class _Sweep:
    """Slots of kept outputs: the judged batches of each variant (0: full precision), then the calibration."""

    def __init__(
        self, model: nn.Module, data: Batches, calibration: Batches, layers: Layers,
        formats: tuple[Format, ...], choices: NDArray[np.int64], stages: list[_Stage],
    ) -> None:  # fmt: skip
        self._model, self._data, self._calibration, self._layers = model, data, calibration, layers
        self._formats, self._choices, self._stages = formats, choices, stages
        self._judged, self._batches = list(data), list(calibration)
        self._replay = Replay(model, (1 + len(choices)) * len(self._judged) + len(self._batches))
        self._unit = {id(site.module): unit for unit, group in enumerate(layers.sites) for site in group}
        sites = [site for stage in stages for site in stage.sites]
        self._last = {self._unit[id(site.module)]: site for site in sites}
        self.fakes: dict[int, FakeWeight] = {}

    def run(self, advance: Callable[[int], None]) -> Streamed:
        """All stages in their order, then the losses of every plan."""
        judge = Judge(self._model, self._data, kept=0)
        losses: list[list[Losses]] = [[] for _ in self._choices]
        with self._replay.installed():
            for variant in range(1 + len(self._choices)):
                self._advance(variant, self._stages[0])
            self._advance_calibration(self._stages[0])
            for stage, following in zip(self._stages, [*self._stages[1:], None], strict=True):
                self._pass(stage, following, judge, losses)
                advance(1)
        return Streamed(
            np.stack([np.concatenate([part.loss for part in parts]) for parts in losses]),
            np.stack([np.concatenate([part.correct for part in parts]) for parts in losses]),
        )

    def _pass(
        self, stage: _Stage, following: _Stage | None, judge: Judge, losses: list[list[Losses]]
    ) -> None:
        """Take every variant through one stage, to the next one or to the logits."""
        moving = self._compensations(stage, following)
        compensated = set(moving)
        if following is not None:
            self._advance(0, following)
        rounded: dict[tuple[int, int], Tensor] = {}
        grids: dict[tuple[int, int], Grid | None] = {}
        for site in stage.sites:
            unit = self._unit[id(site.module)]
            self._round(site, unit, moving.pop(unit, None), rounded, grids)
        if following is None:
            self._judge(stage, rounded, judge, losses)
        else:
            for variant, row in enumerate(self._choices, 1):
                with self._swapped(stage, row, rounded):
                    self._advance(variant, following)
        for site in stage.sites:
            unit = self._unit[id(site.module)]
            if self._last[unit] is site:
                chosen = int(self._choices[0][unit])
                form, layer = self._formats[chosen], self._layers.units[unit]
                self.fakes[unit] = FakeWeight(form, layer, grids[unit, chosen])
                if unit in compensated:
                    site.weight.data = rounded[unit, chosen]

    def _round(
        self,
        site: Site,
        unit: int,
        compensation: Compensation | None,
        rounded: dict[tuple[int, int], Tensor],
        grids: dict[tuple[int, int], Grid | None],
    ) -> None:
        """Put the weight of a unit in each format that a plan gives it, and its grids, into the mappings."""
        layer, weight = self._layers.units[unit], site.weight.data
        for index in sorted({int(row[unit]) for row in self._choices}):
            form = self._formats[index]
            give_back()
            grids[unit, index] = grid = find_grid(form, layer, weight)
            give_back()
            rounded[unit, index] = round_unit(form, layer, weight, compensation, grid)

    @contextmanager
    def _swapped(
        self, stage: _Stage, row: NDArray[np.int64], rounded: dict[tuple[int, int], Tensor]
    ) -> Iterator[None]:
        """The weights of a stage in the formats of one plan; the originals return in any case."""
        before = [(site.weight, site.weight.data) for site in stage.sites]
        try:
            for site in stage.sites:
                unit = self._unit[id(site.module)]
                site.weight.data = rounded[unit, int(row[unit])]
            yield
        finally:
            for weight, original in before:
                weight.data = original

    def _judge(
        self, stage: _Stage, rounded: dict[tuple[int, int], Tensor], judge: Judge, losses: list[list[Losses]]
    ) -> None:
        """Logits of full precision and of the plans, batch by batch."""
        for batch in range(len(self._judged)):
            reference = self._logits(0, batch)
            for variant, row in enumerate(self._choices, 1):
                with self._swapped(stage, row, rounded):
                    found = judge.judge(batch, self._logits(variant, batch), reference)
                if not np.isfinite(found.loss).all():
                    raise ModelError("the loss of a plan is not finite", hint="leave out the coarsest format")
                losses[variant - 1].append(found)

    def _compensations(self, stage: _Stage, following: _Stage | None) -> dict[int, Compensation]:
        """From moments of the inputs of a stage, seen while the calibration runs on to the next one."""
        totals: dict[int, Tensor] = {}
        counts: dict[int, int] = {}

        def on_call(site: Site, row: int, x: Tensor, z: Tensor) -> None:
            unit = self._unit[id(site.module)]
            total, count = moments_of(site.module, x, self._layers.units[unit])
            totals[unit] = totals[unit].add_(total) if unit in totals else total
            counts[unit] = counts.get(unit, 0) + count

        grids = any(hasattr(form, "grid") for form in self._formats)
        seen = [site for site in stage.sites if grids and fits(self._layers, self._unit[id(site.module)])]
        with observed(seen, on_call):
            self._advance_calibration(following)
        return {unit: Compensation(total.div_(counts[unit])) for unit, total in totals.items()}

    def _advance(self, variant: int, following: _Stage) -> None:
        for index, batch in enumerate(self._judged):
            self._step(self._slot(variant, index), following, self._data, batch)

    def _advance_calibration(self, following: _Stage | None) -> None:
        start = self._slot(1 + len(self._choices), 0)
        for index, batch in enumerate(self._batches):
            if following is None:
                self._replay.run(start + index, partial(self._calibration.run, self._model, batch))
            else:
                self._step(start + index, following, self._calibration, batch)

    def _step(self, slot: int, following: _Stage, source: Batches, batch: Batch) -> None:
        self._replay.advance(slot, [following.start], partial(source.run, self._model, batch))
        self._replay.empty(slot, following.over)

    def _logits(self, variant: int, batch: int) -> Tensor:
        run = partial(self._data.run, self._model, self._judged[batch])
        logits: Tensor = self._replay.run(self._slot(variant, batch), run)
        return logits

    def _slot(self, variant: int, batch: int) -> int:
        return variant * len(self._judged) + batch


def _stages(model: nn.Module, layers: Layers, data: Batches) -> list[_Stage]:
    """The layers in the order of their calls; those of a block together up to the size of its largest."""
    order: list[Site] = []
    with observed([site for group in layers.sites for site in group], lambda site, *_: order.append(site)):
        for batch in data:
            data.run(model, batch)
    lists = [
        (f"{name}.", module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList)
    ]
    prefix, blocks = max(lists, key=lambda item: len(item[1]), default=("", nn.ModuleList()))

    def block_of(site: Site) -> int | None:
        number = site.name[len(prefix) :].split(".")[0] if site.name.startswith(prefix) else ""
        return int(number) if number.isdigit() and int(number) < len(blocks) else None

    largest: dict[int | None, int] = {}
    for site in order:
        largest[block_of(site)] = max(site.weight.numel(), largest.get(block_of(site), 0))
    stages: list[_Stage] = []
    for site in order:
        block, last = block_of(site), stages[-1] if stages else None
        beside = last is not None and block is not None and block_of(last.sites[0]) == block
        if last and beside and last.numel + site.weight.numel() <= largest[block]:
            last.sites.append(site)
            continue
        over = range((len(blocks) if block is None else block) - 1) if stages else ()
        stages.append(_Stage([site], frozenset(f"{prefix}{number}" for number in over)))
    return stages
