"""Moments of inputs and outputs, and the similarity of outputs: what one forward pass shows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tap.stats.calls import Call
from tap.stats.units import Unit

_ROWS = 64
"""Rows of the similarity matrix of one batch at most: samples, or positions where samples are few."""


class Moments:
    """Count, mean, sum of squared deviations and largest magnitude of each row, merged batch by batch.

    Sums within a batch are float32 along positions and float64 beyond; batches are merged as in Chan, Golub
    and LeVeque (1979).
    """

    def __init__(self, size: int, device: torch.device) -> None:
        self.count, self.mean, self.deviations, self.largest = (
            torch.zeros(size, dtype=torch.float64, device=device) for _ in range(4)
        )

    def add(self, values: Tensor, axis: int, first: int = 0) -> None:
        """Take in values whose `axis` holds the rows from `first` on."""
        values = values.float()
        size = values.shape[axis]
        if axis == values.ndim - 1:
            flat, along = values.reshape(-1, size), 0
        else:
            flat, along = values.flatten(axis + 1), axis + 1
        total, squares = flat.sum(along).double(), squares_along(flat, along)
        largest = torch.maximum(-flat.amin(along), flat.amax(along)).double()
        if along:
            total, squares, largest = total.sum(0), squares.sum(0), largest.amax(0)
        n = torch.full_like(total, values.numel() // size)
        mean = total / n
        deviations = (squares - n * mean.square()).clamp_(min=0)
        self._merge(slice(first, first + size), n, mean, deviations, largest)

    def add_rows(self, values: Tensor, rows: Tensor) -> None:
        """Take in values [items, k], each item of the given row."""
        found, place, items = torch.unique(rows, return_inverse=True, return_counts=True)
        values = values.double()
        n = items.double() * values.shape[1]
        mean = torch.zeros_like(n).index_add_(0, place, values.sum(1)) / n
        spread = (values - mean[place, None]).square().sum(1)
        deviations = torch.zeros_like(n).index_add_(0, place, spread)
        largest = torch.zeros_like(n).scatter_reduce_(0, place, values.abs().amax(1), "amax")
        self._merge(found, n, mean, deviations, largest)

    def _merge(
        self, at: slice | Tensor, n: Tensor, mean: Tensor, deviations: Tensor, largest: Tensor
    ) -> None:
        before = self.count[at]
        total = before + n
        shift = mean - self.mean[at]
        self.mean[at] += shift * (n / total)
        self.deviations[at] += deviations + shift.square() * (before * n / total)
        self.largest[at] = torch.maximum(self.largest[at], largest)
        self.count[at] = total

    @property
    def variance(self) -> Tensor:
        """Population variance of each row; 0 where a row has no values."""
        return self.deviations / self.count.clamp(min=1)

    @property
    def total_std(self) -> Tensor:
        """Population standard deviation of all values together."""
        weight = self.count / self.count.sum().clamp(min=1)
        middle = (weight * self.mean).sum()
        return (weight * (self.variance + (self.mean - middle).square())).sum().sqrt()


def squares_along(values: Tensor, axis: int) -> Tensor:
    """Sums of squares along an axis, float64: by a norm, which is fast along the last axis alone."""
    if axis == values.ndim - 1:
        norms: Tensor = torch.linalg.vector_norm(values, dim=axis)
        return norms.double().square()
    return values.square().sum(axis).double()


class InputMoments:
    """x_mean, x_var, x_absmax, x_sq along the input channels of one group, act_mean and act_absmax.

    Embeddings are products with one-hot inputs: mean and mean square 1 / rows, largest magnitude 1.
    """

    def __init__(self, units: Sequence[Unit], devices: Sequence[torch.device]) -> None:
        self._units = units
        self._moments = [
            Moments(unit.inp * unit.groups, device) for unit, device in zip(units, devices, strict=True)
        ]

    def forward(self, call: Call) -> None:
        """Take in the input of one call."""
        if call.site.kind != "embedding":
            self._moments[call.unit].add(call.x, 1 if call.is_conv else call.x.ndim - 1)

    def result(self, unit: int) -> dict[str, Tensor]:
        """x_mean, x_var, x_absmax, x_sq of one unit, [in]: averaged over groups, the maximum for absmax."""
        record, moments = self._units[unit], self._moments[unit]
        if not bool(moments.count.any()):
            part = torch.full_like(moments.mean, 1.0 / record.out)
            return {"x_mean": part, "x_var": part - part**2, "x_absmax": torch.ones_like(part), "x_sq": part}
        shape = (record.groups, record.inp)
        square = (moments.variance + moments.mean.square()).view(shape).mean(0)
        mean = moments.mean.view(shape).mean(0)
        largest = moments.largest.view(shape).amax(0)
        return {"x_mean": mean, "x_var": square - mean**2, "x_absmax": largest, "x_sq": square}


class OutputMoments:
    """z_mean and z_var along the output channels, and z_std of all channels together."""

    def __init__(self, units: Sequence[Unit], devices: Sequence[torch.device]) -> None:
        self._moments = [Moments(unit.out, device) for unit, device in zip(units, devices, strict=True)]

    def forward(self, call: Call) -> None:
        """Take in the output of one call; an embedding's rows are those that the ids name."""
        moments = self._moments[call.unit]
        if call.site.kind == "embedding":
            ids = call.x.reshape(-1)
            moments.add_rows(call.z.reshape(len(ids), -1), ids)
        else:
            moments.add(call.z, call.axis, call.row)

    def result(self, unit: int) -> dict[str, Tensor]:
        """z_mean, z_var [out] and z_std (one number) of one unit; rows never used are zero."""
        moments = self._moments[unit]
        return {"z_mean": moments.mean, "z_var": moments.variance, "z_std": moments.total_std}


class Similarity:
    """cka_sum: for each unit the sum over the others of the linear CKA of their outputs (OMPQ, eq. 3).

    K = X X^T of the centred outputs X [n, features]; CKA = <K_i, K_j> / (|K_i| |K_j|). The products are
    added over batches. Where a batch has fewer than four samples, positions stand for samples.
    """

    def __init__(self, units: int) -> None:
        self._products = torch.zeros(units, units, dtype=torch.float64)
        self._batch: dict[int, Tensor] = {}

    def forward(self, call: Call) -> None:
        """Keep the similarity matrix of one call's output, at most 64 x 64, until the batch ends."""
        rows = call.z.float()
        if call.samples >= 4:
            rows = rows.reshape(call.samples, -1)
        else:
            rows = rows.movedim(call.axis, -1).flatten(0, -2)
        if len(rows) > _ROWS:
            rows = rows[torch.arange(_ROWS, device=rows.device) * len(rows) // _ROWS]
        kernel = (rows @ rows.t()).double().cpu()
        kernel = kernel - kernel.mean(0) - kernel.mean(1, keepdim=True) + kernel.mean()
        if call.unit in self._batch and self._batch[call.unit].shape == kernel.shape:
            kernel = kernel + self._batch[call.unit]
        self._batch[call.unit] = kernel

    def end_batch(self) -> None:
        """Add the products of all pairs whose matrices have one size."""
        sizes = {len(kernel) for kernel in self._batch.values()}
        for size in sizes:
            some = [unit for unit, kernel in self._batch.items() if len(kernel) == size]
            flat = torch.stack([self._batch[unit].flatten() for unit in some])
            flat = flat / flat.norm(dim=1, keepdim=True).clamp(min=1e-300)
            at = torch.tensor(some)
            self._products[at[:, None], at] += flat @ flat.t()
        self._batch.clear()

    def result(self) -> Tensor:
        """cka_sum [L]; an output that is the same for all samples has similarity 0."""
        size = self._products.diagonal()
        scale = (size[:, None] * size).sqrt()
        similarity = torch.where(scale > 0, self._products / scale.clamp(min=1e-300), 0.0)
        return similarity.sum(1) - similarity.diagonal()
