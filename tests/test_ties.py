"""Which units share a format in each deployment target."""

from __future__ import annotations

import pytest

from tap.errors import ExportError
from tap.stats.ties import RULES, ties
from tap.stats.units import Unit


def units(*names: str) -> list[Unit]:
    return [Unit(name, "linear", 4, 4, 1, 16) for name in names]


LLAMA = units(*[
    f"model.layers.{layer}.{name}"
    for layer in range(2)
    for name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
                 "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
])  # fmt: skip


def test_fused_projections() -> None:
    for target in ("vllm", "sglang", "tensorrt-llm"):
        assert ties(LLAMA, target) == [0, 0, 0, 1, 2, 2, 3, 4, 4, 4, 5, 6, 6, 7]
    assert ties(LLAMA, "onnx") == [0, 0, 0, 1, 2, 3, 4, 5, 5, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("target", ["gguf", "mlx", "torchao"])
def test_targets_without_ties(target: str) -> None:
    assert ties(LLAMA, target) == list(range(len(LLAMA)))


def test_all_experts_of_a_layer() -> None:
    found = ties(
        units("l.0.experts.0.w1", "l.0.experts.0.w2", "l.0.experts.7.w3", "l.0.gate", "l.1.experts.0.w1"),
        "vllm",
    )
    assert found == [0, 0, 0, 1, 2]
    assert ties(units("l.0.experts.gate_up_proj", "l.0.experts.down_proj"), "vllm") == [0, 0]


def test_other_names() -> None:
    assert ties(units("a.query", "a.key", "a.value", "b.to_q", "b.to_k", "b.to_v"), "vllm") == [
        0,
        0,
        0,
        1,
        1,
        1,
    ]
    assert ties(units("m.w1", "m.w3", "m.w2"), "vllm") == [0, 0, 1]
    found = ties(units("d.in_proj_qkv", "d.in_proj_z", "d.in_proj_a", "d.in_proj_b", "d.out"), "vllm")
    assert found == [0, 0, 1, 1, 2]
    assert ties(units("q_proj", "k_proj"), "vllm") == [0, 0]
    assert ties(units("m.seq_proj", "m.k_proj"), "vllm") == [0, 1]


def test_a_shortcut_shares_with_the_last_convolution_of_its_block() -> None:
    names = ["conv1", "layer2.0.conv1", "layer2.0.conv2", "layer2.0.downsample.0", "layer2.1.conv1", "fc"]
    convolutions = [Unit(name, "conv2d", 4, 4, 9, 16) for name in names]
    assert ties(convolutions, "residual") == [0, 1, 2, 2, 3, 4]


def test_own_rules_and_errors() -> None:
    assert ties(LLAMA[:4], [r"(.*)\.(?:q_proj|o_proj)"]) == [0, 1, 2, 0]
    with pytest.raises(ExportError, match="no tie rules") as caught:
        ties(LLAMA, "vlm")
    assert "vllm" in (caught.value.hint or "")
    with pytest.raises(ExportError, match="no regular expression"):
        ties(LLAMA, ["("])
    assert set(RULES) >= {"vllm", "onnx", "gguf", "mlx", "torchao", "tensorrt-llm"}
