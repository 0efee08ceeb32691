"""The flow on models people have: collected, measured, quantized and given back unchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tap
from nets import DATA, example, needs_data, state, unchanged
from tap.stats.inputs import CHEAP

FORMATS = ["int2", "int8"]
Case = tuple[nn.Module, Any, list[str]]
"""A model, its batches, and two units of it to measure."""


def timm_model(name: str, units: list[str], **options: Any) -> Case:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    net = timm.create_model(name, pretrained=False, num_classes=5, **options)
    return net, [(torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3]))], units


def vit() -> Case:
    size = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3}
    return timm_model("vit_tiny_patch16_224", ["blocks.0.attn.qkv", "head"], **size)


def mobilenet() -> Case:
    return timm_model("mobilenetv3_small_050", ["conv_stem", "classifier"])


def encoder() -> Case:
    """The transformer of torch itself, with packed projections."""
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    net = nn.Sequential(nn.TransformerEncoder(layer, 2), nn.Flatten(), nn.Linear(96, 5))
    return net, torch.randn(4, 6, 16), ["0.layers.0.self_attn.in_proj", "2"]


def causal(kind: str, units: list[str], **options: Any) -> Case:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = getattr(transformers, f"{kind}Config")(vocab_size=64, **options)
    net = getattr(transformers, f"{kind}ForCausalLM" if kind != "GPT2" else "GPT2LMHeadModel")(config)
    ids = torch.randint(0, 64, (4, 8))
    return net, [{"input_ids": ids, "labels": ids, "attention_mask": torch.ones_like(ids)}], units


SMALL = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1,
}  # fmt: skip


def llama() -> Case:
    return causal("Llama", ["model.layers.0.self_attn.q_proj", "lm_head"], **SMALL)


def qwen() -> Case:
    return causal("Qwen2", ["model.layers.1.mlp.down_proj", "lm_head"], **SMALL)


def gpt2() -> Case:
    """Weights stored [in, out] (Conv1D), and an output layer tied to the embedding."""
    return causal("GPT2", ["transformer.h.0.attn.c_attn", "transformer.h.1.mlp.c_proj"], n_embd=16,
                  n_layer=2, n_head=2, n_positions=16)  # fmt: skip


def experts() -> Case:
    """Packed experts, computed one by one."""
    return causal(
        "Mixtral", ["model.layers.0.self_attn.o_proj", "lm_head"], **{**SMALL, "num_hidden_layers": 1},
        num_local_experts=2, num_experts_per_tok=2, experts_implementation="eager",
    )  # fmt: skip


CASES = [vit, mobilenet, encoder, llama, qwen, gpt2, experts]


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_the_flow(make: Callable[[], Case]) -> None:
    torch.manual_seed(0)
    net, data, names = make()
    net.train()
    before = state(net)
    table = tap.collect(net, data, formats=FORMATS, inputs=CHEAP, progress=False)
    assert set(names) <= {unit.name for unit in table.units}
    for name, column in table.columns.items():
        assert np.isfinite(column).all(), name
    assert (table.columns["dw2"][:, 0] > table.columns["dw2"][:, 1]).all()
    assert (table.columns["fisher_dw2"] >= 0).all()
    found = tap.measure(net, data, formats=FORMATS, include=names, progress=False)
    assert set(found.units) == set(names)
    assert (found.values[:, 0] > found.values[:, 1]).all()
    small = tap.quantize(net, dict.fromkeys(names, "int4"))
    assert unchanged(net, before)
    assert net.training
    tap.restore(small)
    for key, value in net.state_dict().items():
        assert torch.equal(small.state_dict()[key], value), key


@pytest.mark.parametrize("make", [encoder, llama], ids=lambda make: make.__name__)
def test_half_precision(make: Callable[[], Case]) -> None:
    net, data, names = make()
    net.to(torch.bfloat16)
    table = tap.collect(net, data, formats=FORMATS, inputs=["g2", "out_noise", "gdw2"], progress=False)
    assert all(sample.dtype == np.float32 for sample in table.samples["g2"].values)
    assert (table.columns["out_noise"] > 0).all()
    found = tap.measure(net, data, formats=FORMATS, include=names, progress=False)
    assert np.isfinite(found.values).all()
    assert all(parameter.dtype == torch.bfloat16 for parameter in net.parameters())


def test_a_model_that_accelerate_placed() -> None:
    """`device_map` models carry hooks in place of forwards; they compute and come back the same."""
    accelerate = pytest.importorskip("accelerate", reason="accelerate is not installed")
    torch.manual_seed(0)
    net, data, names = llama()
    plain = tap.measure(net, data, formats=FORMATS, include=names, progress=False)
    placed = accelerate.dispatch_model(net.eval(), {"model": "cpu", "lm_head": "cpu"}, force_hooks=True)
    forwards = [module.__dict__.get("forward") for module in placed.modules()]
    found = tap.measure(placed, data, formats=FORMATS, include=names, progress=False)
    assert np.allclose(found.values, plain.values, rtol=1e-4, atol=1e-9)
    table = tap.collect(placed, data, formats=FORMATS, inputs=["out_noise", "g2"], progress=False)
    assert (table.columns["out_noise"] > 0).all()
    assert forwards == [module.__dict__.get("forward") for module in placed.modules()]


def test_compiled_models_give_the_same_table() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    x = torch.randn(8, 3, 6, 6)
    compiled: Any = torch.compile(net)
    one, two = (tap.collect(m, x, formats=FORMATS, inputs=CHEAP, progress=False) for m in (net, compiled))
    assert [unit.name for unit in one.units] == [unit.name for unit in two.units]
    for name in one.columns:
        assert np.array_equal(one.columns[name], two.columns[name]), name


class Named(nn.Module):
    """Returns what it is told to around the same logits."""

    def __init__(self, wrap: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.wrap = wrap

    def forward(self, x: Tensor) -> Any:
        return self.wrap(self.layer(x))


@pytest.mark.parametrize(
    "wrap", [lambda z: z, lambda z: (z, None), lambda z: {"logits": z, "ids": z.argmax(1)}, lambda z: [z]]
)
def test_forms_of_output(wrap: Callable[[Tensor], Any]) -> None:
    torch.manual_seed(0)
    net = Named(wrap)
    found = tap.collect(net, torch.randn(6, 4), formats=["int4"], progress=False)
    assert found.columns["trace"][0] > 0
    assert tap.measure(net, torch.randn(6, 4), formats=["int2"], progress=False).values[0, 0] > 0


@needs_data
@pytest.mark.parametrize(("module", "name"), [("cifar10", "resnet20"), ("cifar10", "resnet32"),
                                              ("mobilenet", "mobilenet")])  # fmt: skip
def test_networks_with_real_weights(module: str, name: str) -> None:
    source = example(module)
    net = getattr(source, name)(DATA)
    data = source.calibration(DATA, samples=8)
    before = state(net)
    table = tap.collect(net, data, formats=FORMATS, inputs=CHEAP, progress=False)
    assert len(table.units) == {"resnet20": 20, "resnet32": 32, "mobilenet": 28}[name]
    assert all(np.isfinite(column).all() for column in table.columns.values())
    units = [table.units[0].name, table.units[-1].name]
    found = tap.measure(net, data, formats=FORMATS, include=units, progress=False)
    assert (found.values[:, 0] > found.values[:, 1]).all()
    assert unchanged(net, before)
