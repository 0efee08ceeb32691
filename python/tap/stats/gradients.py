"""Gradients of the weights, sample by sample, from inputs and output gradients: no backward pass per sample.

For sample n and output position p, g_n = sum_p gz_n[:, p] x_n[:, p]^T. The sum over n is one product. For
the sum of g_n^2 there are three ways, chosen by the cheapest:
1. One position: gz^2 x^2 (Goodfellow, arXiv:1510.01799).
2. Few positions: (sum_p a_p b_p)^2 = sum_{p,q} a_p a_q b_p b_q, one product over pairs of positions.
3. Many positions: g_n is formed, a tile at a time that stays in registers (on a CPU, in the core) or some
   rows that stay in the cache, and added with its square.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional, grad

from tap import _core
from tap.stats.calls import Call, columns, cut, output_rows, padded
from tap.stats.moments import squares_along
from tap.stats.units import Unit

_PAIRED = 4
"""Positions up to which products over pairs are cheaper than forming each sample's gradient."""
_TILED = 32
"""Positions up to which tiles in registers pay on a CPU: with more, adding up is little beside products."""
_PATCHES = 1 << 20
"""Elements of the patches of some samples (4 MB): they are read once for each block of rows."""
_CACHED = 1 << 17
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
                if square is None:
                    for call in same:
                        _add_product(call, total[part])
                else:
                    _add_squares(same, total[part], square[part])
        elif len(calls) == 1:
            _embedding(calls[0], total, square)
        else:
            _formed(calls, total, square)


def _add_product(call: Call, total: Tensor) -> None:
    """Add the sum of g over the samples of one call to `total` [rows, in, pos]."""
    assert call.gz is not None
    x, gz = call.x.float(), call.gz.float()
    if not call.is_conv:
        total[:, :, 0].addmm_(gz.reshape(-1, gz.shape[-1]).t(), x.reshape(-1, x.shape[-1]))
        return
    module: Any = call.site.module
    x, padding = padded(module, x)
    find: Any = (grad.conv1d_weight, grad.conv2d_weight, grad.conv3d_weight)[x.ndim - 3]
    found = find(x, module.weight.shape, gz, module.stride, padding, module.dilation, module.groups)
    total += found.view_as(total)


def _add_squares(calls: list[Call], total: Tensor, square: Tensor) -> None:
    """Add g and g^2 of calls that use the same rows of the weight: their positions stand side by side."""
    groups = calls[0].groups
    shape = (groups, total.shape[0] // groups, total.shape[1] * total.shape[2])
    total, square = total.view(shape), square.view(shape)
    for start, stop in _samples(calls, shape):
        parts = [cut(call, start, stop) for call in calls]
        a = _side_by_side([output_rows(call, call.gz) for call in parts if call.gz is not None])
        b = _side_by_side([columns(call) for call in parts])
        if a.shape[3] <= _PAIRED:
            _add_paired(a, b, total, square)
        elif groups == 1 and a.device.type == "cpu" and a.shape[3] <= _TILED:
            _add_tiled(a[:, 0], b[:, 0], total[0], square[0])
        elif groups == 1:
            _add_formed(a[:, 0], b[:, 0], total[0], square[0])
        else:
            _add_grouped(a, b, total, square)


def _side_by_side(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=3)


def _add_paired(a: Tensor, b: Tensor, total: Tensor, square: Tensor) -> None:
    """From output gradients a [n, G, O, P] and columns b [n, G, K, P], by products of pairs of positions."""
    a, b = a.permute(1, 2, 3, 0).contiguous(), b.permute(1, 2, 3, 0).contiguous()
    total.baddbmm_(a.flatten(2), b.flatten(2).transpose(1, 2))
    for shift in range(a.shape[2]):
        keep = a.shape[2] - shift
        pairs_a = (a[:, :, :keep] * a[:, :, shift:]).flatten(2)
        pairs_b = (b[:, :, :keep] * b[:, :, shift:]).flatten(2)
        square.baddbmm_(pairs_a, pairs_b.transpose(1, 2), alpha=1.0 if shift == 0 else 2.0)


def _add_tiled(a: Tensor, b: Tensor, total: Tensor, square: Tensor) -> None:
    """As `_add_formed`, in the core."""
    left, right = (one.transpose(1, 2).contiguous().numpy() for one in (a, b))
    _core.add_outer(left, right, total.numpy(), square.numpy(), torch.get_num_threads())


def _add_formed(a: Tensor, b: Tensor, total: Tensor, square: Tensor) -> None:
    """From a [n, O, P] and b [n, K, P], forming each sample's gradient for some rows at a time."""
    rows, width = square.shape
    step = max(1, min(rows, _CACHED // width))
    product = torch.empty(step, width, device=square.device)
    turned = b.transpose(1, 2)
    for start in range(0, rows, step):
        part, sums = square[start : start + step], total[start : start + step]
        each = product[: len(part)]
        for left, right in zip(a[:, start : start + step], turned, strict=True):
            torch.mm(left, right, out=each)
            part.addcmul_(each, each)
            sums.add_(each)


def _add_grouped(a: Tensor, b: Tensor, total: Tensor, square: Tensor) -> None:
    """From a [n, G, O, P] and b [n, G, K, P] of grouped convolutions, forming some samples' gradients."""
    step = max(1, 4 * _CACHED // square.numel())
    for start in range(0, len(a), step):
        each = a[start : start + step] @ b[start : start + step].transpose(2, 3)
        total += each.sum(0)
        square += each.square_().sum(0)


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
            one = cut(call, sample, sample + 1)
            if call.site.kind == "embedding":
                _embedding(one, gradient, None)
            else:
                _add_product(one, gradient[call.row : call.row + call.rows])
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
    step = max(1, int(_PATCHES / max(1.0, shape[0] * shape[2] * positions)))
    return [(start, min(start + step, n)) for start in range(0, n, step)]


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
            if call.is_conv:
                self._gz2[unit][rows] += squares_along(gz.flatten(2), 2).sum(0)
            else:
                self._gz2[unit][rows] += squares_along(gz.reshape(-1, call.rows), 0)
            products = z * gz
            summed = products.movedim(call.axis, 1).flatten(2).sum(2) if gz.ndim > 2 else products
            along[:, rows] += summed.view(call.samples, -1, call.rows).sum(1)
        self._fisher[unit] += along.double().square().sum(0) / 2

    def result(self, unit: int, samples: int) -> dict[str, Tensor]:
        """gz2 and fisher_z [out] of one unit: means over samples."""
        return {"gz2": self._gz2[unit] / samples, "fisher_z": self._fisher[unit] / samples}
