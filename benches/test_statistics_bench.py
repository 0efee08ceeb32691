"""Collecting statistics against plain passes, and measuring with kept prefixes against whole passes.

Each side runs in a process of its own, so that its peak memory is its own: `python
benches/test_statistics_bench.py collect resnet18` prints one line of JSON; without arguments all are printed.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import tap
from tap.stats.inputs import CHEAP

FORMATS = ["int2", "int4", "int8"]
DATA = os.environ.get("TAP_DATA", "")


class Block(nn.Module):
    """Two 3x3 convolutions with batch norms and a projection where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.downsample.append(nn.Conv2d(inputs, outputs, 1, stride, bias=False))
            self.downsample.append(nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.downsample(x))


def resnet18() -> tuple[nn.Module, list[Any]]:
    """The shape of ResNet-18 with random weights, and 512 images of 64 x 64."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
    ]  # fmt: skip
    widths = [(64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1)]
    layers += [Block(*shape) for shape in [*widths, (256, 512, 2), (512, 512, 1)]]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))
    return net.eval(), [(torch.randn(64, 3, 64, 64), torch.randint(0, 1000, (64,))) for _ in range(8)]


def decoder() -> tuple[nn.Module, list[Any]]:
    """A Llama of 98 M parameters with random weights, and 96 sequences of 32 tokens."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=8192, hidden_size=768, intermediate_size=2048, num_hidden_layers=12,
        num_attention_heads=12, num_key_value_heads=12,
    )  # fmt: skip
    batches = [torch.randint(0, 8192, (16, 32)) for _ in range(6)]
    return LlamaForCausalLM(config).eval(), [{"input_ids": ids, "labels": ids} for ids in batches]


def resnet20() -> tuple[nn.Module, list[Any]]:
    """The real ResNet-20 and 200 images."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))
    import cifar10

    return cifar10.resnet20(DATA), cifar10.calibration(DATA, samples=200)


def plain(model: nn.Module, batches: list[Any]) -> None:
    """One forward and backward pass over the batches."""
    for batch in batches:
        if isinstance(batch, dict):
            loss = model(**batch).loss
        else:
            loss = functional.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        model.zero_grad()


def collect(model: nn.Module, batches: list[Any]) -> None:
    """Every input but those that differentiate twice."""
    tap.collect(model, batches, formats=FORMATS, inputs=CHEAP, progress=False)


def kept(model: nn.Module, batches: list[Any]) -> None:
    """Sensitivity in five formats; only the part after the changed unit runs."""
    tap.measure(model, batches, progress=False)


def whole(model: nn.Module, batches: list[Any]) -> None:
    """The same, and the whole network runs each time."""
    tap.measure(model, batches, cache_bytes=0, progress=False)


NETS: dict[str, Callable[[], tuple[nn.Module, list[Any]]]] = {
    "resnet18": resnet18, "decoder": decoder, "resnet20": resnet20,
}  # fmt: skip
WORK = {"plain": plain, "collect": collect, "kept": kept, "whole": whole}


def run(work: str, net: str) -> dict[str, float]:
    """Seconds, CPU seconds, and peak memory in MB of one piece of work in this process, warmed up before."""
    torch.manual_seed(0)
    model, batches = NETS[net]()
    if work in ("plain", "collect"):
        plain(model, batches[:1])
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started, cpu = time.perf_counter(), time.process_time()
    WORK[work](model, batches)
    return {
        "seconds": time.perf_counter() - started,
        "cpu": time.process_time() - cpu,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "before": loaded,
    }


def apart(work: str, net: str) -> dict[str, float]:
    """`run` in a fresh process."""
    command = [sys.executable, __file__, work, net]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("net", ["resnet18", "decoder"])
def test_collect_against_plain_passes(benchmark, net: str) -> None:
    base = apart("plain", net)
    found = benchmark.pedantic(apart, args=("collect", net), rounds=1)
    benchmark.extra_info.update(
        time=found["seconds"] / base["seconds"], memory=found["megabytes"] / base["megabytes"]
    )
    assert found["cpu"] <= 2.5 * base["cpu"]
    assert found["megabytes"] <= 1.3 * base["megabytes"]


@pytest.mark.skipif(not DATA, reason="TAP_DATA does not name the folder of weights and images")
def test_kept_prefixes_against_whole_passes(benchmark) -> None:
    base = apart("whole", "resnet20")
    found = benchmark.pedantic(apart, args=("kept", "resnet20"), rounds=1)
    benchmark.extra_info.update(time=found["seconds"] / base["seconds"])
    assert found["cpu"] <= 0.6 * base["cpu"]


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(run(*sys.argv[1:])))
    else:
        for one in ("plain", "collect"):
            for net in ("resnet18", "decoder"):
                print(one, net, apart(one, net), flush=True)
        for one in ("whole", "kept"):
            print(one, "resnet20", apart(one, "resnet20"), flush=True)
