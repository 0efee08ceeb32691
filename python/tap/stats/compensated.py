"""Output errors of units as `tap.quantize` rounds them, and what loss and logits make of them.

With D = q * x_b - w * x the output error of one unit, q rounded with error compensation (GPTQ), x_b the
input in the bits of the format, and less the mean of each channel where a batch norm reads the output,
whose statistics are corrected:

    comp_gz_noise    = E sum gz^2 D^2         gz the gradient of the loss
    comp_logit_gz    = E sum gv^2 D^2         gv the gradient of v . logits, v normal and of mean zero
    comp_logit_dw2   = E (sum gv D)^2 = E |J D|^2

with J the derivative of the logits in the output. Unlike the loss, the logits have gradients on samples
that the network is sure of; these matter once the other units are rounded too. D is taken on other samples
than those that q was rounded for: on the same ones, a unit of more columns than these have rows hardly errs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from tap.formats import Format, Grid
from tap.quantize.compensate import Compensation, compensations
from tap.quantize.model import SAMPLES
from tap.quantize.weights import round_unit
from tap.stats.batches import IGNORED, Batches
from tap.stats.deltas import Deltas
from tap.stats.layers import matrix
from tap.stats.loss import Loss, class_axis
from tap.stats.noise import OutputNoise
from tap.stats.normalized import input_means, normalized
from tap.stats.passes import Pass, samples_apart
from tap.stats.rounded import rounded_inputs
from tap.stats.state import Collection
from tap.stats.unchanged import lent

PROJECTIONS = 4
"""Random proportions of the logits for each sample."""
_MOMENTS = 1 << 26
"""Elements of second moments held at once (256 MB)."""


def compensated(state: Collection) -> None:
    """comp_gz_noise, comp_logit_gz, comp_logit_dw2."""
    if not state.wants("compensated noise"):
        return
    noisy, others = _apart(state)
    deltas = _deltas(state, others)
    inputs = rounded_inputs(state.model, state.layers, others, state.formats)
    followed = normalized(state.model, state.layers, others)
    means = input_means(state.model, state.layers, others, followed, inputs)

    def noise(loss: Loss | None, times: int) -> OutputNoise:
        return _run(state, noisy, OutputNoise(deltas, state.devices, inputs, means), loss, times)

    random = torch.Generator().manual_seed(state.generator.initial_seed())
    found = {}
    if "comp_gz_noise" in state.names:
        found["comp_gz_noise"] = noise(state.loss, 1).result("gz_noise", 1)
    if state.names & {"comp_logit_gz", "comp_logit_dw2"}:
        of_logits = noise(_Projection(random), PROJECTIONS)
        found["comp_logit_gz"] = of_logits.result("gz_noise", PROJECTIONS)
        found["comp_logit_dw2"] = of_logits.result("gdw2", PROJECTIONS)
    for name, values in found.items():
        if name in state.names:
            state.column(name, values / noisy.n_samples)


class _Projection:
    """v . logits of each sample, summed over positions that count."""

    def __init__(self, random: torch.Generator) -> None:
        self._random = random

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        v = torch.randn(logits.shape, generator=self._random).to(logits.device)
        if not targets.is_floating_point():
            axis = class_axis(logits, targets)
            v = v - v.mean(axis, keepdim=True)
            v = v.masked_fill((targets == IGNORED).unsqueeze(axis), 0.0)
        return (v * logits.float()).flatten(1).sum(1)


def _apart(state: Collection) -> tuple[Batches, Batches]:
    """Samples for the noise, at most half, and others that weights are rounded for; one serves as both."""
    count = state.batches.n_samples
    noisy, others = state.batches.cut(min(state.noise_batches[0].n_samples, (count + 1) // 2))
    return noisy, others.limit(SAMPLES) if others.n_samples else noisy


def _run(
    state: Collection, batches: Batches, noise: OutputNoise, loss: Loss | None, times: int
) -> OutputNoise:
    """Sum the noise of all units under a loss over the samples, `times` times."""
    if not samples_apart(state.layers):
        batches = batches.split(1)
    run = Pass(
        state.model, state.layers, forward=[], backward=[noise], gradients=True, logits=False, loss=loss,
        end_batch=noise.end_batch,
    )  # fmt: skip
    advance = state.bar.start("errors of compensated weights", times * batches.n_samples)
    for _ in range(times):
        run.run(batches, advance)
    return noise


def _deltas(state: Collection, data: Batches) -> Deltas:
    """Errors of the weights as `tap.quantize` rounds them for the data, kept as codes."""
    advance = state.bar.start("compensated rounding", len(state.units))
    deltas = state.deltas.copy()
    for group in _groups(state):
        with lent(state.model):
            found = compensations(state.model, state.layers, data, group)
        for unit in group:
            if unit in found:
                deltas.round(unit, _rounding(state, unit, found.pop(unit)))
            advance(1)
    return deltas


def _rounding(state: Collection, unit: int, found: Compensation) -> Callable[[Format, Grid], Tensor]:
    """Chooses the values [out, columns] of a unit on a grid."""
    layer, weight = state.units[unit], state.parameters[unit].detach().float()

    def chosen(format: Format, grid: Grid) -> Tensor:
        return matrix(round_unit(format, layer, weight, found, grid), layer).flatten(1)

    return chosen


def _groups(state: Collection) -> Iterator[list[int]]:
    """Units whose second moments are held at once."""
    group: list[int] = []
    size = 0
    for index, unit in enumerate(state.units):
        moments = unit.groups * (unit.inp * unit.pos) ** 2
        if group and size + moments > _MOMENTS:
            yield group
            group, size = [], 0
        group.append(index)
        size += moments
    yield group
