"""Sensitivity: equals the naive loop, survives being killed, and leaves the model as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nets import DATA, example, images, needs_data, state, tiny, unchanged
from tap.errors import DataError, FormatError, ModelError, TableError, TapError
from tap.formats import parse
from tap.sensitivity import Sensitivity, measure
from tap.truth.losses import Judge
from tap.truth.replay import Replay
from tap.truth.statistics import bootstrap, ceiling

FORMATS = ["int2", "int4", "int8"]


def naive(net: nn.Module, data: list[tuple[Tensor, Tensor]], formats: list[str]) -> np.ndarray:
    """The obvious loop: a full forward pass for each unit and format."""
    net.eval()
    layers = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    x = torch.cat([batch[0] for batch in data])
    values = np.zeros((len(layers), len(formats)))
    with torch.no_grad():
        p = functional.log_softmax(net(x).double(), 1)
        for row, layer in zip(values, layers, strict=True):
            original = layer.weight.detach().clone()
            for column, name in enumerate(formats):
                layer.weight.copy_(parse(name).quantize(original))
                q = functional.log_softmax(net(x).double(), 1)
                row[column] = (p.exp() * (p - q)).sum(1).mean()
                layer.weight.copy_(original)
    return values


def test_measure_equals_the_naive_loop() -> None:
    net, data = tiny(), images()
    before = state(net)
    found = measure(net, data, formats=FORMATS, progress=False)
    assert unchanged(net, before)
    assert net.training
    assert found.units[0] == "stem"
    assert np.allclose(found.values, naive(net, data, FORMATS), rtol=1e-3, atol=1e-11)
    assert np.allclose(found.halves.mean(0), found.values)
    plain = measure(net, data, formats=FORMATS, progress=False, cache_bytes=-1)
    assert np.allclose(found.values, plain.values, rtol=1e-3, atol=1e-11)
    again = measure(net, data, formats=FORMATS, progress=False)
    assert np.array_equal(found.values, again.values)
    assert np.array_equal(found.stderr, again.stderr)


def test_replays_run_only_the_rest() -> None:
    net, data = tiny().eval(), images(8)
    calls: list[str] = []
    for name, module in net.named_modules():
        module.register_forward_hook(lambda *_, name=name: calls.append(name))
    replay, x = Replay(net, 1), data[0][0]
    with replay.installed(), torch.no_grad():
        replay.advance(0, [net.blocks[1].conv2], lambda: net(x))
        expected = net(x)
        conv = net.blocks[0].conv1
        original, conv.forward = conv.forward, None  # whoever calls it fails
        try:
            assert torch.equal(replay.run(0, lambda: net(x), watch=True), expected)
            assert torch.equal(replay.run(0, lambda: net(x)), expected)
            assert torch.equal(replay.run(0, lambda: net(x)), expected), "kept outputs were overwritten"
        finally:
            conv.forward = original


def test_a_model_that_reaches_around_its_modules_is_measured_in_full() -> None:
    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Sequential(nn.Linear(6, 6), nn.Tanh())
            self.second = nn.Linear(6, 6)
            self.first.register_forward_hook(lambda _, __, out: out @ self.second.weight)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x))

    torch.manual_seed(0)
    net, x = Around(), torch.randn(16, 6)
    fast = measure(net, x, formats=["int2", "int3"], progress=False)
    slow = measure(net, x, formats=["int2", "int3"], progress=False, cache_bytes=-1)
    assert np.allclose(fast.values, slow.values, rtol=1e-4)


def test_losses_and_labels() -> None:
    net, data = tiny(), images()
    entropy = measure(net, data, formats=["int2"], loss="cross-entropy", progress=False)

    def squared(logits: Tensor, reference: Tensor, targets: Tensor | None) -> Tensor:
        return (logits - reference).square().mean(1)

    custom = measure(net, data, formats=["int2"], loss=squared, progress=False)
    assert (custom.values > 0).all()
    assert entropy.values.shape == custom.values.shape
    with pytest.raises(DataError, match="needs targets"):
        measure(net, data[0][0], formats=["int2"], loss="cross-entropy", progress=False)
    with pytest.raises(DataError, match="unknown loss"):
        measure(net, data, loss="mse", progress=False)
    with pytest.raises(ModelError, match="for 8 samples"):
        measure(net, data, loss=lambda *_: torch.zeros(1), progress=False)


def test_the_base_may_be_quantized() -> None:
    net, data = tiny(), images()
    names = measure(net, data, formats=["int8"], progress=False).units
    base = dict.fromkeys(names, "int4")
    found = measure(net, data, formats=["int2", "int4"], base=base, progress=False)
    assert np.abs(found.values[:, 1]).max() < 1e-6, "a unit that keeps its base format changes nothing"
    assert (found.values[:, 0] > 0).any()
    with pytest.raises(ModelError, match="'nowhere'"):
        measure(net, data, base={"nowhere": "int4"}, progress=False)


def test_inputs_are_rounded_too() -> None:
    net, data = tiny(), images()
    before = state(net)
    found = measure(net, data, formats=["int8", "int8+a8", "int8+a2"], progress=False)
    assert unchanged(net, before)
    assert (found.values[:, 2] > found.values[:, 1]).all()
    assert found.values[:, 1].sum() < 0.1 * found.values[:, 2].sum()


class PowerCutError(Exception):
    """Stands for whatever stops a run."""


def test_a_stopped_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net, data, path = tiny(), images(), tmp_path / "run.jsonl"
    expected = measure(net, data, formats=FORMATS, progress=False)
    before, judged, real = state(net), 0, Judge.judge

    def failing(self: Judge, *args: object) -> object:
        nonlocal judged
        judged += 1
        if judged == 40:
            raise PowerCutError
        return real(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Judge, "judge", failing)
    with pytest.raises(PowerCutError):
        measure(net, data, formats=FORMATS, progress=False, resume=path)
    assert unchanged(net, before)
    with path.open("a") as file:
        file.write('{"key": "torn')
    lines = path.read_text().count("\n")
    assert 1 < lines < 18
    judged = 1000
    found = measure(net, data, formats=FORMATS, progress=False, resume=path)
    assert np.allclose(found.values, expected.values, rtol=1e-6, atol=1e-9)
    assert judged - 1000 < 80, "finished items ran again"
    with pytest.raises(TableError, match="another measurement"):
        measure(net, data, formats=["int2"], progress=False, resume=path)
    path.write_text("garbage\n")
    with pytest.raises(TableError, match="not a journal"):
        measure(net, data, formats=["int2"], progress=False, resume=path)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_the_model_is_given_back_whatever_happens(stop: type[BaseException]) -> None:
    net, data = tiny(), images()
    before, calls = state(net), 0

    def loss(logits: Tensor, reference: Tensor, targets: Tensor | None) -> Tensor:
        nonlocal calls
        calls += 1
        if calls > 9:
            raise stop
        return (logits - reference).square().mean(1)

    with pytest.raises(stop):
        measure(net, data, formats=["int2+a4"], loss=loss, progress=False)
    assert unchanged(net, before)


def test_files_round_trip_without_torch(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    found = measure(tiny(), images(), formats=FORMATS, progress=False)
    found.save(path)
    back = Sensitivity.load(path)
    assert back.units == found.units
    assert np.array_equal(back.values, found.values)
    assert back.fingerprint == found.fingerprint
    code = f"import sys, tap; tap.Sensitivity.load({str(path)!r}); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(TableError):
        Sensitivity(("a",), ("int4",), np.zeros((2, 1)), np.zeros((1, 1)), 1.0)


def test_bad_models_are_named() -> None:
    net, data = tiny(), images()
    with torch.no_grad():
        net.blocks[0].conv1.weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(TapError, match="not finite"):
        measure(net, data, formats=["int4"], progress=False)
    with pytest.raises(DataError, match="empty"):
        measure(tiny(), [], progress=False)
    with pytest.raises(FormatError, match="unknown format"):
        measure(tiny(), data, formats=["int5x"], progress=False)
    one = nn.Sequential(nn.Linear(3, 1))
    with pytest.raises(ModelError, match="two classes"):
        measure(one, torch.randn(4, 3), progress=False)


def test_two_processes_measure_the_same() -> None:
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
    x = torch.randn(24, 6)
    here = measure(net, x, formats=FORMATS, progress=False)
    there = measure(net, x, formats=FORMATS, executor="processes:2", progress=False)
    assert np.allclose(here.values, there.values, rtol=1e-5)
    with pytest.raises(TapError, match="unknown executor"):
        measure(net, x, executor="cloud", progress=False)


def test_ray_measures_the_same() -> None:
    ray = pytest.importorskip("ray", reason="ray is not installed")
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
    x = torch.randn(24, 6)
    here = measure(net, x, formats=FORMATS, progress=False)
    try:
        there = measure(net, x, formats=FORMATS, executor="ray:2", progress=False)
    finally:
        ray.shutdown()
    assert np.allclose(here.values, there.values, rtol=1e-5)


def test_error_bars_and_ceiling() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(400, 3)) * [1, 2, 4]
    assert np.allclose(bootstrap(samples), np.array([1, 2, 4]) / 20, rtol=0.2)
    truth, noise = rng.normal(size=60), rng.normal(size=(400, 60))
    one = ceiling(truth + 10 * noise, np.zeros(60, int))
    assert 0.8 < one < 0.97  # signal variance 1, noise of the mean 100 / 400: reliability 0.8, its root 0.89
    assert np.isnan(ceiling(noise[:2], np.zeros(60, int)))


@needs_data
def test_real_network() -> None:
    cifar = example("cifar10")
    net = cifar.resnet20(DATA)
    data = cifar.calibration(DATA, samples=64)
    found = measure(net, data, formats=["int2", "int8"], progress=False, include=["layer3.*", "linear"])
    assert found.values.shape == (7, 2)
    assert (found.values[:, 0] > found.values[:, 1]).all()
