"""Second derivatives of the loss by Hessian-vector products: trace, diagonal, largest eigenvalue, H g.

H is the Hessian of the mean loss in the weights of the units; blocks of single units are meant everywhere
but in H g, which is the product with the whole gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tap.stats.batches import Batches
from tap.stats.loss import Loss
from tap.stats.observe import plain_torch
from tap.stats.passes import plain_losses
from tap.stats.unchanged import lent

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Trace:
    """Hutchinson's estimate: for each unit the trace, its standard error and the diagonal."""

    trace: Tensor
    """[L], of the Hessian's blocks."""
    stderr: Tensor
    """[L], standard error over the probes."""
    diagonal: list[Tensor]
    """One tensor a unit, of the stored weight's shape."""
    probes: int


@contextmanager
def _twice(model: nn.Module) -> Iterator[None]:
    """The model lent with gradients, and attention in a form that can be differentiated twice."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with lent(model, gradients=True), plain_torch(), sdpa_kernel(SDPBackend.MATH):
        yield


def hutchinson(
    model: nn.Module,
    weights: Sequence[nn.Parameter],
    batches: Batches,
    *,
    generator: torch.Generator,
    loss: Loss | None = None,
    probes: int = 32,
    tolerance: float = 0.05,
    advance: Advance = lambda _: None,
) -> Trace:
    """Trace and diagonal of each unit's block of the Hessian by random signs v: E v^T H v and E v * H v.

    Stops after `probes` probes, or when (from the fourth on) the standard error of every unit's trace is
    below `tolerance` times the largest magnitude of its trace and the mean one over the units.
    """
    sums = [torch.zeros_like(weight, dtype=torch.float32) for weight in weights]
    values: list[Tensor] = []
    with _twice(model):
        while len(values) < probes:
            signs = [_signs(weight, generator) for weight in weights]
            products = _products(model, weights, signs, batches, loss)
            values.append(torch.stack([_dot(v, hv) for v, hv in zip(signs, products, strict=True)]))
            for total, v, hv in zip(sums, signs, products, strict=True):
                total += v.float() * hv
            advance(1)
            if len(values) >= 4 and _settled(torch.stack(values), tolerance):
                break
    found = torch.stack(values)
    count = len(values)
    stderr = found.std(0) / count**0.5 if count > 1 else torch.full_like(found[0], torch.nan)
    return Trace(found.mean(0), stderr, [total / count for total in sums], count)


def largest_eigenvalues(
    model: nn.Module,
    weights: Sequence[nn.Parameter],
    batches: Batches,
    *,
    generator: torch.Generator,
    loss: Loss | None = None,
    iterations: int = 30,
    tolerance: float = 1e-3,
    advance: Advance = lambda _: None,
) -> Tensor:
    """[L] eigenvalue of largest magnitude of each unit's block, by power iteration.

    A unit stops when its Rayleigh quotient changes by less than `tolerance` of itself. The gradient of a
    batch is built once for all units of an iteration.
    """
    vectors = [torch.randn(w.shape, generator=generator).to(w.device) for w in weights]
    values = torch.zeros(len(weights), dtype=torch.float64)
    going = set(range(len(weights)))
    with _twice(model):
        for _ in range(iterations):
            units = sorted(going)
            directions = [vectors[u] / vectors[u].norm().clamp(min=1e-30) for u in units]
            products = _block_products(model, [weights[u] for u in units], directions, batches, loss)
            for unit, v, hv in zip(units, directions, products, strict=True):
                value = _dot(v, hv)
                change = abs(float(value - values[unit]))
                if change <= tolerance * abs(float(value)) or not bool(hv.any()):
                    going.discard(unit)
                values[unit] = value
                vectors[unit] = hv
            advance(1)
            if not going:
                break
    return values


def hessian_gradient(
    model: nn.Module,
    weights: Sequence[nn.Parameter],
    gradient: Sequence[Tensor],
    batches: Batches,
    *,
    loss: Loss | None = None,
    advance: Advance = lambda _: None,
) -> list[Tensor]:
    """H g of the whole network, one tensor a unit (GraSP, Wang et al., ICLR 2020)."""
    with _twice(model):
        return _products(model, weights, list(gradient), batches, loss, advance)


def _products(
    model: nn.Module,
    weights: Sequence[nn.Parameter],
    vectors: Sequence[Tensor],
    batches: Batches,
    loss: Loss | None,
    advance: Advance = lambda _: None,
) -> list[Tensor]:
    """H v of the mean loss with one vector over all units."""
    sums = [torch.zeros_like(weight, dtype=torch.float32) for weight in weights]
    for gradients, size in _gradients(model, weights, batches, loss):
        along = sum((g * v.to(g)).sum() for g, v in zip(gradients, vectors, strict=True))
        for total, hv in zip(sums, _grad(along, weights), strict=True):
            total += hv
        advance(size)
    return [total / batches.n_samples for total in sums]


def _block_products(
    model: nn.Module,
    weights: Sequence[nn.Parameter],
    vectors: Sequence[Tensor],
    batches: Batches,
    loss: Loss | None,
) -> list[Tensor]:
    """H_l v_l of each unit's own block."""
    sums = [torch.zeros_like(weight, dtype=torch.float32) for weight in weights]
    for gradients, _ in _gradients(model, weights, batches, loss):
        for total, weight, gradient, vector in zip(sums, weights, gradients, vectors, strict=True):
            along = (gradient * vector.to(gradient)).sum()
            total += _grad(along, [weight], keep=True)[0]
    return [total / batches.n_samples for total in sums]


def _gradients(
    model: nn.Module, weights: Sequence[nn.Parameter], batches: Batches, loss: Loss | None
) -> Iterator[tuple[list[Tensor], int]]:
    """Differentiable gradients of each batch's summed loss."""
    for value, batch in plain_losses(model, batches, loss):
        found = torch.autograd.grad(value, list(weights), create_graph=True, allow_unused=True)
        yield (
            [torch.zeros_like(w) if g is None else g for w, g in zip(weights, found, strict=True)],
            batch.size,
        )


def _grad(value: Tensor | int, weights: Sequence[nn.Parameter], *, keep: bool = False) -> list[Tensor]:
    """First derivatives in float32, zeros where the value does not depend on a weight (piecewise linear)."""
    if not isinstance(value, Tensor) or not value.requires_grad:
        return [torch.zeros_like(weight, dtype=torch.float32) for weight in weights]
    found = torch.autograd.grad(value, list(weights), retain_graph=keep, allow_unused=True)
    return [
        torch.zeros_like(w, dtype=torch.float32) if g is None else g.float()
        for w, g in zip(weights, found, strict=True)
    ]


def _signs(weight: Tensor, generator: torch.Generator) -> Tensor:
    """Random signs of the weight's shape; the same on every device."""
    bits = torch.randint(0, 2, weight.shape, generator=generator, dtype=torch.int8)
    return bits.to(weight.device).to(weight.dtype).mul_(2).sub_(1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a.double() * b.double()).sum().cpu()


def _settled(values: Tensor, tolerance: float) -> bool:
    """Whether every unit's trace is known well enough."""
    mean = values.mean(0)
    stderr = values.std(0) / len(values) ** 0.5
    scale = torch.maximum(mean.abs(), mean.abs().mean())
    return bool((stderr <= tolerance * scale).all())
