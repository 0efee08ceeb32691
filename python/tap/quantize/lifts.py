"""Lifts: corrections without training that a quantized network gets where they help on calibration data.

Batch-norm correction. Quantized weights shift and scale what each batch norm sees. On the same calibration
images let m, v be the mean and variance of a channel at its input in full precision and m', v' in the
quantized network with all earlier corrections in place. The stored statistics M, V become

    M + s (m' + r (M - m) - M),    V r^(2 s),    r^2 = v' / v,    0 <= s <= 1.

They are corrected, not replaced: a network in full precision keeps its statistics exactly, and with s = 1 a
channel that is only scaled and shifted is put right exactly. Which s is used, 0 included, is decided by the
KL divergence to the full-precision outputs on the calibration images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tap.stats.batches import Batches
from tap.truth.losses import Judge

STRENGTHS = (0.0, 1.0)
"""The values of s that are tried."""
_RATIO = 64.0
"""v' / v is kept between 1 / 64 and 64: beyond, the channel is dead in one of the two networks."""

Moments = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Correction:
    """New means and variances [channels] of each batch norm, the strength, and the KL before and after."""

    moments: tuple[Moments, ...]
    strength: float
    loss: float
    """Mean KL to full precision on the calibration data with the correction."""
    plain: float
    """The same without it."""


class BatchNorms:
    """The batch norms of a model, and their statistics in full precision on calibration data.

    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 3)).eval()
    >>> norms = BatchNorms(net, Batches(torch.randn(8, 3, 6, 6)))
    >>> norms.correction(net[1].weight.new_tensor(STRENGTHS).tolist()).strength
    0.0
    """

    def __init__(self, model: nn.Module, data: Batches) -> None:
        """Run the full-precision model once over the data; it must be in evaluation mode."""
        self.modules = [
            module
            for module in model.modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None
        ]
        self._judge = Judge(model, data)
        self._moments = [self._observe(index) for index in range(len(self._judge.batches))]
        self._stored = [_stored(module) for module in self.modules]

    def __len__(self) -> int:
        return len(self.modules)

    def correction(self, strengths: Sequence[float] = STRENGTHS) -> Correction:
        """The best correction of the model as it now stands, by KL on the calibration data."""
        plain = self.divergence()
        best = Correction(tuple(self._stored), 0.0, plain, plain)
        if not self.modules:
            return best
        full = self.full_correction()
        for strength in strengths:
            if strength == 0:
                continue
            moments = tuple(
                (m + strength * (new_m - m), v * (new_v / v) ** strength)
                for (m, v), (new_m, new_v) in zip(self._stored, full, strict=True)
            )
            with self.applied(moments):
                loss = self.divergence()
            if loss < best.loss:
                best = Correction(moments, strength, loss, plain)
        return best

    @contextmanager
    def applied(self, moments: Sequence[Moments]) -> Iterator[None]:
        """Put the statistics in, and the stored ones back in any case."""
        try:
            for module, (mean, var) in zip(self.modules, moments, strict=True):
                module._buffers["running_mean"], module._buffers["running_var"] = mean, var
            yield
        finally:
            for module, (mean, var) in zip(self.modules, self._stored, strict=True):
                module._buffers["running_mean"], module._buffers["running_var"] = mean, var

    def divergence(self) -> float:
        """Mean KL of the model as it stands to full precision."""
        total = sum(
            float(self._judge.judge(index, self._judge.run(index)).loss.sum())
            for index in range(len(self._judge.batches))
        )
        return total / self._judge.n_samples

    def _observe(self, index: int) -> list[Moments]:
        """Mean and variance at the input of each batch norm, over one batch."""
        seen: dict[int, Moments] = {}

        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            seen.setdefault(id(module), _moments(args[0]))

        handles = [module.register_forward_pre_hook(hook) for module in self.modules]
        try:
            self._judge.run(index)
        finally:
            for handle in handles:
                handle.remove()
        return [seen.get(id(module), _stored(module)) for module in self.modules]

    def full_correction(self) -> list[Moments]:
        """The fully corrected statistics: each batch norm is corrected before the next one is reached."""
        weights = [batch.size / self._judge.n_samples for batch in self._judge.batches]
        shifts = [torch.zeros_like(mean) for mean, _ in self._stored]
        ratios = [torch.zeros_like(var) for _, var in self._stored]
        places = {id(module): place for place, module in enumerate(self.modules)}
        for index, weight in enumerate(weights):
            done: set[int] = set()

            def hook(module: nn.Module, args: tuple[Tensor, ...], index: int = index, weight: float = weight,
                     done: set[int] = done) -> None:  # fmt: skip
                place = places[id(module)]
                if place in done:
                    return
                done.add(place)
                mean, var = _moments(args[0])
                before_mean, before_var = self._moments[index][place]
                ratio = ((var + 1e-12) / (before_var + 1e-12)).clamp_(1 / _RATIO, _RATIO)
                stored_mean, stored_var = self._stored[place]
                shift = mean + ratio.sqrt() * (stored_mean - before_mean) - stored_mean
                shifts[place] += weight * shift
                ratios[place] += weight * ratio
                module._buffers["running_mean"] = stored_mean + shift
                module._buffers["running_var"] = stored_var * ratio

            with self.applied(self._stored):
                handles = [module.register_forward_pre_hook(hook) for module in self.modules]
                try:
                    self._judge.run(index)
                finally:
                    for handle in handles:
                        handle.remove()
        return [
            (mean + shift, var * ratio)
            for (mean, var), shift, ratio in zip(self._stored, shifts, ratios, strict=True)
        ]


def _stored(module: nn.Module) -> Moments:
    """The running statistics of a batch norm."""
    return module._buffers["running_mean"], module._buffers["running_var"]  # type: ignore[return-value]


def _moments(x: Tensor) -> Moments:
    """Mean and variance of each channel (axis 1)."""
    flat = x.detach().float().transpose(0, 1).flatten(1)
    var, mean = torch.var_mean(flat, dim=1, correction=0)
    return mean, var
