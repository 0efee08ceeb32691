"""Named proxies the slow way: torch in double precision, one sample at a time, straight from the papers.

Nothing here knows the programs or the layer table. `Facts` holds what one unit shows; `SCORES` has one
function a proxy, from the facts of a unit and the error of one format to the score.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


class SmallNet(nn.Module):
    """Four units: a convolution, a depthwise one, a pointwise one and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, 2, 1, bias=False)
        self.bn = nn.BatchNorm2d(6)
        self.depthwise = nn.Conv2d(6, 6, 3, 1, 1, groups=6, bias=False)
        self.pointwise = nn.Conv2d(6, 5, 1)
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.bn(self.first(x)))
        x = functional.silu(self.pointwise(torch.tanh(self.depthwise(x))))
        return self.head(x.mean((2, 3)))


def small_case(seed: int = 0, samples: int = 6) -> tuple[SmallNet, Tensor, Tensor]:
    """A network with random statistics, images [n, 3, 8, 8] and labels [n]."""
    torch.manual_seed(seed)
    model = SmallNet()
    model.bn.running_mean.normal_(0, 0.2)
    model.bn.running_var.uniform_(0.5, 2)
    return model.eval(), torch.randn(samples, 3, 8, 8), torch.randint(0, 4, (samples,))


@dataclass
class Facts:
    """What one unit shows: weights, gradients, inputs and outputs, lists over samples."""

    module: nn.Module
    weight: Tensor
    macs: float
    rank: int
    grads: list[Tensor] = field(default_factory=list)
    logit_grads: list[Tensor] = field(default_factory=list)
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    output_grads: list[Tensor] = field(default_factory=list)
    hessian: Tensor = field(default_factory=lambda: torch.zeros(0))
    flow: Tensor = field(default_factory=lambda: torch.zeros(0))
    hessian_gradient: Tensor = field(default_factory=lambda: torch.zeros(0))
    synflow: Tensor = field(default_factory=lambda: torch.zeros(0))
    gamma: float = 0.0
    suffix: float = 0.0

    @property
    def n(self) -> int:
        return self.weight.numel()

    @property
    def g(self) -> Tensor:
        return torch.stack(self.grads).mean(0)

    @property
    def g2(self) -> Tensor:
        return torch.stack(self.grads).square().mean(0)


@dataclass
class Error:
    """One format of one unit: its bits, the error of its weight, and the error at the finest format."""

    bits: float
    dw: Tensor
    finest: Tensor
    noise: list[Tensor]
    """Error of the output, by sample."""


def facts(model: nn.Module, images: Tensor, labels: Tensor) -> list[Facts]:
    """Everything the proxies need, in double precision."""
    model = copy.deepcopy(model).double().eval()
    images = images.double()
    modules = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    found = [Facts(module, module.weight.detach(), 0.0, rank) for rank, module in enumerate(modules)]
    logits_of: list[float] = []
    for image, label in zip(images, labels, strict=True):
        logits_of.append(_sample(model, modules, found, image[None], label[None]))
    for fact in found:
        fact.logit_grads = [g / y for g, y in zip(fact.logit_grads, logits_of, strict=True)]
        fact.macs = fact.n * fact.outputs[0].numel() / fact.outputs[0].shape[1]
    _second_order(model, modules, found, images, labels)
    _data_free(model, found, images[:1])
    _kernels(found)
    return found


def error_of(fact: Facts, quantized: Tensor, finest: Tensor, bits: float) -> Error:
    """The error of one format, and what it does to the output on each sample's own input."""
    dw = quantized.double() - fact.weight
    noise = []
    for x, z in zip(fact.inputs, fact.outputs, strict=True):
        changed = copy.deepcopy(fact.module)
        changed.weight.data = quantized.double()
        noise.append(changed(x).detach() - z)
    return Error(bits, dw, finest.double() - fact.weight, noise)


def _sample(
    model: nn.Module, modules: list[nn.Module], found: list[Facts], image: Tensor, label: Tensor
) -> float:
    """Gradients, inputs and outputs of one sample; returns the logit of its label."""
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def keep(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        seen[module] = (args[0].detach(), output)

    handles = [module.register_forward_hook(keep) for module in modules]
    logits = model(image)
    for handle in handles:
        handle.remove()
    weights, outputs = [m.weight for m in modules], [seen[m][1] for m in modules]
    loss = functional.cross_entropy(logits, label)
    of_loss = torch.autograd.grad(loss, weights + outputs, retain_graph=True)
    of_logit = torch.autograd.grad(logits[0, label[0]], weights)
    for rank, (fact, module) in enumerate(zip(found, modules, strict=True)):
        fact.grads.append(of_loss[rank])
        fact.output_grads.append(of_loss[rank + len(modules)])
        fact.logit_grads.append(of_logit[rank])
        fact.inputs.append(seen[module][0])
        fact.outputs.append(seen[module][1].detach())
    return float(logits[0, label[0]].detach())


def _second_order(
    model: nn.Module, modules: list[nn.Module], found: list[Facts], images: Tensor, labels: Tensor
) -> None:
    """The whole Hessian block of each unit, one row at a time, and the Hessian times the gradient."""
    weights = [module.weight for module in modules]
    loss = functional.cross_entropy(model(images), labels)
    grads = torch.autograd.grad(loss, weights, create_graph=True)
    inner = sum((g.detach() * g).sum() for g in grads)
    for fact, product in zip(found, torch.autograd.grad(inner, weights, retain_graph=True), strict=True):
        fact.hessian_gradient = product
    for fact, weight, grad in zip(found, weights, grads, strict=True):
        rows = [torch.autograd.grad(v, weight, retain_graph=True)[0].flatten() for v in grad.flatten()]
        fact.hessian = torch.stack(rows)


def _data_free(model: nn.Module, found: list[Facts], image: Tensor) -> None:
    """SynFlow (absolute weights, no batch norm) and EMQ's virtual gradient, both on ones."""
    ones = torch.ones_like(image)
    weights = [fact.module.weight for fact in found]
    for fact, grad in zip(found, torch.autograd.grad(model(ones).sum(), weights), strict=True):
        fact.flow = grad
    positive = copy.deepcopy(model)
    positive.bn = nn.Identity()
    for tensor in (*positive.parameters(), *positive.buffers()):
        tensor.data = tensor.data.abs()
    inner = [m for m in positive.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    for fact, grad in zip(
        found, torch.autograd.grad(positive(ones).sum(), [m.weight for m in inner]), strict=True
    ):
        fact.synflow = grad


def _kernels(found: list[Facts]) -> None:
    """OMPQ: linear CKA between the outputs of all units, and the mean of exp(-gamma) from each unit on."""
    grams = []
    for fact in found:
        features = torch.cat([z.flatten(1) for z in fact.outputs])
        features = features - features.mean(0)
        grams.append(features @ features.T)
    for i, fact in enumerate(found):
        alike = [(a * grams[i]).sum() / (a.norm() * grams[i].norm()) for a in grams]
        fact.gamma = float(sum(alike)) - float(alike[i])
    for i, fact in enumerate(found):
        fact.suffix = float(np.mean([math.exp(-other.gamma) for other in found[i:]]))


def _pooled(tensors: list[Tensor], fact: Facts) -> Tensor:
    """Samples and positions of the inputs as [channels, values]; groups count as more positions."""
    stacked = torch.cat([t.flatten(2) if t.ndim > 2 else t[:, :, None] for t in tensors])
    return stacked.transpose(0, 1).flatten(1)


def _by_channel(fact: Facts, of: Callable[[Tensor], Tensor], *, largest: bool = False) -> Tensor:
    """A statistic of each input channel of one group: averaged over groups, or the largest."""
    values = of(_pooled(fact.inputs, fact))
    groups = getattr(fact.module, "groups", 1)
    by_group = values.view(groups, -1)
    return by_group.amax(0) if largest else by_group.mean(0)


def _fisher(f: Facts) -> Tensor:
    total = torch.zeros(())
    channels = f.weight.shape[0]
    for k in range(channels):
        sums = [(z[0, k] * gz[0, k]).sum() for z, gz in zip(f.outputs, f.output_grads, strict=True)]
        total = total + 0.5 * torch.stack(sums).square().mean()
    return total * (f.n / channels)


def _pruner_zero(f: Facts) -> Tensor:
    norm = f.g2.sqrt()
    return (f.weight**2 * (norm - norm.min()) / (norm.max() - norm.min())).sum()


def _emq(f: Facts, e: Error) -> Tensor:
    soft = torch.softmax(torch.log(f.flow.abs()), dim=0)
    return -e.bits * (soft * torch.sqrt(torch.relu(f.weight))).mean()


def _power(f: Facts) -> Tensor:
    return torch.stack([z.square().sum() for z in f.outputs]).mean()


def _worst(e: Error) -> Tensor:
    return 1 / (e.finest.flatten(1).square().mean(1).max() + torch.finfo(torch.float32).eps)


def _gz_noise(f: Facts, e: Error) -> list[Tensor]:
    return [(gz * noise).square() for gz, noise in zip(f.output_grads, e.noise, strict=True)]


def _mean_square_projection(grads: list[Tensor], e: Error) -> Tensor:
    return torch.stack([(g * e.dw).sum() for g in grads]).square().mean()


def _qe(f: Facts, e: Error) -> float:
    after_four = {2: 1.73882, 3: 2.89039, 4: 3.85047, 5: 4.01017}.get(int(e.bits), 4.01040)
    kernel = f.weight.shape[-1] if f.weight.ndim == 4 else 1
    fan_in = f.weight.shape[1] * kernel**2
    return -(math.log(5.00833 * after_four) - math.log(5) + math.log(math.sqrt(fan_in)))


def _variance(f: Facts) -> Tensor:
    """Variance of each input channel of one group, over samples, positions and groups together."""
    groups = getattr(f.module, "groups", 1)
    rows = _pooled(f.inputs, f)
    rows = rows.view(groups, -1, rows.shape[1]).transpose(0, 1).flatten(1)
    return rows.var(1, unbiased=False)


def _z_std(f: Facts) -> Tensor:
    return torch.cat([z.flatten() for z in f.outputs]).std(unbiased=False)


SENSITIVITY: dict[str, Callable[[Facts], Tensor | float]] = {
    "plain": lambda f: (f.g * f.weight).sum(),
    "snip": lambda f: (f.g * f.weight).abs().sum(),
    "grasp": lambda f: -(f.weight * f.hessian_gradient).sum(),
    "synflow": lambda f: (f.weight * f.synflow).abs().sum(),
    "logsynflow": lambda f: (f.weight.abs() * torch.log(f.synflow + 1e-12).abs()).sum(),
    "fisher": _fisher,
    "grad_norm": lambda f: f.g.norm(),
    "l2_norm": lambda f: f.weight.norm(),
    "zico": lambda f: torch.log((f.g.abs() / (torch.stack(f.grads).std(0, unbiased=False) + 1e-9)).sum()),
    "pruner_zero": _pruner_zero,
}
"""Scores of a unit; the project multiplies them by the squared error of each format."""

SCORES: dict[str, Callable[[Facts, Error], Tensor | float]] = {
    "hawq_v1": lambda f, e: torch.linalg.eigvalsh(f.hessian)[-1] / f.n * e.dw.square().sum(),
    "hawq_v1_mqbench": lambda f, e: torch.linalg.eigvalsh(f.hessian)[-1] / f.n * e.dw.square().mean(),
    "hawq_v2": lambda f, e: f.hessian.trace() / f.n * e.dw.square().sum(),
    "hawq_trace_mqbench": lambda f, e: f.hessian.trace() / f.n * e.dw.square().mean(),
    "ompq": lambda f, e: -e.bits / 8 * f.suffix,
    "qe": _qe,
    "brecq": lambda f, e: torch.cat(_gz_noise(f, e)).mean(),
    "mpqco": lambda f, e: _mean_square_projection(f.logit_grads, e) / 2,
    "modelopt": lambda f, e: torch.stack([x.sum() for x in _gz_noise(f, e)]).mean(),
    "autoround": lambda f, e: (f.g * e.dw).abs().sum(),
    "squeezellm": lambda f, e: (f.g2 * e.dw.square()).sum(),
    "nncf_weight_error": lambda f, e: _worst(e) * e.dw.square().sum(),
    "nncf_hessian": lambda f, e: (
        e.finest.norm() * 2 * _by_channel(f, lambda x: x.square().mean(1)).mean() * e.dw.square().sum()
    ),
    "nncf_mean_variance": lambda f, e: _variance(f).mean() * _worst(e) * e.dw.square().sum(),
    "nncf_max_variance": lambda f, e: _variance(f).max() * _worst(e) * e.dw.square().sum(),
    "nncf_mean_magnitude": lambda f, e: (
        _by_channel(f, lambda x: x.abs().amax(1), largest=True).mean() * _worst(e) * e.dw.square().sum()
    ),
    "emq": _emq,
    "emq_snip": lambda f, e: -e.bits * (f.g * f.weight).abs().sum(),
    "emq_synflow": lambda f, e: -e.bits * (f.weight * f.synflow).abs().sum(),
    "emq_hawq_v1": lambda f, e: -e.bits * torch.linalg.eigvalsh(f.hessian)[-1],
    "emq_hawq_v2": lambda f, e: -e.bits * f.hessian.trace(),
    "emq_orm": lambda f, e: -e.bits * math.exp(-f.gamma),
    "emq_entropy": lambda f, e: -e.bits * torch.log(_z_std(f)),
    "bit_sum": lambda f, e: -e.bits,
    "params": lambda f, e: -e.bits * f.n / 8,
    "bops": lambda f, e: -e.bits * 16 * f.macs,
    "sqnr": lambda f, e: -10 * torch.log10(f.weight.square().sum() / e.dw.square().sum()),
    "output_sqnr": lambda f, e: (
        -10 * torch.log10(_power(f) / sum(x.square().sum() for x in e.noise) * len(e.noise))
    ),
    "output_mse": lambda f, e: torch.stack([x.square().sum() for x in e.noise]).mean(),
    "weight_mse": lambda f, e: e.dw.square().mean(),
    "weight_error": lambda f, e: e.dw.square().sum(),
    "imatrix": lambda f, e: _imatrix(f, e),
    "diagonal_hessian": lambda f, e: (f.hessian.diagonal().view_as(e.dw) * e.dw.square()).sum() / 2,
    "empirical_fisher": lambda f, e: _mean_square_projection(f.grads, e) / 2,
    "taylor": lambda f, e: (f.g * e.dw).sum().abs(),
}


def _imatrix(f: Facts, e: Error) -> Tensor:
    power = _by_channel(f, lambda x: x.square().mean(1))
    by_input = e.dw.square().flatten(2).sum((0, 2)) if e.dw.ndim > 2 else e.dw.square().sum(0)
    return (power * by_input).sum()
