"""Small networks and data of the tests of quantization, and the real ones where their folder is at hand."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

DATA = os.environ.get("TAP_DATA", "")
needs_data = pytest.mark.skipif(
    not (DATA and Path(DATA).is_dir()), reason="TAP_DATA does not name the folder of real weights and images"
)


class Residual(nn.Module):
    """A block that adds in place, so that kept outputs may be overwritten."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += x
        return self.relu(y)


class Tiny(nn.Module):
    """Stem, two residual blocks, one linear layer: six units."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.Sequential(Residual(8), Residual(8))
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.stem(x))
        return self.fc(self.blocks(x).mean((2, 3)))


def tiny(seed: int = 0) -> Tiny:
    """A `Tiny` with seeded weights and batch-norm statistics that are not the default ones."""
    torch.manual_seed(seed)
    net = Tiny()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.2, 1.0)
    return net


def images(n: int = 32, batch: int = 8, seed: int = 1) -> list[tuple[Tensor, Tensor]]:
    """`n` random images of 3 x 8 x 8 with labels below 5, in batches."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, 8, 8, generator=generator)
    y = torch.randint(0, 5, (n,), generator=generator)
    return [(x[i : i + batch], y[i : i + batch]) for i in range(0, n, batch)]


def state(net: nn.Module) -> dict[str, Tensor]:
    """A copy of every parameter and buffer."""
    return {name: value.clone() for name, value in net.state_dict().items()}


def unchanged(net: nn.Module, before: dict[str, Tensor]) -> bool:
    """Whether state is bit for bit as before and nothing is left on the modules."""
    now = net.state_dict()
    clean = all(
        "forward" not in module.__dict__ and not module._forward_hooks and not module._forward_pre_hooks
        for module in net.modules()
    )
    return clean and now.keys() == before.keys() and all(torch.equal(now[k], before[k]) for k in before)


def example(name: str) -> ModuleType:
    """A module of the folder of examples."""
    path = Path(__file__).parent.parent / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"examples_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
