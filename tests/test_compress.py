"""`tap.compress`: one call from a model to files, with the simpler plans measured beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

import tap
from export_world import difference, inputs, llama, logits, needs, perceptron
from nets import images, tiny
from tap.cli.app import run
from tap.compress import Compressed, default_formats
from tap.errors import DataError, ExportError, InfeasibleError, ModelError
from tap.export import state_dict
from tap.plan import Plan
from tap.proxies import DEFAULT
from tap.stats.generated import generated


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Compressed, Path]:
    out = tmp_path_factory.mktemp("compress") / "out"
    net = tiny().eval()
    return tap.compress(net, images(64), budget="5bits", target="state-dict", out=out, progress=False), out


def test_files_hold_the_model_that_is_returned(found: tuple[Compressed, Path]) -> None:
    done, out = found
    assert sorted(file.name for file in out.iterdir()) == [
        "comparison.json",
        "model.safetensors",
        "plan.json",
    ]
    loaded = state_dict.load_into(tiny(5).eval(), out / "model.safetensors")
    x = images(8)[0][0]
    assert difference(loaded(x), done.model(x)) < 1e-5
    assert Plan.load(out / "plan.json").choices == done.plan.choices
    assert done.exported is not None
    assert sum(done.exported.units.values()) == done.plan.bytes <= done.plan.budgets["bytes"]


def test_simpler_plans_of_equal_bytes_are_measured(found: tuple[Compressed, Path]) -> None:
    done, out = found
    assert [row.plan.split()[0] for row in done.compared] == [DEFAULT, "uniform", "random", "random"]
    plan, uniform, median, best = done.compared
    assert plan.bytes == done.plan.bytes
    assert uniform.bytes <= done.plan.budgets["bytes"]
    assert median.bytes == pytest.approx(plan.bytes, rel=0.005)
    assert best.loss <= median.loss
    assert done.gain == pytest.approx(min(uniform.loss, median.loss) - plan.loss)
    assert done.noise > 0
    assert (done.warning is None) == (done.gain > done.noise)
    assert json.loads((out / "comparison.json").read_text())[0]["loss"] == plan.loss


def test_a_gain_within_the_noise_is_a_warning() -> None:
    """At six bits all plans are equally good on two samples."""
    done = tap.compress(tiny().eval(), images(4), budget="9bits", formats=["int7", "int8"], progress=False)
    assert done.warning is not None
    assert "within the noise" in done.warning
    assert done.exported is None


def test_a_simpler_plan_that_is_better_is_a_warning(found: tuple[Compressed, Path]) -> None:
    better = replace(found[0], gain=-1.0, noise=0.1)
    assert better.warning is not None
    assert "a simpler plan loses 1 less" in better.warning


def test_what_a_target_does_not_hold_stays(tmp_path: Path) -> None:
    two = ["int3", "int8"]
    done = tap.compress(
        tiny().eval(),
        images(16),
        budget="12bits",
        target="torchao",
        formats=two,
        out=tmp_path / "out",
        progress=False,
    )
    assert list(done.plan.choices) == ["fc"]
    assert len(done.left_out) == 5
    assert type(done.model.stem) is torch.nn.Conv2d


@needs("transformers", "compressed_tensors")
def test_a_language_model_for_a_server_without_data(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    net = llama()
    done = tap.compress(net, budget="6bits", target="vllm", out=tmp_path / "out", progress=False)
    assert set(done.plan.choices.values()) == {"int4-g128", "int8-g128"}
    assert "lm_head" in done.left_out
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "checkpoint")
    assert difference(logits(loaded), logits(done.model)) < 1e-4


def test_self_made_text_is_the_same_for_the_same_seed() -> None:
    pytest.importorskip("transformers")
    net = llama()
    one, two, other = (generated(net, samples=9, length=6, seed=seed) for seed in (0, 0, 1))
    assert [batch["input_ids"].shape for batch in one] == [(8, 6), (1, 6)]
    assert torch.equal(one[0]["input_ids"], two[0]["input_ids"])
    assert not torch.equal(one[0]["input_ids"], other[0]["input_ids"])


def test_default_formats_suit_the_shapes() -> None:
    from tap.stats.layers import discover

    units = discover(perceptron(), inputs())
    assert default_formats("vllm", units) == ["int4-g128", "int8-g128"]
    assert default_formats("gguf", units) == ["gguf-q4_0", "gguf-q5_0", "gguf-q8_0"]
    small = discover(torch.nn.Sequential(torch.nn.Linear(96, 8), torch.nn.Linear(8, 2)), torch.ones(1, 96))
    assert default_formats("vllm", small) == ["int4", "int8"]
    assert default_formats("vllm", small[:1]) == ["int4-g32", "int8-g32"]


def test_bad_input_leaves_nothing(tmp_path: Path) -> None:
    net, out = tiny().eval(), tmp_path / "out"
    with pytest.raises(InfeasibleError):
        tap.compress(net, images(8), budget="1bits", out=out, progress=False)
    with pytest.raises(ExportError, match="no target"):
        tap.compress(net, images(8), target="vlm", out=out, progress=False)
    with pytest.raises(DataError, match="cannot write its own"):
        tap.compress(net, out=out, progress=False)
    with pytest.raises(ModelError, match="holds no layer"):
        tap.compress(
            torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3)), images(8), target="vllm", out=out, progress=False
        )
    with pytest.raises(ExportError, match="traced on"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("tap.export.onnx_qdq"), "graph_of", _refuse)
        tap.compress(net, images(8), budget="7bits", target="onnx", out=out, progress=False)
    assert not list(tmp_path.iterdir())


def _refuse(*_: object, **__: object) -> None:
    raise ExportError("an ONNX graph is traced on nothing")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compress", "tap.demo:model", "-d", "tap.demo:calibration", "--budget", "3.5bits",
                 "--target", "state-dict", "-o", str(tmp_path / "out"), "--json"]  # fmt: skip
    assert run(arguments) == 0
    captured = capsys.readouterr()
    rows = json.loads(captured.out)
    assert rows[0]["plan"] == DEFAULT
    assert np.isfinite([row["loss"] for row in rows]).all()
    assert "noise" in captured.err
    assert (tmp_path / "out" / "model.safetensors").is_file()
    assert run(arguments) == 2
