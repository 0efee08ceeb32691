"""Networks, plans and comparisons that the tests of the exports share."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tap.formats import parse
from tap.plan import Plan, PlanFormat
from tap.stats.layers import discover, fingerprint

COLUMNS = 128


class Perceptron(nn.Module):
    """Four linear layers under names that sort in another order than they run."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(COLUMNS, 128)
        self.body = nn.ModuleList(nn.Linear(128, 128) for _ in range(2))
        self.head = nn.Linear(128, 10, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        for layer in self.body:
            x = torch.relu(layer(x))
        return self.head(x)


def perceptron(seed: int = 0) -> Perceptron:
    """A `Perceptron` with seeded weights."""
    torch.manual_seed(seed)
    return Perceptron().eval()


def inputs(n: int = 16, seed: int = 1) -> Tensor:
    """Random inputs [n, 128]."""
    return torch.randn(n, COLUMNS, generator=torch.Generator().manual_seed(seed))


def plan_of(model: nn.Module, choices: Mapping[str, str] | str, batches: Any = None) -> Plan:
    """A plan with these choices: the one that is allowed, with sizes as the formats have them."""
    units = discover(model, inputs() if batches is None else batches)
    named = {unit.name: choices if isinstance(choices, str) else choices[unit.name] for unit in units
             if isinstance(choices, str) or unit.name in choices}  # fmt: skip
    units = tuple(unit for unit in units if unit.name in named)
    names = list(dict.fromkeys(named.values()))
    formats = [PlanFormat(name, float(parse(name).bits), float(parse(name).act_bits)) for name in names]
    allowed = np.array([[name == named[unit.name] for name in names] for unit in units])
    sizes = np.zeros(allowed.shape)
    for row, unit in enumerate(units):
        sizes[row, names.index(named[unit.name])] = parse(named[unit.name]).stored_bytes(unit)
    return Plan.solve(
        units,
        formats,
        scores=np.zeros(allowed.shape),
        costs={"bytes": sizes},
        budgets={"bytes": float(sizes.sum())},
        allowed=allowed,
        fingerprint=fingerprint(model, units),
    )


def difference(one: Tensor, other: Tensor) -> float:
    """Largest difference, relative to the largest value of the second."""
    return float((one.detach() - other.detach()).abs().max() / other.detach().abs().max())


def needs(*modules: str) -> pytest.MarkDecorator:
    """Skip where a library is not installed, naming it."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")
