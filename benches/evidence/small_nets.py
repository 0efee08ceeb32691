"""Ten small networks of different design, trained on the demo's digits, with tables and measured truth.

    python benches/evidence/small_nets.py nets/

Each network NAME leaves NAME.table and NAME.configs: up to 120 configurations of int2, int3 and int4, 40 at
each of int2.5, int3 and int3.5, measured on 800 images. What is there already is not made again. Training is
seeded; another torch or processor gives other weights of about the same accuracy.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import tap
from tap.demo.digits import digits
from tap.demo.network import Block

FORMATS = ("int2", "int3", "int4")
BUDGETS = ("int2.5", "int3", "int3.5")
EPOCHS = 25


class Residual(nn.Module):
    """A layer beside the identity."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """x + f(x)."""
        return x + torch.as_tensor(self.inner(x))


def conv(
    inputs: int, outputs: int, size: int = 3, stride: int = 1, groups: int = 1, *, norm: bool = True
) -> list[nn.Module]:
    """A convolution, perhaps a batch norm, and ReLU."""
    layer = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=not norm)
    return [layer, *([nn.BatchNorm2d(outputs)] if norm else []), nn.ReLU()]


def separable(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    """A depthwise and a pointwise convolution, as in MobileNet."""
    return [*conv(inputs, inputs, 3, stride, inputs), *conv(inputs, outputs, 1)]


def head(width: int, hidden: int | None = None) -> list[nn.Module]:
    """The mean over positions and a classifier."""
    begin = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    if hidden is None:
        return [*begin, nn.Linear(width, 10)]
    return [*begin, nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 10)]


def stack(*parts: list[nn.Module]) -> nn.Module:
    """Lists of layers one after the other."""
    return nn.Sequential(*(layer for part in parts for layer in part))


def repeat(count: int, make: Callable[[], list[nn.Module]]) -> list[nn.Module]:
    """The layers of several calls."""
    return [layer for _ in range(count) for layer in make()]


def bottleneck(width: int) -> list[nn.Module]:
    """Wide, narrow with a 3x3 and wide again, beside the identity."""
    narrow = width // 4
    return [Residual(stack(conv(width, narrow, 1), conv(narrow, narrow), conv(narrow, width, 1)))]


def blocks(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    """A residual block of the demo's network."""
    return [Block(inputs, outputs, stride=stride)]


def bare(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    """A convolution without batch norm."""
    return conv(inputs, outputs, 3, stride, norm=False)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: stack(
        conv(1, 12), conv(12, 12), conv(12, 24, 3, 2), repeat(4, lambda: conv(24, 24)), head(24)
    ),
    "no-norm": lambda: stack(bare(1, 16), bare(16, 24, 2), repeat(3, lambda: bare(24, 24)), head(24, 32)),
    "deep": lambda: stack(
        conv(1, 12), repeat(4, lambda: blocks(12, 12)), blocks(12, 20, 2), repeat(4, lambda: blocks(20, 20)),
        head(20),
    ),
    "wide": lambda: stack(conv(1, 32), blocks(32, 48, 2), blocks(48, 48), head(48)),
    "mobile": lambda: stack(
        conv(1, 16), separable(16, 24, 2), repeat(3, lambda: separable(24, 24)), separable(24, 48, 2),
        repeat(2, lambda: separable(48, 48)), head(48),
    ),
    "mobile-head": lambda: stack(
        conv(1, 12), separable(12, 24, 2), repeat(4, lambda: separable(24, 24)), head(24, 128)
    ),
    "bottleneck": lambda: stack(
        conv(1, 32), repeat(5, lambda: bottleneck(32)), conv(32, 48, 3, 2), head(48)
    ),
    "grouped": lambda: stack(
        conv(1, 24), repeat(4, lambda: conv(24, 24, 3, 1, 4) + conv(24, 24, 1)), head(24)
    ),
    "large-kernel": lambda: stack(
        conv(1, 16, 5), conv(16, 24, 7, 2, 8), conv(24, 24, 1), conv(24, 24, 5, 1, 24), conv(24, 32, 1),
        conv(32, 32, 3, 2), head(32),
    ),
    "perceptron": lambda: stack(
        [nn.Flatten(), nn.Linear(64, 96), nn.ReLU()], repeat(5, lambda: [nn.Linear(96, 96), nn.ReLU()]),
        [nn.Linear(96, 10)],
    ),
}  # fmt: skip
"""Every design by its name."""


def trained(name: str, seed: int) -> nn.Module:
    """One network, trained with AdamW and a single cycle of the learning rate."""
    torch.manual_seed(seed)
    data, model = digits("train"), NETWORKS[name]()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    steps = EPOCHS * (len(data.labels) // 32)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(EPOCHS):
        order = torch.randperm(len(data.labels), generator=generator)
        for start in range(0, len(order) - 31, 32):
            chosen = order[start : start + 32]
            images = data.images[chosen] + 0.05 * torch.randn(32, 1, 8, 8, generator=generator)
            loss = nn.functional.cross_entropy(model(images), data.labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def main() -> None:
    """Train, collect, measure; print one line a network."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(NETWORKS))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for name in given.only:
        table, configs = given.folder / f"{name}.table", given.folder / f"{name}.configs"
        if table.is_file() and configs.is_file():
            continue
        model = trained(name, given.seed)
        test = digits("eval")
        with torch.no_grad():
            right = float((model(test.images).argmax(1) == test.labels).float().mean())
        options: dict[str, Any] = {"formats": FORMATS, "seed": given.seed, "progress": False}
        tap.collect(model, digits("calib"), samples=128, **options).save(table)
        found = tap.measure_configs(
            model, test, budgets=BUDGETS, n=40, calibration=digits("calib"), **options
        )
        found.save(configs)
        print(
            f"{name}: {len(found.units)} units, top-1 {right:.4f}, configurations {found.accuracy.min():.3f}"
            f" to {found.accuracy.max():.3f}, ceiling {found.ceiling:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
