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


def llama(dtype: torch.dtype = torch.float32, seed: int = 0, **changes: Any) -> Any:
    """A Llama of two layers from transformers with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    sizes = {
        "hidden_size": 128,
        "intermediate_size": 256,
        "vocab_size": 320,
        "num_hidden_layers": 2,
        **changes,
    }
    config = LlamaConfig(
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=False,
        **sizes,
    )
    return LlamaForCausalLM(config).to(dtype).eval()


def tokens(n: int = 4, length: int = 12) -> Tensor:
    """Random tokens [n, length] below 320."""
    return torch.randint(0, 320, (n, length), generator=torch.Generator().manual_seed(2))


def llama_plan(model: nn.Module, attention: str, mlp: str, rest: str | None = None) -> Plan:
    """A plan with one format for attention, one for the MLP, one (or none) for the embedding and the head."""
    choices = {}
    for unit in discover(model, {"input_ids": tokens()}):
        name = attention if "self_attn" in unit.name else mlp if "mlp" in unit.name else rest
        if name is not None:
            choices[unit.name] = name
    return plan_of(model, choices, {"input_ids": tokens()})


def logits(model: Any) -> Tensor:
    """The model's logits on `tokens`."""
    with torch.no_grad():
        return model(input_ids=tokens()).logits.float()
