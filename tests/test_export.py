"""Exports: packed states hold what the model computes with, to the byte; the rest is refused whole."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import tap
from export_world import difference, inputs, llama, llama_plan, needs, perceptron, plan_of
from nets import images, tiny
from tap.cli.app import run
from tap.errors import ExportError, PlanError
from tap.export import TARGETS, find, state_dict, torchao
from tap.formats import parse
from tap.quantize import quantize
from tap.quantize.model import _undo_of
from tap.stats.units import Unit

FORMATS = [
    "int2", "int3", "int4", "int5-absmax", "int6", "int7", "int8", "int4-asym", "int3-asym-g32", "int4-g32",
    "int6-g64", "int8-tensor", "int5-asym-tensor", "fp8-e4m3", "fp8-e5m2-tensor", "fp4-e2m1",
    "mxfp4", "nvfp4",
]  # fmt: skip
BLOCKS = ["gguf-q4_0", "gguf-q4_1", "gguf-q5_0", "gguf-q5_1", "gguf-q8_0", "gguf-mxfp4"]
A_UNIT = Unit("stem", "linear", out=128, inp=128, pos=1, macs=0)


def packed_and_loaded(plan: Any, net: nn.Module, fresh: nn.Module, path: Path, **options: Any) -> nn.Module:
    done = tap.export(plan, "state-dict", path, model=net, **options)
    assert sum(done.units.values()) == plan.bytes
    assert done.units == done.predicted
    assert done.files == {path.name: path.stat().st_size}
    return state_dict.load_into(fresh, path)


@pytest.mark.parametrize("form", FORMATS)
def test_a_packed_state_holds_every_format_to_the_byte(form: str, tmp_path: Path) -> None:
    net, x = perceptron(), inputs()
    loaded = packed_and_loaded(plan_of(net, form), net, perceptron(9), tmp_path / "p.safetensors")
    assert difference(loaded(x), quantize(net, form)(x)) < 1e-5
    assert difference(loaded(x), net(x)) > 1e-4


@needs("gguf")
@pytest.mark.parametrize("form", BLOCKS)
def test_a_packed_state_holds_blocks_of_gguf(form: str, tmp_path: Path) -> None:
    net, x = perceptron(), inputs()
    loaded = packed_and_loaded(plan_of(net, form), net, perceptron(9), tmp_path / "p.safetensors")
    assert torch.equal(loaded(x), quantize(net, form)(x))


@pytest.mark.parametrize("form", ["int3", "int4-g32", "int4-asym-g64", "mxfp4"])
def test_convolutions_with_ragged_groups_and_corrected_statistics(form: str, tmp_path: Path) -> None:
    net, data = tiny().eval(), images()
    small = quantize(net, form, data=data)
    plan = plan_of(net, form, data)
    loaded = packed_and_loaded(plan, small, tiny(7).eval(), tmp_path / "p.safetensors")
    assert difference(loaded(data[0][0]), small(data[0][0])) < 1e-5


def test_ranges_of_inputs_are_kept(tmp_path: Path) -> None:
    net, x = perceptron(), inputs()
    plan = plan_of(net, {"stem": "int4+a8", "body.0": "int4+a4", "body.1": "int8", "head": "int8-asym+a8"})
    small = quantize(net, plan, data=x)
    loaded = packed_and_loaded(plan, small, perceptron(9), tmp_path / "p.safetensors")
    assert difference(loaded(x), small(x)) < 0.02
    assert difference(state_dict.load_into(perceptron(9), tmp_path / "p.safetensors")(x), loaded(x)) == 0


def test_a_tied_weight_is_stored_once(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(50, 32)
            self.mix = nn.Linear(32, 32)
            self.head = nn.Linear(32, 50, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.head(self.mix(self.embed(tokens)))

    torch.manual_seed(0)
    net, other, tokens = Tied().eval(), Tied().eval(), torch.randint(0, 50, (4, 6))
    plan = plan_of(net, "int4", tokens)
    loaded = packed_and_loaded(plan, net, other, tmp_path / "p.safetensors")
    assert "head.weight" not in load_file(tmp_path / "p.safetensors")
    assert difference(loaded(tokens), quantize(net, "int4")(tokens)) < 1e-5


def test_a_bfloat16_model(tmp_path: Path) -> None:
    net, x = perceptron().bfloat16(), inputs().bfloat16()
    loaded = packed_and_loaded(
        plan_of(net, "int6", x), net, perceptron(9).bfloat16(), tmp_path / "p.safetensors"
    )
    assert difference(loaded(x).float(), quantize(net, "int6")(x).float()) < 0.02


@pytest.mark.parametrize("edit", ["version", "kind", "cut"])
def test_a_packed_state_that_cannot_be_read(edit: str, tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    if edit == "cut":
        path.write_bytes(b"\x10\x00")
    else:
        header = {"kind": "packed", "version": 2} if edit == "version" else {"kind": "table", "version": 1}
        save_file({"x": torch.zeros(1)}, path, {"tap": json.dumps(header)})
    with pytest.raises(ExportError):
        state_dict.load(path)


@needs("torchao")
def test_torchao_reads_the_config_and_rounds_the_same() -> None:
    """Formats by largest magnitude: torchao's own rounding, equal but for the ties at half a step (2 %)."""
    from torchao.core.config import config_from_dict
    from torchao.quantization import quantize_

    net, x = perceptron(), inputs()
    choices = {
        "stem": "int4-g32-absmax",
        "body.0": "int8-absmax",
        "body.1": "int3-g64-absmax",
        "head": "int6-absmax",
    }
    plan = plan_of(net, choices)
    text = json.dumps(json.loads(_config(plan)), sort_keys=True)
    tree = json.loads(text)["quantization_config"]["quant_type"]["default"]
    theirs = perceptron()
    quantize_(theirs, config_from_dict(tree), filter_fn=None)
    bits = {name: str(theirs.get_submodule(name).weight.target_dtype) for name in choices}
    assert bits == {
        "stem": "torch.int4",
        "body.0": "torch.int8",
        "body.1": "torch.int3",
        "head": "torch.int6",
    }
    ours = quantize(net, plan)
    for name in choices:
        weight, other = theirs.get_submodule(name).weight, ours.get_submodule(name).weight.detach()
        off = (weight.dequantize() - other).abs()
        assert off.max() <= 1.01 * weight.scale.float().max()
        assert (off > 1e-6).float().mean() < 0.02
    assert difference(theirs(x), ours(x)) < 0.05


def _config(plan: Any) -> str:
    import tempfile

    folder = Path(tempfile.mkdtemp()) / "out"
    tap.export(plan, "torchao", folder)
    return (folder / "config.json").read_text()


@needs("torchao")
def test_torchao_runs_the_written_code(tmp_path: Path) -> None:
    net, x = perceptron(), inputs()
    plan = plan_of(net, {"stem": "int4-asym-g32-absmax", "head": "int8-asym-absmax"})
    tap.export(plan, "torchao", tmp_path / "out")
    space: dict[str, Any] = {}
    exec((tmp_path / "out" / "quantize_model.py").read_text(), space)
    theirs = space["quantize"](perceptron())
    assert type(theirs.body[0].weight) is nn.Parameter
    assert difference(theirs(x), quantize(net, plan)(x)) < 0.02


@needs("torchao")
def test_torchao_loads_the_weights_of_the_plan(tmp_path: Path) -> None:
    net, x = perceptron(), inputs()
    plan = plan_of(
        net, {"stem": "int4-g32", "body.0": "int3-asym", "body.1": "int2", "head": "int8-asym-g64"}
    )
    done = tap.export(plan, "torchao", tmp_path / "out", model=net)
    assert done.units == done.predicted
    loaded = torchao.load_into(perceptron(9), tmp_path / "out")
    assert type(loaded.stem.weight).__name__ == "IntxUnpackedToInt8Tensor"
    assert difference(loaded(x), quantize(net, plan)(x)) < 1e-6


# Bad input: a named error, and nothing left behind.


def test_a_format_that_the_target_does_not_hold(tmp_path: Path) -> None:
    plan = plan_of(perceptron(), "fp8-e4m3")
    with pytest.raises(ExportError, match=r"torchao cannot hold 4 of 4 units: 'stem' in fp8-e4m3"):
        tap.export(plan, "torchao", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_rows_that_are_not_divisible_by_the_group(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(100, 8)).eval()
    plan = plan_of(net, "int4-g32", torch.randn(2, 100))
    with pytest.raises(ExportError, match=r"'0' in int4-g32: rows of 100 weights .* group of 32"):
        tap.export(plan, "torchao", tmp_path / "out", model=net)
    assert not list(tmp_path.iterdir())


def test_layers_that_the_model_does_not_have(tmp_path: Path) -> None:
    plan = plan_of(perceptron(), "int4")
    renamed = replace(plan, units=(replace(plan.units[0], name="stme"), *plan.units[1:]))
    with pytest.raises(PlanError, match="no layer 'stme'") as error:
        tap.export(renamed, "state-dict", tmp_path / "p", model=perceptron())
    assert "stem" in str(error.value.hint)
    with pytest.raises(PlanError, match="the plan is for the model"):
        tap.export(plan, "state-dict", tmp_path / "p", model=perceptron(3))
    assert not list(tmp_path.iterdir())


def test_a_model_is_needed_for_weights(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="needs the model"):
        tap.export(plan_of(perceptron(), "int4"), "state-dict", tmp_path / "p")
    with pytest.raises(ExportError, match="not a torch"):
        tap.export(plan_of(perceptron(), "int4"), "state-dict", tmp_path / "p", model="resnet")


@pytest.mark.parametrize("target", ["state-dict", "torchao"])
def test_what_is_there_is_not_overwritten(target: str, tmp_path: Path) -> None:
    net, path = perceptron(), tmp_path / "out"
    plan = plan_of(net, "int4")
    path.mkdir()
    (path / "precious").write_text("kept")
    with pytest.raises(ExportError, match="is there already"):
        tap.export(plan, target, path, model=net)
    assert (path / "precious").read_text() == "kept"
    tap.export(plan, target, path, model=net, overwrite=True)
    assert not (path / "precious").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


@contextmanager
def files_up_to(limit: int) -> Iterator[None]:
    """Writes beyond `limit` bytes of a file fail, as they do on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("target", list(TARGETS))
def test_a_full_disk_leaves_nothing(target: str, tmp_path: Path) -> None:
    plan, options = plan_for(target)
    with files_up_to(100), pytest.raises(ExportError, match="the disk is full"):
        tap.export(plan, target, tmp_path / "out", **options)
    assert not list(tmp_path.iterdir())


def plan_for(target: str) -> tuple[Any, dict[str, Any]]:
    """A plan that a target holds, and what its writer needs."""
    for module in find(target).needs:
        pytest.importorskip(module)
    if target == "llama-cpp":
        pytest.importorskip("transformers")
        net = llama(hidden_size=256)
        return llama_plan(net, "int4", "int4"), {"model": net}
    if target == "matmul-nbits":
        net = nn.Sequential(nn.Linear(128, 128, bias=False)).eval()
        return plan_of(net, "int4-g32", inputs()), {"model": net, "data": inputs().reshape(4, 4, 128)}
    net = perceptron()
    form = next(
        name for name in ("int4", "int4-g64", "gguf-q4_0") if not find(target).refusal(A_UNIT, parse(name))
    )
    return plan_of(net, form), {"model": net, **({"data": inputs()} if find(target).traced else {})}


def test_a_plan_of_a_newer_version(tmp_path: Path) -> None:
    plan_of(perceptron(), "int4").save(tmp_path / "plan.json")
    text = (tmp_path / "plan.json").read_text()
    (tmp_path / "plan.json").write_text(text.replace('"version": 1', '"version": 2'))
    with pytest.raises(PlanError, match="version 2"):
        tap.export(tmp_path / "plan.json", "torchao", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unknown_targets_options_and_folders(tmp_path: Path) -> None:
    net = perceptron()
    plan = plan_of(net, "int4")
    with pytest.raises(ExportError, match="no target 'torcha'") as error:
        tap.export(plan, "torcha", tmp_path / "out")
    assert "torchao" in str(error.value.hint)
    with pytest.raises(ExportError, match="colour"):
        tap.export(plan, "torchao", tmp_path / "out", colour="red")
    with pytest.raises(ExportError, match="does not exist"):
        tap.export(plan, "torchao", tmp_path / "no" / "out")
    assert not list(tmp_path.iterdir())


def test_the_model_is_as_it_was(tmp_path: Path) -> None:
    net = perceptron()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    tap.export(plan_of(net, "int4"), "state-dict", tmp_path / "p", model=net)
    assert _undo_of(net) is None
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["collect", "tap.demo:model", "-d", "tap.demo:calibration", "-n", "16", "--for", "modelopt",
                "-o", str(tmp_path / "t.safetensors"), "-q"]) == 0  # fmt: skip
    plan, out = str(tmp_path / "plan.json"), str(tmp_path / "packed.safetensors")
    assert run(["allocate", "-t", str(tmp_path / "t.safetensors"), "-b", "4bits", "-o", plan, "-q"]) == 0
    arguments = [
        "export",
        plan,
        "--target",
        "state-dict",
        "--model",
        "tap.demo:model",
        "-o",
        out,
        "--json",
        "-q",
    ]
    assert run(arguments) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["bytes"] == Path(out).stat().st_size
    assert sum(done["units"].values()) == sum(
        unit["bytes"] for unit in json.loads(Path(plan).read_text())["units"]
    )
    assert run(arguments) == 2
    assert "is there already" in capsys.readouterr().err
    assert run(["targets", "--json"]) == 0
    assert [row["target"] for row in json.loads(capsys.readouterr().out)] == list(TARGETS)
    assert run([*arguments[:-2], "--overwrite", "--set", "nonsense", "-q"]) == 2
