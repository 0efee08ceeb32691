"""One forward and at most two backward passes over the data, feeding every statistic that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from tap.errors import TapError
from tap.stats.batches import Batch, Batches
from tap.stats.calls import Call
from tap.stats.layers import Layers
from tap.stats.loss import (
    Loss,
    check_finite,
    check_output,
    losses,
    not_differentiable,
    target_logits,
    targets_for,
)
from tap.stats.observe import observed
from tap.stats.sites import Site
from tap.stats.unchanged import lent


@runtime_checkable
class Forward(Protocol):
    """A statistic of inputs and outputs alone."""

    def forward(self, call: Call) -> None:
        """Take in one call while the model runs."""
        ...


@runtime_checkable
class Backward(Protocol):
    """A statistic of all calls of a unit, with gradients where there are any."""

    def calls(self, calls: Sequence[Call]) -> None:
        """Take in all calls of one unit in one batch."""
        ...


class Pass:
    """Runs the model and hands calls to the statistics; nothing outlives its batch.

    With `gradients`, calls reach the backward statistics while the backward pass moves down the network, and
    let go of their tensors at once; with `logits`, the gradients of the target's logit are taken first.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Layers,
        *,
        forward: Sequence[Forward],
        backward: Sequence[Backward],
        gradients: bool,
        logits: bool,
        loss: Loss | None,
        end_batch: Callable[[Tensor | None], None],
    ) -> None:
        self._model = model
        self._forward = forward
        self._backward = backward
        self._gradients = gradients
        self._logits = logits
        self._loss = loss
        self._end_batch = end_batch
        self._unit: dict[str, int] = {}
        self._axis: dict[str, int | None] = {}
        for unit, (sites, axes) in enumerate(zip(layers.sites, layers.axes, strict=True)):
            for site, axis in zip(sites, axes, strict=True):
                self._unit[site.name], self._axis[site.name] = unit, axis
        self._sites = [site for sites in layers.sites for site in sites]
        self._samples = 0
        self._stage = "forward"
        self._open: dict[int, list[Call]] = {}
        self._awaited: dict[int, int] = {}
        self._failure: BaseException | None = None

    def run(self, batches: Batches, advance: Callable[[int], None]) -> None:
        """All batches; `advance` is told the samples of each when it is done."""
        quiet = nullcontext() if self._gradients else torch.no_grad()
        with lent(self._model), quiet, observed(self._sites, self._on_call):
            for batch in batches:
                try:
                    self._run(batches, batch)
                finally:
                    self._open.clear()
                    self._awaited.clear()
                advance(batch.size)

    def _run(self, batches: Batches, batch: Batch) -> None:
        self._samples, self._stage = batch.size, "forward"
        logits = batches.run(self._model, batch)
        check_finite(logits, batch, "output")
        if not self._gradients:
            for calls in self._open.values():
                self._finish(calls)
            self._end_batch(None)
            return
        check_output(logits, batch)
        targets = targets_for(self._model, batches, batch, logits)
        values = losses(logits, targets, self._loss)
        check_finite(values, batch, "loss")
        chosen = target_logits(logits, targets) if self._logits else None
        if chosen is not None:
            self._stage = "logits"
            self._differentiate(chosen.sum(), keep=True)
        self._stage = "loss"
        self._awaited = {unit: len(calls) for unit, calls in self._open.items()}
        self._differentiate(values.sum(), keep=False)
        for unit in list(self._open):
            reached = [call for call in self._open.pop(unit) if call.gz is not None]
            if reached:
                self._finish(reached)
        self._end_batch(None if chosen is None else chosen.detach())

    def _differentiate(self, value: Tensor, *, keep: bool) -> None:
        """Run backward; an error inside a hook comes out as it was raised."""
        try:
            value.backward(retain_graph=keep)  # type: ignore[no-untyped-call]
        except (TapError, KeyboardInterrupt):
            raise
        except RuntimeError:
            if self._failure is not None:
                raise self._failure from None
            raise

    def _on_call(self, site: Site, row: int, x: Tensor, z: Tensor) -> Tensor | None:
        """A call during the forward pass: feed the forward statistics, and wait for its gradients."""
        if self._stage != "forward":
            return None
        if self._gradients and not torch.is_grad_enabled():
            raise not_differentiable()
        unit, axis = self._unit[site.name], self._axis[site.name] or 0
        root = None
        if self._gradients and not z.requires_grad:
            root = z = z.detach().requires_grad_(True)
        seen = z.detach().movedim(axis, 0)
        call = Call(unit, site, row, self._samples, x.detach().movedim(axis, 0), seen, z._version)
        with torch.no_grad():
            for statistic in self._forward:
                statistic.forward(call)
        if self._backward:
            self._open.setdefault(unit, []).append(call)
        if self._gradients:
            z.register_hook(self._gradient_hook(call, axis))  # type: ignore[no-untyped-call]
        return root

    def _gradient_hook(self, call: Call, axis: int) -> Callable[[Tensor], None]:
        """Takes the gradient in a call's output in both backward passes."""

        def hook(gradient: Tensor) -> None:
            gradient = gradient.detach().movedim(axis, 0)
            if self._stage == "logits":
                call.gy = gradient
                return
            call.gz = gradient
            self._awaited[call.unit] -= 1
            if self._awaited[call.unit] == 0 and call.unit in self._open:
                self._finish(self._open.pop(call.unit))

        return hook

    def _finish(self, calls: list[Call]) -> None:
        """Feed the backward statistics with all calls of a unit."""
        try:
            with torch.no_grad():
                for statistic in self._backward:
                    statistic.calls(calls)
        except BaseException as error:
            self._failure = error
            raise


def samples_apart(layers: Layers) -> bool:
    """Whether every site keeps samples on an axis of its own, so that one backward pass serves a batch."""
    return all(axis is not None for axes in layers.axes for axis in axes)


def plain_losses(model: nn.Module, batches: Batches, loss: Loss | None) -> Any:
    """Yield the summed loss of each batch with its graph, for passes that differentiate it themselves."""
    for batch in batches:
        logits = batches.run(model, batch)
        check_output(logits, batch)
        values = losses(logits, targets_for(model, batches, batch, logits), loss)
        check_finite(values, batch, "loss")
        yield values.sum(), batch
