"""A language model compressed block by block: the same plans, losses and files, and nothing else kept."""

from __future__ import annotations

import copy
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

import tap
from export_world import llama, logits, needs
from nets import tiny
from tap.errors import ModelError
from tap.formats import parse_all
from tap.plan import Plan
from tap.stats.batches import Batches
from tap.stats.layers import discover, find_layers
from tap.stats.parts import collect_in_parts

pytestmark = needs("transformers")
FORMATS = ("int4-g32", "int8-g32")


def tokens(count: int = 6, seed: int = 0) -> list[dict[str, torch.Tensor]]:
    draws = torch.Generator().manual_seed(seed)
    return [{"input_ids": torch.randint(0, 300, (2, 8), generator=draws)} for _ in range(count // 2)]


def test_losses_and_weights_are_those_of_whole_models() -> None:
    from tap.truth.streamed import can_stream, measure_streamed

    net, data, calibration = llama(), Batches(tokens(4)), Batches(tokens(6, seed=1))
    layers = find_layers(net, calibration)
    assert can_stream(net, layers, calibration)
    choices = np.random.default_rng(0).integers(0, 2, (3, len(layers.units)))
    streamed = copy.deepcopy(net)
    found = measure_streamed(streamed, data, calibration, find_layers(streamed, calibration),
                             parse_all(FORMATS), choices, progress=False)  # fmt: skip
    assert found.loss.shape == (3, 4)
    assert np.isnan(found.correct).all()
    with torch.no_grad():
        for row, losses in zip(choices, found.loss, strict=True):
            named = {unit.name: FORMATS[int(at)] for unit, at in zip(layers.units, row, strict=True)}
            small = tap.quantize(net, named, data=calibration)
            expected = []
            for batch in tokens(4):
                full, other = (m(**batch).logits.double().log_softmax(-1) for m in (net, small))
                expected.append((full.exp() * (full - other)).sum(-1).mean(-1))
            assert np.allclose(losses, torch.cat(expected), rtol=1e-4, atol=1e-8)
        first = {unit.name: FORMATS[int(at)] for unit, at in zip(layers.units, choices[0], strict=True)}
        assert torch.allclose(logits(streamed), logits(tap.quantize(net, first, data=calibration)), atol=1e-5)
    with pytest.raises(ModelError, match="given up"):
        tap.restore(streamed)


def test_a_table_in_parts_is_the_table() -> None:
    net, data = llama(), Batches(tokens())
    units = discover(net, data)
    whole = tap.collect(net, data, formats=FORMATS, for_proxies=["modelopt", "sqnr"], progress=False)
    parts = collect_in_parts(
        net, data, units, formats=FORMATS, for_proxies=["modelopt", "sqnr"], progress=False
    )
    assert parts.units == whole.units
    assert parts.fingerprint == whole.fingerprint
    assert parts.columns.keys() == whole.columns.keys()
    for name, column in whole.columns.items():
        assert np.allclose(parts.columns[name], column, rtol=1e-4, atol=1e-12), name
    for name, sample in whole.samples.items():
        for one, two in zip(parts.samples[name].values, sample.values, strict=True):
            assert np.allclose(one, two, rtol=1e-4, atol=1e-8)


def test_second_derivatives_are_collected_at_once() -> None:
    net, data = llama(), Batches(tokens(2))
    units = discover(net, data)
    chosen = {"formats": FORMATS, "for_proxies": ["hawq_v2"], "seed": 3, "progress": False}
    whole, parts = tap.collect(net, data, **chosen), collect_in_parts(net, data, units, **chosen)
    assert np.allclose(parts.columns["trace"], whole.columns["trace"], rtol=1e-3)


@needs("transformers", "compressed_tensors")
def test_in_place_and_not(tmp_path: Path) -> None:
    net = llama()
    before, kept = logits(net), {name: value.clone() for name, value in net.state_dict().items()}
    options = {"budget": "6bits", "target": "vllm", "progress": False}
    apart = tap.compress(net, tokens(), out=tmp_path / "apart", **options)
    assert apart.model is not net
    assert all(torch.equal(value, kept[name]) for name, value in net.state_dict().items())
    assert torch.equal(before, logits(net))
    same = tap.compress(net, tokens(), out=tmp_path / "same", inplace=True, **options)
    assert same.model is net
    assert [row.loss for row in same.compared] == [row.loss for row in apart.compared]
    files = [path / "checkpoint" / "model.safetensors" for path in (tmp_path / "apart", tmp_path / "same")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert Plan.load(tmp_path / "same" / "plan.json").choices == apart.plan.choices


def test_what_cannot_be_taken_block_by_block() -> None:
    from tap.truth.streamed import can_stream

    net = tiny().eval()
    data = Batches(torch.randn(2, 3, 16, 16))
    assert not can_stream(net, find_layers(net, data), data)

    class SkipForCausalLM(torch.nn.Module):
        """The last block reads what the first one gave."""

        def __init__(self) -> None:
            super().__init__()
            self.embed = torch.nn.Embedding(20, 8)
            self.blocks = torch.nn.ModuleList(torch.nn.Linear(8, 8) for _ in range(3))
            self.head = torch.nn.Linear(8, 20)

        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            first = self.blocks[0](self.embed(input_ids))
            found: torch.Tensor = self.head(self.blocks[2](self.blocks[1](first).tanh()) + first)
            return found

    skipping = SkipForCausalLM().eval()
    few = Batches({"input_ids": torch.randint(0, 20, (2, 5))})
    assert not can_stream(skipping, find_layers(skipping, few), few)


@needs("transformers", "gguf")
def test_nothing_is_left_of_a_refused_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(import_module("tap.export.gguf")._Later, "tofile", full)
    with pytest.raises(tap.TapError, match="disk is full"):
        tap.compress(llama(), tokens(), budget="6bits", target="gguf", out=tmp_path / "out", progress=False)
    assert not list(tmp_path.iterdir())
