"""Gradients that need no data: SynFlow on a copy with absolute weights, and EMQ's virtual gradient."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tap.stats.batches import Batch, Batches, unwrap
from tap.stats.layers import weights_of
from tap.stats.loss import not_differentiable
from tap.stats.observe import plain_torch
from tap.stats.unchanged import lent
from tap.stats.units import Unit

_DOUBLE = 50_000_000
"""Parameters up to which the copy is float64; products of many absolute weights overflow float32 early."""


Keep = Callable[[int, Tensor], None]
"""Takes the index of a unit and its gradient, float32 in the stored weight's shape."""


def synflow(model: nn.Module, units: Sequence[Unit], batches: Batches, keep: Keep) -> None:
    """dR/dW of each unit, R the summed outputs for an input of ones, with every parameter and buffer replaced
    by its magnitude and batch norms taken out (Tanaka et al., NeurIPS 2020). Done on a copy of the model.
    """
    inner = unwrap(model)
    size = sum(parameter.numel() for parameter in inner.parameters())
    with torch.no_grad():
        twin = copy.deepcopy(inner).eval().to(torch.float64 if size <= _DOUBLE else torch.float32)
        for tensor in (*twin.parameters(), *twin.buffers()):
            tensor.abs_()
    for module in list(twin.modules()):
        if isinstance(module, nn.modules.batchnorm._NormBase):
            module.__dict__["forward"] = _same
    _gradient_of_sum(twin, units, batches, keep)


def virtual_gradient(model: nn.Module, units: Sequence[Unit], batches: Batches, keep: Keep) -> None:
    """d sum(logits) / dW of each unit for an input of ones, on the model as it is (EMQ, ICCV 2023)."""
    _gradient_of_sum(model, units, batches, keep)


def _gradient_of_sum(model: nn.Module, units: Sequence[Unit], batches: Batches, keep: Keep) -> None:
    """Gradients of the summed logits of one sample of ones, each given away as soon as it is complete."""
    batch = ones_like(next(iter(batches)).part(0, 1))
    with lent(model), plain_torch(), torch.enable_grad(), ExitStack() as stack:
        left: dict[int, Tensor] = {}
        for index, weight in enumerate(weights_of(model, units)):
            weight.requires_grad_(True)
            left[index] = weight
            hook: Any = weight.register_post_accumulate_grad_hook
            stack.callback(hook(partial(_take, left, index, keep)).remove)
        total = batches.run(model, batch).double().sum()
        if not total.requires_grad:
            raise not_differentiable()
        total.backward()  # type: ignore[no-untyped-call]
        for index, unreached in left.items():
            keep(index, torch.zeros_like(unreached, dtype=torch.float32))


def _take(left: dict[int, Tensor], index: int, keep: Keep, weight: Tensor) -> None:
    """Hand over the gradient of a weight and forget it."""
    assert weight.grad is not None
    keep(index, weight.grad.float())
    weight.grad = None
    del left[index]


def ones_like(batch: Batch) -> Batch:
    """The batch with every floating-point input replaced by ones."""

    def one(value: Any) -> Any:
        return torch.ones_like(value) if isinstance(value, Tensor) and value.is_floating_point() else value

    kwargs = {name: one(value) for name, value in batch.kwargs.items()}
    return Batch(batch.index, batch.size, tuple(map(one, batch.args)), kwargs)


def _same(x: Tensor) -> Tensor:
    return x
