"""Every first-order statistic the obvious way: one backward pass a sample, whole tensors, no shared work."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tap.formats import parse
from tap.stats.layers import matrix, weights_of
from tap.stats.units import Unit


def reference(
    model: nn.Module, units: tuple[Unit, ...], x: Tensor, y: Tensor | None, formats: list[str]
) -> dict[str, list[Any]]:
    """Name -> one value for each unit; units must be modules that are called once."""
    names = [unit.name for unit in units]
    modules = [model.get_submodule(name) for name in names]
    weights = weights_of(model, units)
    seen: dict[int, tuple[Tensor, Tensor]] = {}

    def keep(index: int, x: Tensor, z: Tensor) -> Tensor:
        seen[index] = (x, z)
        return z.clone()  # an in-place activation that follows must not change what was seen

    handles = [
        module.register_forward_hook(lambda _, args, z, index=index: keep(index, args[0], z))
        for index, module in enumerate(modules)
    ]
    dws = [
        torch.stack([parse(f).quantize(matrix(w.detach(), u)) - matrix(w.detach(), u) for f in formats])
        for w, u in zip(weights, units, strict=True)
    ]
    found: dict[str, list[Any]] = {}

    def add(name: str, unit: int, value: Tensor) -> None:
        values = found.setdefault(name, [0.0] * len(units))
        values[unit] = values[unit] + value.detach().double() / len(x)

    try:
        for n in range(len(x)):
            logits = model(x[n : n + 1])
            target = logits.argmax(-1) if y is None else y[n : n + 1]
            loss = functional.cross_entropy(logits, target)
            logit = logits[0, target[0]]
            outputs = [seen[i][1] for i in range(len(units))]
            grads = torch.autograd.grad(loss, [*weights, *outputs], retain_graph=True)
            logit_grads = torch.autograd.grad(logit, weights)
            for i, unit in enumerate(units):
                g, gz = matrix(grads[i], unit), grads[len(units) + i]
                channel = 1 if unit.is_conv else gz.ndim - 1
                add("g", i, g)
                add("g2", i, g.square())
                add("gdw2", i, (dws[i] * g).sum((1, 2, 3)).square())
                add("logit_dw2", i, ((dws[i] * matrix(logit_grads[i], unit)).sum((1, 2, 3)) / logit).square())
                other = [d for d in range(gz.ndim) if d != channel]
                add("gz2", i, gz.square().sum(other))
                add("fisher_z", i, (outputs[i] * gz).sum(other).square() / 2)
                changed = torch.stack([_output_error(modules[i], seen[i][0], dw) for dw in dws[i]])
                add("out_noise", i, changed.square().flatten(1).sum(1))
                add("gz_noise", i, (changed * gz).square().flatten(1).sum(1))
    finally:
        for handle in handles:
            handle.remove()
    for i in range(len(units)):
        w, g, dw = matrix(weights[i].detach(), units[i]).double(), found["g"][i], dws[i].double()
        for name, value in {
            "plain": (g * w).sum(), "gdw": (g * dw).sum((1, 2, 3)), "gdw_abs": (g * dw).abs().sum((1, 2, 3)),
            "fisher_dw2": (found["g2"][i] * dw.square()).sum((1, 2, 3)), "dw2": dw.square().sum((1, 2, 3)),
            "dw_max": dw.square().mean((2, 3)).amax(1), "w_norm2": w.norm(),
        }.items():  # fmt: skip
            found.setdefault(name, []).append(value)
    return found


def _output_error(module: nn.Module, x: Tensor, dw: Tensor) -> Tensor:
    """The change of a layer's output when dw is added to its weight."""
    twin = {"weight": dw.reshape(module.weight.shape)}
    if getattr(module, "bias", None) is not None:
        twin["bias"] = torch.zeros_like(module.bias)
    with torch.no_grad():
        return torch.func.functional_call(module, twin, (x,))
