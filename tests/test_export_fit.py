"""A target before solving: only what it holds is chosen, what it fuses is tied, its bytes are counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import tap
from export_world import inputs, llama, needs, perceptron, tokens
from tap import proxies
from tap.cli.app import run
from tap.errors import ExportError, InfeasibleError
from tap.export.fit import for_target
from tap.pipeline import make_plan
from tap.plan import Plan

FORMATS = ["int2", "int3-g32", "int4-g32", "int8", "fp8-e5m2"]


@pytest.fixture(scope="module")
def net() -> nn.Module:
    pytest.importorskip("transformers")
    return llama(torch.bfloat16)


@pytest.fixture(scope="module")
def table(net: nn.Module) -> tap.LayerTable:
    batch = {"input_ids": tokens()}
    exclude = ["lm_head", "*embed*"]
    return tap.collect(
        net, [batch], formats=FORMATS, exclude=exclude, for_proxies=["sqnr"], progress=False, sample=None
    )


@needs("compressed_tensors", "transformers")
@pytest.mark.parametrize("budget", ["5bits", "6bits", "7bits"])
def test_the_plan_for_a_server_is_exported_at_the_size_it_says(
    budget: str, net: nn.Module, table: tap.LayerTable, tmp_path: Path
) -> None:
    plan = make_plan(table, proxies.load("sqnr"), [budget], target="vllm")
    assert set(plan.choices.values()) <= {"int4-g32", "int8"}
    for layer in range(2):
        names = [f"model.layers.{layer}.self_attn.{part}_proj" for part in "qkv"]
        assert len({plan.choices[name] for name in names}) == 1
    assert plan.bytes <= plan.budgets["bytes"]
    done = tap.export(plan, "vllm", tmp_path / "out", model=net)
    assert sum(done.units.values()) == plan.bytes
    assert plan.provenance["target"] == "vllm"


def test_an_old_plan_is_solved_for_a_target_without_the_model(table: tap.LayerTable, tmp_path: Path) -> None:
    free = make_plan(table, proxies.load("sqnr"), ["5bits"])
    assert set(free.choices.values()) - {"int4-g32", "int8"}
    free.save(tmp_path / "plan.json")
    out = tmp_path / "vllm.json"
    arguments = ["allocate", "--plan", str(tmp_path / "plan.json"), "--target", "vllm", "-b", "5bits"]
    assert run([*arguments, "-o", str(out), "-q"]) == 0
    again = Plan.load(out)
    assert again.choices == make_plan(table, proxies.load("sqnr"), ["5bits"], target="vllm").choices
    assert for_target(free, "vllm").resolve().choices == again.choices
    assert run([*arguments[:-1], "2bits", "-o", str(tmp_path / "no.json"), "-q"]) == 2
    assert not (tmp_path / "no.json").exists()


def test_a_table_is_allocated_for_a_target(
    table: tap.LayerTable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table.save(tmp_path / "t.safetensors")
    arguments = ["allocate", "-t", str(tmp_path / "t.safetensors"), "-p", "sqnr", "-b", "6bits", "-T", "vllm"]
    assert run([*arguments, "--json", "-q"]) == 0
    choices = json.loads(capsys.readouterr().out)["choices"]
    assert set(choices.values()) <= {"int4-g32", "int8"}


def test_a_unit_that_fits_nowhere_is_named() -> None:
    net = perceptron()
    table = tap.collect(net, inputs(), formats=["int2", "fp8-e5m2"], for_proxies=["sqnr"], progress=False)
    with pytest.raises(ExportError, match="vllm cannot hold 'stem' in any of the formats") as error:
        make_plan(table, proxies.load("sqnr"), ["4bits"], target="vllm")
    assert "--exclude" in str(error.value.hint)
    with pytest.raises(InfeasibleError):
        make_plan(table, proxies.load("sqnr"), ["1bits"])
