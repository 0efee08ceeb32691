"""The layer table against one backward pass a sample, closed forms, finite differences and torch.func."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tap
from oracles.statistics import reference
from tap.stats.collect import collect
from tap.stats.curvature import hutchinson
from tap.stats.inputs import AXES, CHEAP, PASSES
from tap.stats.layers import discover
from tap.stats.table import LayerTable

FORMATS = ["int2", "int4-g32"]


class Net(nn.Module):
    """Plain, depthwise, grouped and strided convolutions, in-place activations, a long and a short head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding="same", groups=8, padding_mode="reflect")
        self.grouped = nn.Conv2d(8, 12, 3, stride=2, groups=2, dilation=2, padding=1)
        self.narrow = nn.Conv2d(12, 8, 2)
        self.head = nn.Linear(8, 5)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu_(self.norm(self.stem(x)))
        x = torch.relu_(self.depthwise(x))
        x = self.narrow(torch.relu_(self.grouped(x)))
        return self.head(x.mean((2, 3)))


class Tokens(nn.Module):
    """Linear layers over a sequence, samples on the second axis inside."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(6, 10)
        self.b = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(self.a(x.transpose(0, 1)))).mean(0)


class Signal(nn.Module):
    """Convolutions of one and of three dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv1d(3, 6, 3, stride=2, padding=2, groups=3)
        self.three = nn.Conv3d(1, 4, (1, 2, 3), padding=(0, 1, 1), stride=(1, 1, 2), dilation=(1, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x).view(len(x), 1, 2, 3, -1)
        return self.three(x).flatten(2).amax(2)


CASES = {
    "net": (Net, (3, 9, 9)),
    "tokens": (Tokens, (3, 6)),
    "long tokens": (Tokens, (12, 6)),
    "signal": (Signal, (3, 11)),
}


def closely(found: np.ndarray, expected: object, name: str, rtol: float = 2e-4) -> None:
    values = expected.detach().numpy() if isinstance(expected, Tensor) else np.asarray(expected)
    scale = np.abs(values).max() + 1e-12
    np.testing.assert_allclose(found, values, rtol=rtol, atol=rtol * scale, err_msg=name)


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_every_first_order_input_equals_one_backward_pass_a_sample(case: str, labelled: bool) -> None:
    torch.manual_seed(1)
    make, shape = CASES[case]
    model = make().eval()
    x, y = torch.randn(19, *shape), torch.randint(0, 4, (19,))
    batches = [(x[:16], y[:16]), (x[16:], y[16:])] if labelled else [x[:16], x[16:]]
    table = collect(model, batches, formats=FORMATS, sample=None, inputs=CHEAP, progress=False)
    expected = reference(model, table.units, x, y if labelled else None, FORMATS)
    assert set(expected) <= set(table.columns) | set(table.samples)
    for name, values in expected.items():
        for unit in range(len(table.units)):
            found = table.columns[name][unit] if name in table.columns else table.samples[name].values[unit]
            closely(found, values[unit], f"{name} of {table.units[unit].name}")


def test_moments_of_inputs_and_outputs() -> None:
    torch.manual_seed(2)
    model = Net().eval()
    x = torch.randn(7, 3, 9, 9)
    table = collect(model, [x[:4], x[4:]], formats=["int4"], sample=None, inputs=CHEAP, progress=False)
    seen = {}
    for unit in table.units:
        model.get_submodule(unit.name).register_forward_hook(
            lambda m, a, z, name=unit.name: seen.__setitem__(
                name, (a[0].detach().clone(), z.detach().clone())
            )
        )
    model(x)
    for index, unit in enumerate(table.units):
        inputs, z = seen[unit.name]
        other = [d for d in range(z.ndim) if d != 1]
        flat = inputs.double().movedim(1, 0).reshape(unit.groups, unit.inp, -1)
        mean, square = flat.mean((0, 2)), flat.square().mean((0, 2))
        for name, value in {
            "x_mean": mean, "x_sq": square, "x_var": square - mean**2, "x_absmax": flat.abs().amax((0, 2)),
            "z_mean": z.mean(other), "z_var": z.var(other, correction=0),
        }.items():  # fmt: skip
            closely(table.samples[name].values[index], value, name)
        closely(table.columns["act_mean"][index], inputs.mean(), "act_mean")
        closely(table.columns["act_absmax"][index], inputs.abs().max(), "act_absmax")
        closely(table.columns["z_std"][index], z.std(correction=0), "z_std")


def test_inputs_that_are_views_are_rounded_too() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(6, 4)

        def forward(self, x: Tensor) -> Tensor:
            return torch.as_tensor(self.head(x.transpose(1, 2))).mean(1)

    torch.manual_seed(4)
    model, x = Turned().eval(), torch.randn(5, 6, 7)
    options = {"formats": ["int4+a4"], "inputs": ["act_noise", "gx_noise"], "progress": False}
    found = collect(model, x, **options).columns["act_noise"][0, 0]
    scale = float(x.max() - x.min()) / 15
    zero = round(-float(x.min()) / scale)
    rounded = ((x / scale).round().clamp(-zero, 15 - zero)) * scale
    closely(np.array(found), (rounded - x).double().square().sum() / 5, "act_noise")


def test_similarity_is_linear_cka() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 7), nn.Tanh(), nn.Linear(7, 3))
    x = torch.randn(10, 5)
    table = collect(model, [x], formats=["int4"], inputs=["cka_sum"], progress=False)
    outputs = [model[:1](x), model[:3](x), model(x)]
    kernels = []
    for z in outputs:
        z = (z - z.mean(0)).detach().double()
        kernels.append(z @ z.T)
    cka = torch.tensor([[float((a * b).sum() / a.norm() / b.norm()) for a in kernels] for b in kernels])
    closely(table.columns["cka_sum"], cka.sum(1) - 1, "cka_sum", rtol=1e-5)


def linear_regression() -> tuple[nn.Module, Tensor, Tensor]:
    """y = W x with squared error: Hessian I (x) X^T X / n, known in closed form."""
    torch.manual_seed(4)
    return (
        nn.Linear(4, 3, bias=False),
        torch.randn(40, 4) * torch.tensor([1.0, 2.0, 0.5, 1.0]),
        torch.randn(40, 3),
    )


def test_linear_regression_in_closed_form() -> None:
    model, x, y = linear_regression()
    table = collect(model, [(x, y)], formats=["int3"], sample=None, progress=False, probes=200, tolerance=0.0)
    second = (x.T @ x / len(x)).double()
    hessian = torch.block_diag(second, second, second)
    residual = x @ model.weight.detach().T - y
    each = residual[:, :, None] * x[:, None, :]
    dw = torch.from_numpy(table.samples["dw"].values[0][0, :, :, 0])
    trace, stderr = table.columns["trace"][0], table.meta["trace_stderr"][0]
    assert abs(trace - float(hessian.trace())) < 4 * stderr
    closely(
        table.columns["lambda_max"], [float(torch.linalg.eigvalsh(hessian).max())], "lambda_max", rtol=5e-3
    )
    closely(table.samples["g"].values[0][:, :, 0], each.mean(0).detach(), "g")
    closely(table.samples["g2"].values[0][:, :, 0], each.square().mean(0).detach(), "g2")
    closely(table.columns["out_noise"][0], ((x @ dw.T).square().sum(1).mean()).detach()[None], "out_noise")
    flat = each.mean(0).detach().double().flatten()
    closely(table.samples["hg"].values[0].flatten(), hessian @ flat, "hg")
    diagonal = table.samples["h"].values[0].flatten()
    np.testing.assert_allclose(diagonal, hessian.diagonal(), atol=0.35)


def test_gradients_equal_finite_differences() -> None:
    torch.manual_seed(5)
    model = Net().double().eval()
    x, y = torch.randn(6, 3, 9, 9).double(), torch.randint(0, 5, (6,))
    table = collect(
        model, [(x, y)], formats=["int4"], sample=None, inputs=["g", "gdw", "plain"], progress=False
    )
    for unit, g in zip(table.units, table.samples["g"].values, strict=True):
        weight = model.get_submodule(unit.name).weight
        direction = torch.randn_like(weight)
        losses = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                weight += step * direction
                losses.append(float(nn.functional.cross_entropy(model(x), y)))
                weight -= step * direction
        slope = (losses[0] - losses[1]) / 2e-5
        along = float((torch.from_numpy(g).double().flatten() * direction.flatten()).sum())
        assert along == pytest.approx(slope, rel=1e-3, abs=1e-6)


def test_hessian_products_equal_torch_func() -> None:
    torch.manual_seed(6)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))
    x, y = torch.randn(12, 3), torch.randint(0, 3, (12,))
    options = {"formats": ["int4"], "sample": None, "progress": False}
    table = collect(model, [(x[:5], y[:5]), (x[5:], y[5:])], probes=2, iterations=200, **options)
    names = ["0.weight", "2.weight"]
    parameters = {name: model.get_parameter(name).detach() for name in names}
    shapes = [value.shape for value in parameters.values()]
    sizes = [value.numel() for value in parameters.values()]
    start = torch.cat([value.flatten() for value in parameters.values()])

    def loss(flat: Tensor) -> Tensor:
        parts = dict(
            zip(names, (p.view(s) for p, s in zip(flat.split(sizes), shapes, strict=True)), strict=True)
        )
        return nn.functional.cross_entropy(torch.func.functional_call(model, parts, (x,)), y)

    hessian = torch.func.hessian(loss)(start)
    gradient = torch.func.grad(loss)(start)
    expected = (hessian @ gradient).split(sizes)
    at = 0
    for index, size in enumerate(sizes):
        closely(table.samples["hg"].values[index].flatten(), expected[index], "hg", rtol=1e-3)
        block = hessian[at : at + size, at : at + size]
        values = torch.linalg.eigvalsh(block)
        largest = values[values.abs().argmax()]
        closely(table.columns["lambda_max"][index], largest, "lambda_max", rtol=2e-2)
        at += size


def test_probing_stops_early_and_reports_its_error() -> None:
    model, x, y = linear_regression()
    from tap.stats.batches import Batches

    def run(tolerance: float) -> object:
        generator = torch.Generator().manual_seed(0)
        data = Batches([(x, y)])
        return hutchinson(model, [model.weight], data, generator=generator, probes=64, tolerance=tolerance)

    loose, tight = run(0.2), run(0.0)
    assert 4 <= loose.probes < 64
    assert tight.probes == 64
    assert float(tight.stderr[0]) < float(loose.stderr[0])


def test_seeds_decide_the_probes() -> None:
    model, x, y = linear_regression()
    options = {"formats": ["int4"], "inputs": ["trace", "h"], "progress": False, "probes": 4}
    one, two, other = (collect(model, [(x, y)], seed=seed, **options) for seed in (1, 1, 2))
    assert one.columns["trace"] == two.columns["trace"]
    assert one.columns["trace"] != other.columns["trace"]


def test_synflow_and_virtual_gradients_by_hand() -> None:
    torch.manual_seed(7)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).eval()
    table = collect(
        model, [torch.randn(5, 3)], formats=["int4"], sample=None, inputs=["synflow", "vgrad"], progress=False
    )
    first, second = model[0].weight.detach(), model[2].weight.detach()
    ones = torch.ones(3)
    hidden = first.abs() @ ones + model[0].bias.detach().abs()
    closely(table.samples["synflow"].values[1][:, :, 0], hidden.expand(2, 4), "synflow")
    closely(table.samples["synflow"].values[0][:, :, 0], second.abs().sum(0)[:, None].expand(4, 3), "synflow")
    closely(table.samples["vgrad"].values[1][:, :, 0], model[:2](ones[None]).detach().expand(2, 4), "vgrad")


def test_the_whole_table_is_there_and_survives_the_disk(tmp_path: object) -> None:
    model = Net()
    x = torch.randn(4, 3, 9, 9)
    table = collect(model, x, formats=["int4", "int4+a8"], sample=40, probes=2, iterations=2, progress=False)
    assert set(table.columns) == {name for name, axes in AXES.items() if axes in ((), ("format",))}
    assert set(table.samples) == {name for name, axes in AXES.items() if axes not in ((), ("format",))}
    assert all(np.isfinite(column).all() for column in table.columns.values())
    assert all(np.isfinite(v).all() for sample in table.samples.values() for v in sample.values)
    path = tmp_path / "table.safetensors"  # type: ignore[operator]
    table.save(path)
    back = LayerTable.load(path)
    assert back.units == table.units
    assert back.meta == table.meta
    assert all(np.array_equal(back.columns[name], table.columns[name]) for name in table.columns)


def test_formats_that_share_weights_share_their_errors() -> None:
    torch.manual_seed(8)
    table = collect(
        Net(), torch.randn(4, 3, 9, 9), formats=["int4", "int4+a4", "int4+a8"], inputs=CHEAP, progress=False
    )
    for name in ("dw2", "out_noise", "gdw2", "fisher_dw2"):
        assert (table.columns[name] == table.columns[name][:, :1]).all()
    act = table.columns["act_noise"]
    assert (act[:, 0] == 0).all()
    assert (act[:, 1] > 50 * act[:, 2]).all()
    assert (table.columns["gx_noise"][:, 1] > table.columns["gx_noise"][:, 2]).all()


def test_blocks_are_cut_from_the_whole() -> None:
    torch.manual_seed(9)
    model, x = Net().eval(), torch.randn(4, 3, 9, 9)
    whole = collect(model, x, formats=["int4"], sample=None, inputs=CHEAP, progress=False)
    small = collect(model, x, formats=["int4"], sample=20, inputs=CHEAP, progress=False)
    for name, column in whole.columns.items():
        assert np.array_equal(column, small.columns[name]), name
    for index, unit in enumerate(small.units):
        out, inp, pos = small.blocks[index]
        assert out * inp * pos <= max(20, unit.pos)
        rows = [k * unit.out // out for k in range(out)]
        kept = [k * unit.inp // inp for k in range(inp)]
        cut = whole.samples["g2"].values[index][np.ix_(rows, kept, range(pos))]
        assert np.array_equal(cut, small.samples["g2"].values[index])


def test_noise_is_averaged_over_the_first_samples_and_all_else_over_all() -> None:
    torch.manual_seed(11)
    model, x, y = Net().eval(), torch.randn(12, 3, 9, 9), torch.randint(0, 5, (12,))
    batches = [(x[:5], y[:5]), (x[5:], y[5:])]
    options = {"formats": ["int3", "int4+a4"], "inputs": CHEAP, "progress": False}
    some = collect(model, batches, noise_samples=7, **options)
    first = collect(model, [(x[:7], y[:7])], **options)
    whole = collect(model, batches, noise_samples=None, **options)
    assert (some.meta["noise_samples"], whole.meta["noise_samples"]) == (7, 12)
    noise = {"out_noise", "gz_noise", "gdw2", "logit_dw2"}
    for name, column in some.columns.items():
        if name in ("cka_sum", "act_noise", "gx_noise"):
            assert not np.array_equal(column, whole.columns[name]), name
            continue
        # Ranges of inputs are found on all samples: the second format's errors differ.
        rows = np.s_[:, :1] if name == "gz_noise" else np.s_[:]
        closely(column[rows], (first if name in noise else whole).columns[name][rows], name)
    for name, sample in some.samples.items():
        for one, other in zip(sample.values, whole.samples[name].values, strict=True):
            closely(one, other, name)


def test_noise_under_the_gradient_is_that_of_weights_and_inputs() -> None:
    torch.manual_seed(12)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 5)).eval()
    x, y = torch.randn(12, 3, 5, 5), torch.randint(0, 5, (12,))
    formats = ["int3+a3", "int3", "int4+a4"]
    options = {"formats": formats, "inputs": ["gz_noise", "out_noise", "gdw2"], "progress": False}
    table = collect(model, (x, y), **options)
    weights = collect(model, (x, y), **{**options, "formats": ["int3", "int4"]})
    for name in ("out_noise", "gdw2"):
        closely(table.columns[name], weights.columns[name][:, [0, 0, 1]], name)
    for unit, layer in enumerate((0, 3)):
        for place, format in enumerate(formats):
            small = tap.quantize(model, {str(layer): format}, data=x, compensate=False, correct=False)
            z = model[:layer](x)
            output = model[layer](z).detach().requires_grad_()
            loss = nn.functional.cross_entropy(model[layer + 1 :](output), y, reduction="sum")
            (gz,) = torch.autograd.grad(loss, output)
            expected = float((gz * (small[layer](z) - output)).square().sum()) / len(x)
            assert table.columns["gz_noise"][unit, place] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", [key for key in PASSES if key != "shapes"])
def test_each_pass_runs_alone(name: str) -> None:
    torch.manual_seed(10)
    wanted = list(PASSES[name])
    table = collect(
        Net(), torch.randn(4, 3, 9, 9), formats=["int4+a8"], inputs=wanted, probes=2, progress=False
    )
    assert set(wanted) <= set(table.columns) | set(table.samples)
    extra = {"dw2", *PASSES["shapes"], "bits", "bytes", "act_bits"}
    assert (set(table.columns) | set(table.samples)) - extra <= set(wanted)


def test_units_are_those_of_discover() -> None:
    x = torch.randn(2, 3, 9, 9)
    model = Net()
    table = collect(model, x, formats=["int4"], inputs=["numel"], exclude=["first"], progress=False)
    assert table.units == discover(model, x, exclude=["first"])
    assert len(table.fingerprint) == 32
