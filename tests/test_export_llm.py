"""Exports of language models: checkpoints and files that transformers, compressed-tensors and gguf load."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tap
from export_world import difference, inputs, llama, llama_plan, logits, needs, perceptron, plan_of
from tap.errors import ExportError
from tap.export import gguf_names
from tap.quantize import quantize

pytestmark = needs("transformers")


@needs("compressed_tensors")
@pytest.mark.parametrize(
    ("attention", "mlp"),
    [("int8-g32", "int4-g32"), ("int4", "int8"), ("int4-g64", "int8-g128-absmax"), ("fp8-e4m3", "int4-g128")],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compressed_tensors_loads_in_transformers(
    attention: str, mlp: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    """The logits equal those of the fake-quantized model: 1e-5 in float32, 2 % in bfloat16."""
    from transformers import AutoModelForCausalLM

    net = llama(dtype)
    plan = llama_plan(net, attention, mlp)
    done = tap.export(plan, "vllm", tmp_path / "out", model=net)
    assert done.units == done.predicted
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=dtype)
    assert difference(logits(loaded), logits(quantize(net, plan))) < (
        1e-5 if dtype == torch.float32 else 0.02
    )
    assert difference(logits(loaded), logits(net)) > 1e-3


@needs("compressed_tensors")
def test_the_words_are_those_of_the_library() -> None:
    from compressed_tensors.compressors import pack_to_int32

    from tap.export.compressed_tensors import _words

    for width in (2, 3, 4, 5, 8):
        codes = torch.randint(0, 1 << width, (5, 77), generator=torch.Generator().manual_seed(width))
        theirs = pack_to_int32((codes - (1 << (width - 1))).to(torch.int8), width)
        assert torch.equal(_words(codes.to(torch.int16), width), theirs)


def test_units_that_vllm_fuses_have_one_format(tmp_path: Path) -> None:
    net = llama()
    choices = dict(llama_plan(net, "int4-g32", "int8-g32").choices)
    choices["model.layers.0.self_attn.k_proj"] = "int8-g32"
    plan = plan_of(net, choices, {"input_ids": torch.zeros(1, 4, dtype=torch.long)})
    with pytest.raises(
        ExportError, match=r"layers\.0\.self_attn\.q_proj=int4-g32 .*k_proj=int8-g32"
    ) as error:
        tap.export(plan, "vllm", tmp_path / "out", model=net)
    assert "tap allocate --target" in str(error.value.hint)
    assert not list(tmp_path.iterdir())


@needs("gguf")
def test_gguf_of_any_model(tmp_path: Path) -> None:
    """What the package reads back is bit for bit what the fake-quantized model computes with."""
    from gguf import GGUFReader, quants

    net, x = perceptron(), inputs()
    plan = plan_of(
        net, {"stem": "gguf-q4_0", "body.0": "gguf-q5_1", "body.1": "gguf-q8_0", "head": "gguf-mxfp4"}
    )
    done = tap.export(plan, "gguf", tmp_path / "m.gguf", model=net)
    assert done.units == done.predicted
    assert sum(done.units.values()) == plan.bytes
    reader = GGUFReader(tmp_path / "m.gguf")
    state = {
        t.name: torch.from_numpy(quants.dequantize(t.data, t.tensor_type).copy()) for t in reader.tensors
    }
    loaded = perceptron(9)
    loaded.load_state_dict(state)
    assert torch.equal(loaded(x), quantize(net, plan)(x))


@needs("gguf")
def test_gguf_loads_in_transformers(tmp_path: Path) -> None:
    """Names, settings and the order of rotary rows: the loaded model computes what the plan says, to 1e-5."""
    net = llama()
    plan = llama_plan(net, "gguf-q8_0", "gguf-q4_0", "gguf-q5_0")
    tap.export(plan, "gguf", tmp_path / "m.gguf", model=net)
    loaded = _from_gguf(tmp_path / "m.gguf")
    assert difference(logits(loaded), logits(quantize(net, plan))) < 1e-5


@needs("gguf")
def test_gguf_from_a_file_in_full_precision(tmp_path: Path) -> None:
    from gguf import GGUFReader

    net = llama()
    full = plan_of(net, {"lm_head": "gguf-q8_0"}, {"input_ids": torch.zeros(1, 4, dtype=torch.long)})
    tap.export(full, "gguf", tmp_path / "base.gguf", model=net)
    plan = llama_plan(net, "gguf-q5_1", "gguf-q4_1")
    done = tap.export(plan, "gguf", tmp_path / "m.gguf", model=net, base=tmp_path / "base.gguf")
    assert done.units == done.predicted
    both = {**plan.choices, **full.choices}
    assert difference(logits(_from_gguf(tmp_path / "m.gguf")), logits(quantize(net, both))) < 1e-5
    before, after = GGUFReader(tmp_path / "base.gguf"), GGUFReader(tmp_path / "m.gguf")
    assert [f.contents() for f in before.fields.values()][3:] == [
        f.contents() for f in after.fields.values()
    ][3:]
    head = llama_plan(net, "gguf-q5_1", "gguf-q4_1", "gguf-q4_0")
    with pytest.raises(ExportError, match="quantized already"):
        tap.export(head, "gguf", tmp_path / "no.gguf", model=net, base=tmp_path / "base.gguf")
    with pytest.raises(ExportError, match="there is no file"):
        tap.export(plan, "gguf", tmp_path / "no.gguf", model=net, base=tmp_path / "absent.gguf")
    assert not (tmp_path / "no.gguf").exists()


def _from_gguf(path: Path) -> Any:
    """The model in a GGUF file by transformers' reader, which asks for no tokenizer."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name).eval()


def parsed(text: str) -> list[tuple[re.Pattern[str], str]]:
    """The entries as llama.cpp reads them: split at white space, lower-cased, searched for."""
    return [
        (re.compile(pattern.lower()), kind)
        for pattern, _, kind in (line.rpartition("=") for line in text.split())
    ]


@needs("gguf")
def test_the_tensor_types_of_llama_cpp(tmp_path: Path) -> None:
    net = llama(hidden_size=256)
    plan = llama_plan(net, "int6", "gguf-q4_0", "int8")
    tap.export(plan, "llama-cpp", tmp_path / "types.txt", model=net)
    entries = parsed((tmp_path / "types.txt").read_text())
    names = gguf_names.tensor_names(net, list(net.state_dict()))
    kinds = {"int6": "q6_k", "gguf-q4_0": "q4_0", "int8": "q8_0"}
    for key, name in names.items():
        found = next((kind for pattern, kind in entries if pattern.search(name)), None)
        assert found == kinds.get(plan.choices.get(key.removesuffix(".weight"), ""))
    small = llama()
    with pytest.raises(ExportError, match=r"rows of 128 weights .* block of 256"):
        tap.export(llama_plan(small, "int4", "int4"), "llama-cpp", tmp_path / "no.txt", model=small)


@needs("gguf")
def test_sizes_of_types_are_those_of_the_package() -> None:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    from tap.export.sizes import GGML
    from tap.formats.gguf import BLOCKS

    known = {**GGML, **{name: row[:2] for name, row in BLOCKS.items()}}
    assert known == {name: tuple(GGML_QUANT_SIZES[GGMLQuantizationType[name.upper()]]) for name in known}


@needs("gguf")
def test_a_model_that_llama_cpp_does_not_know(tmp_path: Path) -> None:
    net = perceptron()
    with pytest.raises(ExportError, match="no architecture for Perceptron"):
        tap.export(plan_of(net, "gguf-q4_0"), "llama-cpp", tmp_path / "types.txt", model=net)


def test_config_json_keeps_the_model_s_own(tmp_path: Path) -> None:
    net = llama()
    tap.export(llama_plan(net, "int8", "int4"), "vllm", tmp_path / "out", model=net)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["model_type"] == "llama"
    groups = config["quantization_config"]["config_groups"]
    names = [name for group in groups.values() for name in group["targets"]]
    assert len(names) == len(set(names)) == 14
    assert config["quantization_config"]["ignore"] == ["lm_head"]
    assert np.unique([group["weights"]["num_bits"] for group in groups.values()]).tolist() == [4, 8]
