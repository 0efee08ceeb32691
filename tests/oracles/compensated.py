"""Noise of compensated weights the obvious way: `tap.quantize` rounds, samples are differentiated alone.

Weights are rounded for some images, the noise is taken on others, and what batch norms would take away is the
mean of the error over the images that were rounded for.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

import tap

PROJECTIONS = 4


def reference(
    net: nn.Module,
    names: list[str],
    batches: list[tuple[Tensor, Tensor]],
    rounded_for: Tensor,
    formats: list[str],
    seed: int,
    followed: set[str],
) -> dict[str, Tensor]:
    """Name -> [L, F]. Units are modules called once; the random proportions are drawn batch by batch.

    A batch norm follows the units in `followed`, whose outputs are images.
    """
    count = sum(len(x) for x, _ in batches)
    found = {
        name: torch.zeros(len(names), len(formats), dtype=torch.float64)
        for name in ("comp_gz_noise", "comp_logit_gz", "comp_logit_dw2")
    }
    random = torch.Generator().manual_seed(seed)
    draws = [[torch.randn(len(x), 4, generator=random) for x, _ in batches] for _ in range(PROJECTIONS)]
    for unit, name in enumerate(names):
        for place, format in enumerate(formats):
            small = tap.quantize(net, {name: format}, data=rounded_for, correct=False).get_submodule(name)
            module = net.get_submodule(name)
            kept: dict[str, Tensor] = {}
            mean = _mean_error(net, name, small, rounded_for) if name in followed else 0.0

            def keep(_: nn.Module, args: tuple[Tensor], z: Tensor, kept: dict[str, Tensor] = kept) -> Tensor:
                kept["x"], kept["z"] = args[0], z.requires_grad_(True)
                return kept["z"].clone()

            handle = module.register_forward_hook(keep)
            for at, (x, y) in enumerate(batches):
                for n in range(len(x)):
                    logits = net(x[n : n + 1])
                    with torch.no_grad():
                        error = (small(kept["x"]) - module.forward(kept["x"])).double() - mean
                    loss = functional.cross_entropy(logits, y[n : n + 1])
                    (gz,) = torch.autograd.grad(loss, kept["z"], retain_graph=True)
                    found["comp_gz_noise"][unit, place] += float((gz * error).square().sum()) / count
                    for draw in draws:
                        v = draw[at][n] - draw[at][n].mean()
                        (gv,) = torch.autograd.grad((logits[0] * v).sum(), kept["z"], retain_graph=True)
                        share = count * PROJECTIONS
                        found["comp_logit_gz"][unit, place] += float((gv * error).square().sum()) / share
                        found["comp_logit_dw2"][unit, place] += float((gv * error).sum().square()) / share
            handle.remove()
    return found


def _mean_error(net: nn.Module, name: str, small: nn.Module, images: Tensor) -> Tensor:
    """The mean [1, channels, 1, 1] of the error over images and positions."""
    seen: list[Tensor] = []
    handle = net.get_submodule(name).register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        net(images)
    handle.remove()
    with torch.no_grad():
        error = small(seen[0]) - net.get_submodule(name)(seen[0])
    return torch.as_tensor(error.double().mean((0, 2, 3), keepdim=True))
