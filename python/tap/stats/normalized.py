"""What corrected batch norms take away of the errors in front of them: the mean of each channel.

The error D = x * dw of output channel o has the mean

    sum_(i, k) dw[o, i, k] m[i, k]

over samples and positions, m[i, k] the mean of the inputs that weight (i, k) is multiplied with; with
rounded inputs it is two such sums. A batch norm that reads the output and has its statistics corrected
afterwards (`tap.quantize`) subtracts it.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TypeAlias

import torch
from torch import Tensor, nn

from tap.stats.batches import Batches
from tap.stats.calls import Call, columns
from tap.stats.layers import Layers
from tap.stats.observe import observed
from tap.stats.passes import Pass
from tap.stats.rounded import RoundedInputs
from tap.stats.sites import Site
from tap.stats.unchanged import lent

InputMeans: TypeAlias = Mapping[tuple[int, int], Tensor]
"""m [groups, in * pos] by unit and bits of the input, 16 for the input as it is."""


def normalized(model: nn.Module, layers: Layers, data: Batches) -> frozenset[int]:
    """Units whose output is what a batch norm reads, seen on one sample."""
    unit_of = {site.name: unit for unit, sites in enumerate(layers.sites) for site in sites}
    outputs: dict[int, tuple[weakref.ref[Tensor], int]] = {}
    found: set[int] = set()

    def on_call(site: Site, row: int, x: Tensor, z: Tensor) -> None:
        outputs[id(z)] = (weakref.ref(z), unit_of[site.name])

    def reading(_: nn.Module, args: tuple[Tensor, ...]) -> None:
        output, unit = outputs.get(id(args[0]), (None, -1)) if args else (None, -1)
        if output is not None and output() is args[0]:
            found.add(unit)

    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    handles = [norm.register_forward_pre_hook(reading) for norm in norms]
    try:
        sites = [site for sites in layers.sites for site in sites]
        with lent(model), observed(sites, on_call), torch.no_grad():
            for batch in data.limit(1) if norms else ():
                data.run(model, batch)
    finally:
        for handle in handles:
            handle.remove()
    return frozenset(found)


def input_means(
    model: nn.Module, layers: Layers, data: Batches, units: Collection[int], inputs: RoundedInputs
) -> InputMeans:
    """m of some units over all samples, in every width of the inputs."""
    means = _InputMeans(units, inputs)
    run = Pass(
        model, layers, forward=[means], backward=[], gradients=False, logits=False, loss=None,
        end_batch=lambda _: None,
    )  # fmt: skip
    run.run(data, lambda _: None)
    return means.result()


def mean_errors(dw: Tensor, mean: Tensor) -> Tensor:
    """The mean of each channel [F, rows] from dw [F, rows, in, pos] and m."""
    by_group = dw.reshape(len(dw), len(mean), dw.shape[1] // len(mean), -1)
    return torch.einsum("fgrc,gc->fgr", by_group, mean).flatten(1)


def subtract(error: Tensor, shift: Tensor, groups: int) -> None:
    """Take a number for each channel [F, rows] from errors [items, A, F, B]."""
    by_group = shift.view(len(shift), groups, -1, 1).transpose(0, 1)
    error.view(*error.shape[:3], by_group.shape[2], -1).sub_(by_group)


class _InputMeans:
    """m of some units, from the inputs of a forward pass."""

    def __init__(self, units: Collection[int], inputs: RoundedInputs) -> None:
        self._units, self._inputs = units, inputs
        self._sums: dict[tuple[int, int], tuple[Tensor, int]] = {}

    def forward(self, call: Call) -> None:
        """Take in one call."""
        if call.unit not in self._units:
            return
        rows = call.z.numel() // call.rows
        for width in self._inputs.widths:
            rounded = self._inputs.of(call, width) or call
            x = rounded.x.float().mean(0, keepdim=True) if call.is_conv else rounded.x
            mean = columns(replace(call, x=x, samples=1)).mean((0, 3)).double()
            total, count = self._sums.get((call.unit, width), (torch.zeros_like(mean), 0))
            self._sums[call.unit, width] = total + rows * mean, count + rows

    def result(self) -> InputMeans:
        """m by unit and width."""
        return {key: (total / count).float() for key, (total, count) in self._sums.items()}
