"""The example networks reach the accuracy that their data's description states."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest
import torch

EXAMPLES = Path(__file__).parent.parent / "examples"
DATA = os.environ.get("TAP_DATA", "")
needs_data = pytest.mark.skipif(
    not (DATA and Path(DATA).is_dir()), reason="TAP_DATA does not name the folder of weights and images"
)


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def right(model: torch.nn.Module, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[int, int]:
    with torch.inference_mode():
        hits = [int((model(x).argmax(1) == y).sum()) for x, y in batches]
    return sum(hits), sum(len(y) for _, y in batches)


@needs_data
def test_cifar_networks_classify_test_images() -> None:
    cifar = example("cifar10")
    images = cifar.evaluation(samples=500)
    for network, least in ((cifar.resnet20, 0.89), (cifar.resnet32, 0.90)):
        hits, total = right(network(), images)
        assert total == 500
        assert hits / total > least


@needs_data
def test_mobilenet_classifies_photographs() -> None:
    pytest.importorskip("PIL")
    mobilenet = example("mobilenet")
    hits, total = right(mobilenet.mobilenet(), mobilenet.evaluation(samples=64))
    assert total == 64
    assert hits / total > 0.7


@needs_data
def test_the_folder_may_be_an_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    cifar = example("cifar10")
    monkeypatch.delenv("TAP_DATA")
    assert len(cifar.calibration(DATA, samples=10)) == 1


def test_a_missing_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAP_DATA", "/nowhere")
    with pytest.raises(FileNotFoundError, match="/nowhere"):
        example("cifar10").calibration()
