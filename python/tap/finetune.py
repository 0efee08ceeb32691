"""A short quantization-aware training: AdamW, cosine schedule, distillation from the full-precision model."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tap.errors import DataError
from tap.stats.batches import Batches
from tap.truth.losses import class_axis, divergence, over_positions
from tap.truth.progress import tracked


def finetune(
    model: nn.Module,
    teacher: nn.Module,
    data: Any,
    *,
    epochs: int = 1,
    lr: float = 1e-4,
    weight_decay: float = 0.0,
    hard: float = 0.0,
    seed: int = 0,
    progress: bool = True,
) -> list[float]:
    """Train a model from `tap.quantize` in place; returns the mean loss of each epoch.

    The loss is KL to the outputs of `teacher`, the full-precision model, plus `hard` times the cross-entropy
    where `data` has labels. Steps follow AdamW with a learning rate that falls from `lr` to 0 along a cosine.
    Batch norms keep their statistics. `teacher` is not changed; modes are restored in any case.

    Raises:
        DataError: `hard` without labels, or a loss that is not finite.

    >>> from tap.quantize import quantize
    >>> _ = torch.manual_seed(0)
    >>> net, x = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)), torch.randn(64, 8)
    >>> losses = finetune(quantize(net, "int2"), net, x, epochs=8, lr=0.01, progress=False)
    >>> losses[-1] < losses[0]
    True
    """
    batches = Batches(data)
    if hard and any(batches.targets(batch, model) is None for batch in batches):
        raise DataError("a hard loss needs labels", hint="pass (inputs, targets), or hard=0")
    parameters = [parameter for parameter in model.parameters() if parameter.is_floating_point()]
    needed = [parameter.requires_grad for parameter in parameters]
    modes = [(module, module.training) for part in (model, teacher) for module in part.modules()]
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)
    steps = epochs * len(batches)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / max(1, steps)))
    )
    rng, order = torch.Generator().manual_seed(seed), list(batches)
    losses: list[float] = []
    try:
        model.eval()
        teacher.eval()
        for parameter in parameters:
            parameter.requires_grad_(True)
        for epoch in range(epochs):
            total = 0.0
            places = torch.randperm(len(order), generator=rng).tolist()
            for place in tracked(places, len(places), f"epoch {epoch + 1} of {epochs}", progress):
                with torch.no_grad():
                    goal = batches.run(teacher, order[place])
                loss = _loss(batches, model, order[place], goal, hard)
                if not bool(torch.isfinite(loss)):
                    raise DataError("the loss is not finite", hint="lower the learning rate")
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                total += float(loss.detach()) * order[place].size
            losses.append(total / batches.n_samples)
    finally:
        for parameter, before in zip(parameters, needed, strict=True):
            parameter.requires_grad_(before)
            parameter.grad = None
        for module, training in modes:
            module.training = training
    return losses


def _loss(batches: Batches, model: nn.Module, batch: Any, goal: Tensor, hard: float) -> Tensor:
    """Distillation, and the cross-entropy where it is wanted."""
    logits = batches.run(model, batch)
    axis = class_axis(logits)
    loss = over_positions(divergence(goal, logits, axis), None).mean()
    targets = batches.targets(batch, model) if hard else None
    if targets is None:
        return loss
    return loss + hard * functional.cross_entropy(logits.float().movedim(axis, 1), targets)
