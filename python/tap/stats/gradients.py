"""Gradients of the weights, sample by sample, from inputs and output gradients: no backward pass per sample.

For sample n and output position p, g_n = sum_p gz_n[:, p] x_n[:, p]^T. The mean over n is one product. For
E[g^2] there are three ways, chosen by the cheapest:
1. One position: E[g^2] = gz^2 x^2 (Goodfellow, arXiv:1510.01799).
2. Few positions: (sum_p a_p b_p)^2 = sum_{p,q} a_p a_q b_p b_q, one product over pairs of positions.
3. Many positions: g_n is formed for some samples at a time, squared and added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tap.stats.calls import Call, columns, output_rows, padded
from tap.stats.units import Unit

_PAIRED = 4
"""Positions up to which products over pairs are cheaper than forming each sample's gradient."""
_LIMIT = 1 << 22
"""Elements of per-sample gradients held at once (16 MB); patches may have twice as many."""
_CACHED = 1 << 16
"""Elements of a sample's gradient that are formed at once, so that they do not leave the cache."""


class Gradients:
    """Sums over samples of g and (when asked) of g^2, float32 [out, in, pos] for each unit."""

    def __init__(self, units: Sequence[Unit], devices: Sequence[torch.device], *, squares: bool) -> None:
        def zeros() -> list[Tensor]:
            return [
                torch.zeros(unit.out, unit.inp, unit.pos, device=device)
                for unit, device in zip(units, devices, strict=True)
            ]

        self.total = zeros()
        self.squares = zeros() if squares else None

    def calls(self, calls: Sequence[Call]) -> None:
        """Take in all calls of one unit in one batch."""
        unit = calls[0].unit
        total = self.total[unit]
        square = None if self.squares is None else self.squares[unit]
        if all(call.site.kind != "embedding" for call in calls):
            for row in sorted({call.row for call in calls}):
                same = [call for call in calls if call.row == row]
                part = slice(row, row + same[0].rows)
                self._products(same, total[part], None if square is None else square[part])
        elif len(calls) == 1:
            _embedding(calls[0], total, square)
        else:
            _formed(calls, total, square)

    def _products(self, calls: list[Call], total: Tensor, square: Tensor | None) -> None:
        """Calls that use the same rows of the weight: their positions stand side by side."""
        groups = calls[0].groups
        shape = (groups, total.shape[0] // groups, total.shape[1] * total.shape[2])
        total, square = total.view(shape), None if square is None else square.view(shape)
        for start, stop in _samples(calls, shape):
            parts = [_cut(call, start, stop) for call in calls]
            a = torch.cat([output_rows(call, call.gz) for call in parts if call.gz is not None], dim=3)
            b = torch.cat([columns(call) for call in parts], dim=3)
            _add(a, b, total, square)


def _add(a: Tensor, b: Tensor, total: Tensor, square: Tensor | None) -> None:
    """Add sums of g and g^2 from output gradients a [G, O, n, P] and columns b [G, K, n, P]."""
    groups, rows, _, positions = a.shape
    flat_a, flat_b = a.reshape(groups, rows, -1), b.reshape(groups, b.shape[1], -1)
    total.baddbmm_(flat_a, flat_b.transpose(1, 2))
    if square is None:
        return
    if positions > _PAIRED and groups == 1:
        _add_formed(a[0].transpose(0, 1), b[0].permute(1, 2, 0), square[0])
        return
    if positions > _PAIRED:
        step = max(1, _LIMIT // square.numel())
        for start in range(0, a.shape[2], step):
            part = slice(start, start + step)
            each = a[:, :, part].permute(2, 0, 1, 3) @ b[:, :, part].permute(2, 0, 3, 1)
            square += each.square_().sum(0)
        return
    for shift in range(positions):
        keep = positions - shift
        pairs_a = (a[..., :keep] * a[..., shift:]).reshape(groups, rows, -1)
        pairs_b = (b[..., :keep] * b[..., shift:]).reshape(groups, b.shape[1], -1)
        square.baddbmm_(pairs_a, pairs_b.transpose(1, 2), alpha=1.0 if shift == 0 else 2.0)


def _add_formed(a: Tensor, b: Tensor, square: Tensor) -> None:
    """Add the squares of a [n, O, P] times b [n, P, K], for some rows at a time that stay in the cache."""
    rows, columns = square.shape
    step = max(1, min(rows, _CACHED // columns))
    product = torch.empty(step, columns, device=square.device)
    for start in range(0, rows, step):
        part = square[start : start + step]
        each = product[: len(part)]
        for left, right in zip(a[:, start : start + step], b, strict=True):
            torch.mm(left, right, out=each)
            part.addcmul_(each, each)


def _embedding(call: Call, total: Tensor, square: Tensor | None) -> None:
    """The rows that each sample's ids name."""
    assert call.gz is not None
    gradients = call.gz.float().reshape(call.samples, -1, call.gz.shape[-1])
    for ids, gradient in zip(call.x.reshape(call.samples, -1), gradients, strict=True):
        found, place = torch.unique(ids, return_inverse=True)
        rows = gradient.new_zeros(len(found), gradient.shape[1]).index_add_(0, place, gradient)
        total[found, :, 0] += rows
        if square is not None:
            square[found, :, 0] += rows.square_()


def _formed(calls: Sequence[Call], total: Tensor, square: Tensor | None) -> None:
    """Calls of different kinds (an embedding tied to the output layer): each sample's gradient is formed."""
    for sample in range(calls[0].samples):
        gradient = torch.zeros_like(total)
        for call in calls:
            one = _cut(call, sample, sample + 1)
            if call.site.kind == "embedding":
                _embedding(one, gradient, None)
            else:
                rows = gradient[call.row : call.row + call.rows]
                assert one.gz is not None
                rows += (output_rows(one, one.gz)[:, :, 0] @ columns(one)[:, :, 0].transpose(1, 2)).view_as(
                    rows
                )
        total += gradient
        if square is not None:
            square += gradient.square_()


def input_gradient(call: Call) -> Tensor:
    """The part of the input's gradient, float32, that flows through this call."""
    assert call.gz is not None
    weight = call.site.weight.detach().float()
    if call.is_conv:
        module: Any = call.site.module
        leaf = call.x.detach().float().requires_grad_(True)
        apply: Any = (functional.conv1d, functional.conv2d, functional.conv3d)[leaf.ndim - 3]
        with torch.enable_grad():
            x, padding = padded(module, leaf)
            z = apply(x, weight, None, module.stride, padding, module.dilation, module.groups)
        return torch.autograd.grad(z, leaf, call.gz.float())[0]
    rows = weight.t() if call.site.transposed else weight.reshape(-1, weight.shape[-1])
    return call.gz.float() @ rows[call.row : call.row + call.rows]


def _samples(calls: list[Call], shape: tuple[int, int, int]) -> list[tuple[int, int]]:
    """Ranges of samples whose patches fit the limit together."""
    n = calls[0].samples
    positions = sum(call.z.numel() // max(1, call.z.shape[call.axis]) for call in calls) / n
    step = max(1, int(2 * _LIMIT / max(1.0, shape[0] * shape[2] * positions)))
    return [(start, min(start + step, n)) for start in range(0, n, step)]


def _cut(call: Call, start: int, stop: int) -> Call:
    """Some of the samples of a call."""
    if start == 0 and stop >= call.samples:
        return call

    def part(values: Tensor | None) -> Tensor | None:
        if values is None:
            return None
        items = len(values) // call.samples
        return values[start * items : stop * items]

    x, z = part(call.x), part(call.z)
    assert x is not None
    assert z is not None
    return Call(
        call.unit, call.site, call.row, stop - start, x, z, call.version, part(call.gz), part(call.gy)
    )


class OutputGradients:
    """gz2 = E sum_p gz^2 and fisher_z = E (sum_p z gz)^2 / 2, for each output channel."""

    def __init__(self, units: Sequence[Unit], devices: Sequence[torch.device]) -> None:
        self._gz2, self._fisher = (
            [torch.zeros(u.out, dtype=torch.float64, device=d) for u, d in zip(units, devices, strict=True)]
            for _ in range(2)
        )

    def calls(self, calls: Sequence[Call]) -> None:
        """Take in all calls of one unit in one batch; calls are added before squaring."""
        unit = calls[0].unit
        along = torch.zeros(calls[0].samples, len(self._gz2[unit]), device=self._gz2[unit].device)
        for call in calls:
            assert call.gz is not None
            gz, z = call.gz.float(), call.output().float()
            if call.site.kind == "embedding":
                ids = call.x.reshape(call.samples, -1)
                self._gz2[unit].index_add_(0, ids.reshape(-1), gz.square().sum(-1).double().reshape(-1))
                along.scatter_add_(1, ids, (z * gz).sum(-1).reshape(call.samples, -1))
                continue
            rows = slice(call.row, call.row + call.rows)
            dims = [dim for dim in range(gz.ndim) if dim != call.axis]
            self._gz2[unit][rows] += torch.linalg.vector_norm(gz, dim=dims).double().square()
            products = z * gz
            summed = products.movedim(call.axis, 1).flatten(2).sum(2) if gz.ndim > 2 else products
            along[:, rows] += summed.view(call.samples, -1, call.rows).sum(1)
        self._fisher[unit] += along.double().square().sum(0) / 2

    def result(self, unit: int, samples: int) -> dict[str, Tensor]:
        """gz2 and fisher_z [out] of one unit: means over samples."""
        return {"gz2": self._gz2[unit] / samples, "fisher_z": self._fisher[unit] / samples}
