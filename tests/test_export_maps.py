"""Exports for MLX, ModelOpt, OpenVINO, AutoRound and GPTQ, loaded by the libraries where they are installed.

`make test-exports` runs this file in one environment a library.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import tap
from export_world import difference, inputs, llama, llama_plan, needs, perceptron, plan_of
from tap.export import find
from tap.quantize import quantize


def namespace(path: Path) -> dict[str, Any]:
    """What a written module defines."""
    space: dict[str, Any] = {"__file__": str(path), "__name__": path.stem}
    exec(path.read_text(encoding="utf-8"), space)
    return space


@needs("mlx")
@pytest.mark.parametrize(
    "choices",
    [
        {"stem": "int4-g32", "body.0": "int8-g64", "body.1": "int3-g32", "head": "int6-g128"},
        {"stem": "int2-asym-g64", "body.0": "int5-asym-g32", "head": "int4-asym-g128"},
    ],
)
def test_mlx_loads_the_weights_of_the_plan(choices: dict[str, str], tmp_path: Path) -> None:
    """MLX computes what the fake-quantized model does, to 1e-4."""
    import mlx.core as mx
    import mlx.nn as mnn
    import numpy as np

    class Theirs(mnn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = mnn.Linear(128, 128)
            self.body = [mnn.Linear(128, 128), mnn.Linear(128, 128)]
            self.head = mnn.Linear(128, 10, bias=False)

        def __call__(self, x: Any) -> Any:
            x = mnn.relu(self.stem(x))
            for layer in self.body:
                x = mnn.relu(layer(x))
            return self.head(x)

    net, x = perceptron(), inputs()
    plan = plan_of(net, choices)
    done = tap.export(plan, "mlx", tmp_path / "out", model=net)
    assert done.units == done.predicted
    theirs = Theirs()
    mnn.quantize(theirs, class_predicate=namespace(tmp_path / "out" / "predicate.py")["predicate"])
    packed = [name for name, module in theirs.named_modules() if isinstance(module, mnn.QuantizedLinear)]
    assert sorted(packed) == sorted(choices)
    theirs.load_weights(str(tmp_path / "out" / "model.safetensors"), strict=True)
    output = torch.from_numpy(np.array(theirs(mx.array(x.numpy()))))
    assert difference(output, quantize(net, plan)(x)) < 1e-4


@needs("mlx_lm", "transformers")
def test_mlx_lm_loads_a_llama(tmp_path: Path) -> None:
    """mlx-lm reads the folder by config.json; its logits are those of the fake-quantized model, to 1e-3."""
    import mlx.core as mx
    import numpy as np
    from mlx_lm.utils import load_model

    from export_world import logits, tokens

    net = llama()
    plan = llama_plan(net, "int8-g64", "int4-g32")
    tap.export(plan, "mlx", tmp_path / "out", model=net)
    theirs, _ = load_model(tmp_path / "out", strict=True)
    output = torch.from_numpy(np.array(theirs(mx.array(tokens().numpy())).astype(mx.float32)))
    assert difference(output, logits(quantize(net, plan))) < 1e-3


@needs("modelopt")
def test_modelopt_takes_the_config(tmp_path: Path) -> None:
    """Bits of each quantizer are read back; ModelOpt's range is one code smaller: outputs to 10 %."""
    import modelopt.torch.quantization as mtq

    net, x = perceptron(), inputs()
    choices = {"stem": "int4-g32-absmax", "body.0": "int8-absmax+a8", "head": "fp8-e4m3-absmax"}
    plan = plan_of(net, choices)
    tap.export(plan, "modelopt", tmp_path / "out", model=net)
    config = namespace(tmp_path / "out" / "quant_cfg.py")["CONFIG"]
    theirs = mtq.quantize(perceptron(), config, lambda model: model(x))
    read = {
        name: module.weight_quantizer.num_bits if module.weight_quantizer.is_enabled else None
        for name, module in theirs.named_modules()
        if hasattr(module, "weight_quantizer")
    }
    assert read == {"stem": 4, "body.0": 8, "body.1": None, "head": (4, 3)}
    assert theirs.body[0].input_quantizer.num_bits == 8
    assert not theirs.stem.input_quantizer.is_enabled
    assert difference(theirs(x), quantize(net, plan, data=x)(x)) < 0.1
    document = json.loads((tmp_path / "out" / "hf_quant_config.json").read_text())["quantization"]
    assert document["quant_algo"] == "MIXED_PRECISION"
    assert document["exclude_modules"] == ["body.1"]
    assert {name: layer["quant_algo"] for name, layer in document["quantized_layers"].items()} == {
        "stem": "W4A16_AWQ", "body.0": "W8A8_SQ_PER_CHANNEL", "head": "FP8",
    }  # fmt: skip


@needs("nncf", "openvino")
def test_openvino_compresses_by_the_passes(tmp_path: Path) -> None:
    """Constants have the bits of the plan; NNCF's own rounding errs at most 1.5 x as much as ours."""
    import numpy as np
    import openvino

    net, x = perceptron(), inputs()
    choices = {"stem": "int4-g32", "body.0": "int8-asym", "body.1": "int4-g64", "head": "int8"}
    plan = plan_of(net, choices)
    tap.export(plan, "openvino", tmp_path / "out")
    graph = openvino.convert_model(net, example_input=x)
    graph = namespace(tmp_path / "out" / "compress_model.py")["compress"](graph)
    kinds = sorted(
        op.get_element_type().get_type_name()
        for op in graph.get_ops()
        if op.get_type_name() == "Constant" and np.prod(op.get_output_shape(0)) >= 1280
    )
    assert kinds == ["i4", "i4", "i8", "u8"]
    output = torch.from_numpy(openvino.compile_model(graph, "CPU")(x.numpy())[0])
    full, ours = net(x), quantize(net, plan)(x)
    assert 1e-3 < difference(output, full) < 1.5 * difference(ours, full)


@needs("transformers")
def test_gptq_patterns_name_one_layer_each(tmp_path: Path) -> None:
    """The map as GPTQModel and vLLM read it: patterns in order, matched from the start of a name."""
    net = llama()
    tap.export(llama_plan(net, "int8-g32", "int4-g64"), "gptq", tmp_path / "quantize_config.json", model=net)
    config = json.loads((tmp_path / "quantize_config.json").read_text())

    def read(name: str) -> Any:
        for pattern, layer in config["dynamic"].items():
            if re.match(pattern[2:], name):
                return {**config, **layer}["bits"] if pattern.startswith("+:") else None
        return config["bits"]

    bits = {name: read(name) for name, module in net.named_modules() if isinstance(module, torch.nn.Linear)}
    assert bits.pop("lm_head") is None
    assert all(found == (8 if "self_attn" in name else 4) for name, found in bits.items())


@needs("transformers")
def test_autoround_differences_from_the_base(tmp_path: Path) -> None:
    net = llama()
    tap.export(llama_plan(net, "int8-g32", "int4-g64"), "autoround", tmp_path / "out", model=net)
    layers = json.loads((tmp_path / "out" / "layer_config.json").read_text())
    assert layers["model.layers.1.mlp.up_proj"] == {
        "bits": 4,
        "group_size": 64,
        "sym": True,
        "data_type": "int",
    }
    config = json.loads((tmp_path / "out" / "quantization_config.json").read_text())
    assert len(config["extra_config"]) == 7
    whole = {name: {**{k: config[k] for k in ("bits", "group_size", "sym", "data_type")}, **extra}
             for name, extra in config["extra_config"].items()}  # fmt: skip
    assert all(layers[name] == layer for name, layer in whole.items() if name != "lm_head")


@needs("auto_round", "transformers")
def test_autoround_takes_the_layer_config(tmp_path: Path) -> None:
    """AutoRound resolves every layer to the bits and groups of the plan."""
    from auto_round import AutoRound

    net = llama()
    plan = llama_plan(net, "int8-g32", "int4-g64")
    tap.export(plan, "autoround", tmp_path / "out", model=net)
    layers = json.loads((tmp_path / "out" / "layer_config.json").read_text())
    tuner = AutoRound(
        net, tokenizer=object(), scheme="W4A16", layer_config=layers, iters=0, disable_opt_rtn=True
    )
    tuner.quantize()
    for name in plan.choices:
        module = net.get_submodule(name)
        assert (module.bits, module.group_size) == (layers[name]["bits"], layers[name]["group_size"])


@pytest.mark.parametrize("target", ["modelopt", "autoround", "gptq", "openvino"])
def test_maps_need_no_model(target: str, tmp_path: Path) -> None:
    done = tap.export(plan_of(perceptron(), "int8"), target, tmp_path / "out")
    assert done.files
    assert not done.units
    assert not find(target).needs
