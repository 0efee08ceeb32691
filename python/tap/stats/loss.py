"""The loss of each sample, the targets it is taken at, and the logit of the target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from tap.errors import DataError, ModelError
from tap.stats.batches import IGNORED, Batch, Batches

Loss = Literal["cross-entropy", "squared-error"] | Callable[[Tensor, Tensor], Tensor]
"""A name, or a function of (logits, targets) that returns the loss of each sample, [n]."""


def targets_for(model: nn.Module, batches: Batches, batch: Batch, logits: Tensor) -> Tensor:
    """The targets of a batch; where it has none, the model's own predictions."""
    given = batches.targets(batch, model)
    if given is not None:
        _check_targets(given, logits, batch)
        return given.to(logits.device)
    own = logits.detach().argmax(class_axis(logits, None))
    mask = batch.kwargs.get("attention_mask")
    if isinstance(mask, Tensor) and mask.shape == own.shape:
        own = own.masked_fill(mask.to(own.device) == 0, IGNORED)
    return own


def losses(logits: Tensor, targets: Tensor, loss: Loss | None = None) -> Tensor:
    """The loss of each sample, float32 [n]: the mean over its positions (tokens, pixels) that count.

    By default cross-entropy, and half the squared error (summed over outputs) for floating-point targets.

    >>> losses(torch.tensor([[2.0, 4.0]]), torch.tensor([[1.0, 2.0]]))
    tensor([2.5000])
    """
    if callable(loss):
        values = loss(logits, targets)
        if values.shape != logits.shape[:1]:
            raise DataError(
                f"the loss function returned shape {tuple(values.shape)}, not one loss for each sample",
                hint="do not reduce over the batch: return a tensor [n]",
            )
        return values.float()
    logits = logits.float()
    if loss == "squared-error" or (loss is None and targets.is_floating_point()):
        return (logits - targets.reshape(logits.shape).float()).square().flatten(1).sum(1) / 2
    axis = class_axis(logits, targets)
    each = functional.cross_entropy(logits.movedim(axis, 1), targets, ignore_index=IGNORED, reduction="none")
    return _mean_of_counted(each, targets)


def target_logits(logits: Tensor, targets: Tensor) -> Tensor:
    """The logit of the target, float32 [n]: its mean over positions; for regression the sum of outputs."""
    logits = logits.float()
    if targets.is_floating_point():
        return logits.flatten(1).sum(1)
    axis = class_axis(logits, targets)
    chosen = logits.gather(axis, targets.clamp(min=0).unsqueeze(axis)).squeeze(axis)
    return _mean_of_counted(chosen.masked_fill(targets == IGNORED, 0.0), targets)


def check_output(logits: Tensor, batch: Batch) -> None:
    """Raise when no gradient can flow from the output to the weights."""
    if not logits.is_floating_point() or not logits.requires_grad:
        raise not_differentiable()
    check_finite(logits, batch, "output")


def not_differentiable() -> ModelError:
    """The error for a model through which no gradient flows."""
    return ModelError(
        "the model's output is not differentiable in its weights",
        hint="return logits (not classes), and no torch.no_grad, inference_mode or detach in the forward",
    )


def check_finite(values: Tensor, batch: Batch, what: str) -> None:
    """Raise a `DataError` that names the batch when values are not finite."""
    if not bool(torch.isfinite(values.detach()).all()):
        raise DataError(
            f"the {what} of the model is not finite on batch {batch.index}",
            hint="check the weights and the scale of the inputs; half precision may overflow",
        )


def class_axis(logits: Tensor, targets: Tensor | None) -> int:
    """The axis of the classes: the last for vectors and tokens, 1 for images and where targets say so."""
    if targets is not None:
        last = logits.shape[:-1] == targets.shape
        second = logits.shape[:1] + logits.shape[2:] == targets.shape
        return 1 if second and not last else logits.ndim - 1
    return 1 if logits.ndim >= 4 else logits.ndim - 1


def _mean_of_counted(values: Tensor, targets: Tensor) -> Tensor:
    """The mean over the positions of each sample whose target is not ignored."""
    counted = (targets != IGNORED).flatten(1) if targets.ndim > 1 else (targets != IGNORED)[:, None]
    return values.reshape(counted.shape).sum(1) / counted.sum(1).clamp(min=1)


def _check_targets(targets: Tensor, logits: Tensor, batch: Batch) -> None:
    """Targets fit the logits: shape and range."""
    if targets.is_floating_point():
        fits = targets.numel() == logits.numel()
    else:
        fits = targets.shape in (logits.shape[:-1], logits.shape[:1] + logits.shape[2:])
        classes = logits.shape[class_axis(logits, targets)] if fits else 0
        counted = targets[targets != IGNORED]
        if fits and counted.numel() and not 0 <= int(counted.min()) <= int(counted.max()) < classes:
            raise DataError(
                f"batch {batch.index} has targets from {int(counted.min())} to {int(counted.max())} "
                f"where the model has {classes} classes",
                hint="the labels belong to another model or data set",
            )
    if not fits:
        raise DataError(
            f"batch {batch.index} has targets of shape {tuple(targets.shape)} for logits of shape "
            f"{tuple(logits.shape)}",
            hint="give class indices, one for each sample (or token), or values of the logits' shape",
        )
