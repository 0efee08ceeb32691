"""The loss of every sample of a quantized network, against the full-precision one or the targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from tap.errors import DataError, ModelError
from tap.stats.batches import IGNORED, Batch, Batches

Loss = str | Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""`kl`, `cross-entropy`, or a function of (logits, full-precision logits, targets) to a loss a sample [B]."""

_KEPT = 4 << 30
"""Bytes of full-precision logits that are kept; beyond, they are computed again for each comparison."""

_FEW = 4096
"""Up to so many classes KL is computed in float64: that of 8 bits is below the rounding of float32."""


@dataclass(frozen=True)
class Losses:
    """Loss and correctness of each of N samples; `correct` is NaN where there are no targets."""

    loss: NDArray[np.float64]
    correct: NDArray[np.float64]


class Judge:
    """Compares a model with its own full-precision outputs over fixed batches.

    >>> net = nn.Linear(4, 3).eval()
    >>> judge = Judge(net, Batches(torch.ones(2, 4)))
    >>> judge.judge(0, judge.run(0)).loss.tolist()
    [0.0, 0.0]
    """

    def __init__(self, model: nn.Module, batches: Batches, loss: Loss = "kl", *, kept: int = _KEPT) -> None:
        """Run the model once as it is; it must be in evaluation mode. At most `kept` bytes of logits stay."""
        if isinstance(loss, str) and loss not in ("kl", "cross-entropy"):
            raise DataError(f"unknown loss '{loss}'", hint="'kl', 'cross-entropy' or a function")
        self.model, self.batches, self.loss = model, list(batches), loss
        self._source = batches
        self.offsets = np.cumsum([0, *(batch.size for batch in self.batches)])
        self._kept: list[Tensor | None] = []
        room = kept
        for index in range(len(self.batches)):
            logits = self.run(index)
            self._check(index, logits)
            room -= logits.numel() * logits.element_size()
            self._kept.append(logits if room > 0 else None)

    @property
    def n_samples(self) -> int:
        """Samples over all batches."""
        return int(self.offsets[-1])

    def run(self, index: int) -> Tensor:
        """Logits of the model as it now stands on one batch."""
        with torch.no_grad():
            return self._source.run(self.model, self.batches[index])

    def reference(self, index: int) -> Tensor | None:
        """Full-precision logits of a batch, None when they were too many to keep."""
        return self._kept[index]

    def compare(self, index: int, model: nn.Module) -> Losses:
        """Loss of each sample of a batch for another model in evaluation mode."""
        with torch.no_grad():
            logits = self._source.run(model, self.batches[index])
        kept = self._kept[index]
        return self.judge(index, logits, self.run(index) if kept is None else kept)

    def judge(self, index: int, logits: Tensor, reference: Tensor | None = None) -> Losses:
        """Loss of each sample of a batch; `reference` is needed where none is kept."""
        batch = self.batches[index]
        reference = self._kept[index] if reference is None else reference
        if reference is None:
            raise ModelError("the full-precision logits of this batch are not at hand")
        targets = self._source.targets(batch, self.model)
        with torch.no_grad():
            losses = self._losses(batch, logits, reference, targets)
            correct = share_right(logits, targets)
        if losses.shape != (batch.size,):
            raise ModelError(
                f"the loss gave shape {tuple(losses.shape)} for {batch.size} samples",
                hint="return one number a sample",
            )
        return Losses(losses.double().cpu().numpy(), correct.double().cpu().numpy())

    def _losses(self, batch: Batch, logits: Tensor, reference: Tensor, targets: Tensor | None) -> Tensor:
        if callable(self.loss):
            return self.loss(logits, reference, targets)
        axis = class_axis(logits)
        if self.loss == "kl":
            return over_positions(divergence(reference, logits, axis), _mask(batch, logits))
        if targets is None:
            raise DataError("cross-entropy needs targets", hint="pass (inputs, targets), or use loss='kl'")
        flat = functional.cross_entropy(
            logits.float().movedim(axis, 1), targets, reduction="none", ignore_index=IGNORED
        )
        return over_positions(flat, (targets != IGNORED) if flat.ndim > 1 else None)

    def _check(self, index: int, logits: Tensor) -> None:
        if logits.ndim < 2 or logits.shape[0] != self.batches[index].size:
            raise ModelError(
                f"the model gave an output of shape {tuple(logits.shape)} for "
                f"{self.batches[index].size} samples",
                hint="wrap the model in a module that returns [samples, ..., classes]",
            )
        if not bool(torch.isfinite(logits).all()):
            raise DataError(f"the model's output on batch {index} is not finite", hint="check the weights")
        if self.loss == "kl" and logits.shape[class_axis(logits)] == 1:
            raise ModelError("KL needs at least two classes", hint="pass a loss function for regression")


def class_axis(logits: Tensor) -> int:
    """The axis of the classes: the last, or the second of image-shaped outputs."""
    return 1 if logits.ndim >= 4 else logits.ndim - 1


def divergence(reference: Tensor, logits: Tensor, axis: int = -1) -> Tensor:
    """KL(softmax(reference) || softmax(logits)) along `axis`.

    >>> divergence(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 0.0]])).item()
    0.0
    """
    kind = torch.float64 if logits.shape[axis] <= _FEW else torch.float32
    p = functional.log_softmax(reference.to(kind), axis)
    q = functional.log_softmax(logits.to(kind), axis)
    return (p.exp() * (p - q)).sum(axis).clamp_(min=0)


def over_positions(losses: Tensor, mask: Tensor | None) -> Tensor:
    """Losses [B, ...] averaged over all axes but the first, where the mask is true."""
    if losses.ndim == 1:
        return losses
    flat = losses.flatten(1)
    if mask is None:
        return flat.mean(1)
    weights = mask.flatten(1).to(flat.dtype)
    return (flat * weights).sum(1) / weights.sum(1).clamp_(min=1)


def _mask(batch: Batch, logits: Tensor) -> Tensor | None:
    """The attention mask of a batch of token sequences, if it has one."""
    mask = batch.kwargs.get("attention_mask")
    fits = isinstance(mask, Tensor) and mask.shape == logits.shape[:2] and logits.ndim == 3
    return mask.to(logits.device).bool() if fits and isinstance(mask, Tensor) else None


def right_of(model: nn.Module, batches: Batches) -> Tensor:
    """Part of each sample's predictions that are right, [N], for the model as it stands."""
    with torch.inference_mode():
        parts = [share_right(batches.run(model, batch), batches.targets(batch, model)) for batch in batches]
    return torch.cat(parts)


def share_right(logits: Tensor, targets: Tensor | None) -> Tensor:
    """Part of each sample's predictions that are right; NaN without targets."""
    axis = class_axis(logits)
    classes = targets is not None and not targets.is_floating_point()
    if targets is None or not classes or targets.shape != logits.select(axis, 0).shape:
        return torch.full((logits.shape[0],), torch.nan)
    right = (logits.argmax(axis) == targets).float()
    return over_positions(right, (targets != IGNORED) if right.ndim > 1 else None)
