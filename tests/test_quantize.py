"""Quantized models: really on their grids, trainable, lifted where it helps, and undone bit for bit."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import tap
from nets import DATA, example, images, needs_data, state, tiny, unchanged
from tap.errors import DataError, ModelError, PlanError
from tap.finetune import finetune
from tap.formats import parse, parse_all
from tap.quantize import QuantizedWeights, quantize, restore
from tap.quantize.compensate import DAMPING, Compensation, compensations, patches
from tap.quantize.lifts import BatchNorms
from tap.quantize.weights import find_grid
from tap.stats.batches import Batches
from tap.stats.layers import find_layers
from tap.truth.losses import Judge


def test_weights_are_those_of_the_formats() -> None:
    net = tiny()
    before = state(net)
    small = quantize(net, {"stem": "int3", "fc": "nvfp4"})
    assert torch.allclose(small.stem.weight, parse("int3").quantize(net.stem.weight))
    assert torch.allclose(small.fc.weight, parse("nvfp4").quantize(net.fc.weight))
    assert torch.equal(small.blocks[0].conv1.weight, net.blocks[0].conv1.weight)
    assert unchanged(net, before)


@pytest.mark.parametrize("inplace", [False, True])
def test_undo_is_bit_for_bit_even_after_training(inplace: bool) -> None:
    net = tiny()
    before = state(net)
    small = quantize(net, "int2+a8", data=images(), inplace=inplace)
    assert (small is net) == inplace
    finetune(small, tiny(), images(), epochs=1, lr=0.01, progress=False)
    assert any(not torch.equal(a, b) for a, b in zip(small.parameters(), tiny().parameters(), strict=True))
    back = restore(small)
    now = back.state_dict()
    assert now.keys() == before.keys()
    names = [name for name in before if name.endswith("weight") and before[name].ndim > 1]
    assert all(torch.equal(now[name], before[name]) for name in names)
    assert all(torch.equal(now[name], before[name]) for name in before if "running" in name)
    assert all(not module._forward_pre_hooks for module in back.modules())
    with pytest.raises(ModelError, match="already"):
        quantize(quantize(net, "int4"), "int4")


def test_a_failure_leaves_the_model_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    net = tiny()
    before = state(net)

    def interrupted(self: BatchNorms, *_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(BatchNorms, "correction", interrupted)
    with pytest.raises(KeyboardInterrupt):
        quantize(net, "int4+a8", data=images(), inplace=True)
    assert unchanged(net, before)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_swapped_weights_return_whatever_happens(stop: type[BaseException]) -> None:
    net, data = tiny(), images()
    before = state(net)
    weights = QuantizedWeights(net, find_layers(net, data).units, parse_all(["int2", "int4"]))
    with pytest.raises(stop), weights.swapped({0: 0, 3: 1}):
        assert not torch.equal(net.stem.weight, before["stem.weight"])
        raise stop
    assert unchanged(net, before)


def test_gradients_go_straight_through() -> None:
    net = quantize(tiny(), "int4")
    net(images()[0][0]).sum().backward()
    original = net.stem.parametrizations.weight.original
    assert original.grad is not None
    assert float(original.grad.abs().sum()) > 0
    twin = copy.deepcopy(net)
    assert torch.equal(twin.stem.weight, net.stem.weight)


def test_finetuning_lowers_the_loss() -> None:
    net, data = tiny(), images(64, 16)
    losses = finetune(quantize(net, "int2"), net, data, epochs=6, lr=3e-3, hard=0.1, progress=False)
    assert losses[-1] < losses[0]
    with pytest.raises(DataError, match="needs labels"):
        finetune(quantize(net, "int2"), net, data[0][0], hard=1.0, progress=False)


def test_patches_are_what_the_layer_multiplies_with() -> None:
    torch.manual_seed(0)
    for layer, x in (
        (nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, bias=False), torch.randn(2, 4, 9, 9)),
        (nn.Conv2d(4, 4, 3, padding="same", groups=4, dilation=2, bias=False), torch.randn(2, 4, 9, 9)),
        (nn.Conv1d(4, 6, 3, padding=2, padding_mode="circular", bias=False), torch.randn(2, 4, 9)),
        (nn.Linear(5, 3, bias=False), torch.randn(2, 7, 5)),
    ):
        unit = find_layers(nn.Sequential(layer), x).units[0]
        rows = patches(layer, x, unit)
        weight = layer.weight.detach().reshape(unit.groups, unit.out // unit.groups, -1)
        mine = (rows @ weight.transpose(1, 2)).square().sum()
        assert torch.allclose(mine, layer(x).square().sum(), rtol=1e-4)


@pytest.mark.parametrize("name", ["int2", "int4", "int3-asym", "int4-g32", "int4-tensor"])
def test_compensation_lowers_the_output_error(name: str) -> None:
    torch.manual_seed(0)
    layer, mix = nn.Linear(96, 16), torch.randn(96, 96) / 10
    x = torch.randn(400, 96) @ mix + torch.randn(96)
    layers = find_layers(nn.Sequential(layer), x)
    compensation = compensations(nn.Sequential(layer), layers, Batches(x), [0])[0]
    moments = x.T @ x / 400
    damped = moments + DAMPING * moments.diagonal().mean() * torch.eye(96)
    unit = layers.units[0]
    grid = find_grid(parse(name), unit, layer.weight)
    assert grid is not None
    back, found = compensation.round(grid, unit, layer.weight)
    assert torch.allclose(grid.snap(back.clone()), back, atol=1e-6)
    plain, before = compensation.round(grid, unit, layer.weight, nearest=True)
    assert torch.equal(plain, parse(name).quantize(layer.weight.detach()))
    assert found < 0.8 * before
    change = back - layer.weight.detach()
    assert found == pytest.approx(float(((change @ damped) * change).sum()), rel=1e-3)
    inputs = [float((x @ (one - layer.weight.detach()).T).square().sum()) for one in (back, plain)]
    assert inputs[0] < 0.8 * inputs[1]


@pytest.mark.parametrize("size", [1, 7, 600])
def test_the_factor_of_the_moments_is_that_of_their_inverse(size: int) -> None:
    x = torch.randn(size + 5, size, generator=torch.Generator().manual_seed(size))
    moments = x.T @ x / len(x)
    upper = Compensation(moments[None].clone()).upper[0].double()
    damped = moments.double() + DAMPING * moments.double().diagonal().mean() * torch.eye(size)
    assert torch.equal(upper, upper.triu())
    torch.testing.assert_close(upper.T @ upper @ damped, torch.eye(size).double(), atol=2e-4, rtol=0)


def test_an_input_that_is_always_zero_can_be_compensated() -> None:
    assert torch.equal(Compensation(torch.zeros(1, 3, 3)).upper[0], torch.eye(3))


def test_norm_correction_leaves_full_precision_alone() -> None:
    net, data = tiny().eval(), Batches(images())
    norms = BatchNorms(net, data)
    full = norms.full_correction()
    for module, (mean, var) in zip(norms.modules, full, strict=True):
        assert torch.allclose(mean, module.running_mean, atol=1e-5)  # type: ignore[arg-type]
        assert torch.allclose(var, module.running_var, rtol=1e-4)  # type: ignore[arg-type]
    with torch.no_grad():
        net.blocks[0].conv2.weight.mul_(3)
    correction = norms.correction()
    assert correction.strength > 0
    assert correction.loss < correction.plain


def test_plans_and_mistakes() -> None:
    net = tiny()
    with pytest.raises(PlanError, match="'nowhere'"):
        quantize(net, {"nowhere": "int4"})
    with pytest.raises(PlanError, match="names no formats"):
        quantize(net, 4)
    with pytest.raises(DataError, match="calibrate"):
        quantize(net, "int4+a8")

    class Chosen:
        choices = {"stem": "int4"}  # noqa: RUF012

    assert torch.allclose(quantize(net, Chosen()).stem.weight, parse("int4").quantize(net.stem.weight))
    assert callable(tap.quantize)


def test_attention_and_tied_weights() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(11, 8)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.head = nn.Linear(8, 11, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, tokens: Tensor) -> Tensor:
            x = self.embed(tokens)
            return self.head(x + self.attention(x, x, x, need_weights=False)[0])

    torch.manual_seed(0)
    net, tokens = Net().eval(), torch.randint(0, 11, (4, 6))
    small = quantize(net, "int8", data=tokens)
    assert torch.equal(small.head.weight, small.embed.weight)
    assert float((small(tokens) - net(tokens)).detach().abs().max()) < 0.1
    back = restore(small)
    assert back.head.weight is back.embed.weight
    assert torch.equal(back(tokens), net(tokens))


@needs_data
def test_three_bits_of_a_real_network() -> None:
    cifar = example("cifar10")
    net = cifar.resnet20(DATA)
    evaluation = Batches(cifar.evaluation(DATA, samples=500))
    small = quantize(net, "int3", data=cifar.calibration(DATA, samples=128)).eval()
    judge = Judge(small, evaluation)
    right = sum(float(judge.judge(i, judge.run(i)).correct.sum()) for i in range(len(judge.batches)))
    assert right / 500 > 0.86


@pytest.mark.parametrize("compensate", [False, True])
def test_corrected_biases_keep_the_mean_of_each_output(compensate: bool) -> None:
    torch.manual_seed(11)
    net = nn.Sequential(
        nn.Conv2d(4, 6, 3, padding=1, groups=2), nn.ReLU(), nn.Conv2d(6, 5, 1), nn.Flatten(), nn.Linear(80, 3)
    )
    x, before = torch.rand(40, 4, 4, 4), {name: one.clone() for name, one in net.named_parameters()}

    def mean_errors(**options: bool) -> list[float]:
        small = tap.quantize(net, "int2", data=x, compensate=compensate, **options)
        seen: dict[str, list[torch.Tensor]] = {}
        for name in ("0", "2", "4"):
            module = net.get_submodule(name)
            module.register_forward_hook(lambda _, args, z, name=name: seen.update({name: [args[0], z]}))
        with torch.no_grad():
            net(x)
            errors = [small.get_submodule(name)(x) - z for name, (x, z) in seen.items()]
        assert all(torch.equal(one, before[name]) for name, one in tap.restore(small).named_parameters())
        return [float(error.transpose(0, 1).flatten(1).mean(1).abs().max()) for error in errors]

    assert min(mean_errors()) > 1e-3
    assert max(mean_errors(correct_biases=True)) < 1e-5
