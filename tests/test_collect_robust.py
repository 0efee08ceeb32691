"""Collecting leaves no trace, whatever strikes; every kind of model is read; bad input is named."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tap.errors import DataError, FormatError, ModelError, TableError
from tap.stats.collect import collect
from tap.stats.inputs import CHEAP, passes_for


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(144, 3)
    )


X = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
QUICK: dict[str, Any] = {"formats": ["int4"], "probes": 2, "iterations": 2, "progress": False}


class Strikes(nn.Module):
    """Passes its input on until the given call, then raises, forward or backward."""

    def __init__(self, error: type[BaseException], call: int, *, backward: bool) -> None:
        super().__init__()
        self.error, self.call, self.backward, self.calls = error, call, backward, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.calls < self.call:
            return x
        if not self.backward:
            raise self.error
        if x.requires_grad:
            x = x.clone()
            x.register_hook(self._strike)
        return x

    def _strike(self, gradient: Tensor) -> None:
        raise self.error


def trace_of(model: nn.Module) -> list[object]:
    state = [(name, value.clone()) for name, value in model.state_dict().items()]
    hooks = [
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()
    ]
    flags = [(p.requires_grad, p.grad is None) for p in model.parameters()]
    return [
        state,
        hooks,
        flags,
        [m.training for m in model.modules()],
        ["forward" in m.__dict__ for m in model.modules()],
    ]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("call", [1, 3, 4, 5, 7])
def test_no_trace_after_an_error(error: type[BaseException], backward: bool, call: int) -> None:
    net = small().train()
    net[0].weight.requires_grad_(False)
    model = nn.Sequential(net, Strikes(error, call, backward=backward))
    before = trace_of(net)
    with pytest.raises(error):
        collect(model, X, **QUICK)
    after = trace_of(net)
    assert after[1:] == before[1:]
    assert all(torch.equal(a[1], b[1]) for a, b in zip(after[0], before[0], strict=True))


def test_mode_and_wrapper_do_not_matter() -> None:
    evaluated = collect(small().eval(), X, **QUICK)
    for model in (small().train(), torch.compile(small())):
        found = collect(model, X, **QUICK)
        for name, column in evaluated.columns.items():
            assert np.array_equal(found.columns[name], column), name


def test_half_precision_gives_float32_statistics() -> None:
    whole = collect(small(), X, **QUICK, inputs=CHEAP)
    half = collect(small().bfloat16(), X, **QUICK, inputs=CHEAP)
    assert all(values.dtype == np.float32 for sample in half.samples.values() for values in sample.values)
    for name in ("w_norm2", "z_std"):
        np.testing.assert_allclose(half.columns[name], whole.columns[name], rtol=0.05)
    np.testing.assert_allclose(
        half.columns["out_noise"], whole.columns["out_noise"], rtol=0.4
    )  # other scales


class Shared(nn.Module):
    """An embedding tied to the head, and one layer called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.layer, self.head = nn.Embedding(7, 4), nn.Linear(4, 4), nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(torch.tanh(self.layer(torch.tanh(self.layer(self.embed(ids))))))


class Experts(nn.Module):
    """All experts in one parameter, used one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.gate_up_proj = nn.Parameter(torch.randn(3, 5, 4))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([torch.tanh(nn.functional.linear(x, w)) for w in self.gate_up_proj]).sum(0)


@pytest.mark.parametrize(
    ("make", "x"),
    [
        (Shared, torch.randint(0, 7, (4, 3), generator=torch.Generator().manual_seed(1))),
        (lambda: nn.Sequential(Experts(), nn.Linear(5, 3)), torch.randn(4, 4)),
        (
            lambda: nn.Sequential(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), nn.Flatten()),
            torch.randn(4, 3, 4),
        ),
    ],
    ids=["tied and shared", "packed experts", "attention"],
)  # fmt: skip
def test_squared_gradients_where_a_weight_is_used_more_than_once(make: Any, x: Tensor) -> None:
    torch.manual_seed(2)
    model = make().eval()
    table = collect(model, x, formats=["int3"], sample=None, inputs=["g", "g2", "gdw2", "dw"], progress=False)
    from tap.stats.batches import Batches
    from tap.stats.layers import matrix, weights_of
    from tap.stats.loss import losses, targets_for

    weights = weights_of(model, table.units)
    total = [torch.zeros_like(w) for w in weights]
    squares = [torch.zeros_like(w) for w in weights]
    along = np.zeros(len(weights))
    data = Batches(x).split(1)
    for batch in data:
        logits = data.run(model, batch)
        loss = losses(logits, targets_for(model, data, batch, logits)).sum()
        for index, g in enumerate(torch.autograd.grad(loss, weights)):
            total[index] += g / len(x)
            squares[index] += g.square() / len(x)
            dw = torch.from_numpy(table.samples["dw"].values[index][0])
            along[index] += float((matrix(g, table.units[index]) * dw).sum() ** 2) / len(x)
    for index, unit in enumerate(table.units):
        for name, values in (("g", total), ("g2", squares)):
            expected = matrix(values[index], unit).numpy()
            np.testing.assert_allclose(table.samples[name].values[index], expected, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(table.columns["gdw2"][:, 0], along, rtol=1e-3, atol=1e-9)


def test_samples_converge_to_the_columns() -> None:
    options: dict[str, Any] = {"formats": ["int3"], "inputs": ["g2", "dw", "fisher_dw2"], "progress": False}
    sizes = (16, 256, 4096, None)
    errors = np.zeros((8, len(sizes)))
    for seed in range(8):
        torch.manual_seed(seed)
        model, data = nn.Linear(96, 96), (torch.randn(32, 96), torch.randn(32, 96))
        for column, sample in enumerate(sizes):
            found = collect(model, data, sample=sample, **options)
            g2, dw = found.samples["g2"].values[0], found.samples["dw"].values[0][0]
            estimate = (g2 * dw**2).sum() * 96 * 96 / g2.size
            errors[seed, column] = abs(estimate / found.columns["fisher_dw2"][0, 0] - 1)
    mean = errors.mean(0)
    assert mean[0] > mean[1] > mean[2] > mean[3], mean
    assert mean[2] < 0.1
    assert mean[3] < 1e-5


def test_bad_input_is_named() -> None:
    broken = small()
    broken[4].weight.data[0, 0] = math.nan
    cases: list[tuple[type[Exception], str, Any, Any, dict[str, Any]]] = [
        (DataError, "not finite", broken, X, {}),
        (DataError, "empty", small(), [], {}),
        (DataError, "does not run on batch 0", small(), torch.randn(2, 5, 8, 8), {}),
        (DataError, "targets from 0 to 9", small(), (X, torch.tensor([0, 1, 2, 0, 9])), {}),
        (DataError, "loss function returned", small(), X, {"loss": lambda z, y: z.sum()}),
        (DataError, "loss of the model is not finite", small(), X, {"loss": lambda z, y: z.sum(1) / 0}),
        (ModelError, "never called", nn.ModuleList([small()]), X, {}),
        (FormatError, "unknown format", small(), X, {"formats": ["int9"]}),
        (TableError, "no input 'tracee'", small(), X, {"inputs": ["tracee"]}),
        (ModelError, "cannot use device", small(), X, {"device": "cuda:7"}),
    ]
    for error, message, model, data, options in cases:
        if isinstance(model, nn.ModuleList):
            model.forward = lambda x: x.flatten(1)  # type: ignore[method-assign]
        with pytest.raises(error, match=message) as caught:
            collect(model, data, **{**QUICK, **options})
        assert caught.value.hint  # type: ignore[attr-defined]


def test_an_output_that_is_not_differentiable() -> None:
    class Classes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = small()

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                return self.inner(x)

    with pytest.raises(ModelError, match="not differentiable"):
        collect(Classes(), X, **QUICK)


def test_passes_follow_from_proxies() -> None:
    from tap.proxy import Proxy

    names, passes = passes_for(None, [Proxy("score = trace * dw2"), "score = sum(g2 * square(dw))"])
    assert {"trace", "dw2", "g2", "dw"} <= set(names)
    assert passes == {"shapes", "errors", "curvature", "squared gradients"}


def test_a_small_llama() -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is an optional extra")
    torch.manual_seed(4)
    config = transformers.LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, tie_word_embeddings=True,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    ids = torch.randint(0, 32, (3, 6))
    batch = {"input_ids": ids, "labels": ids, "attention_mask": torch.ones_like(ids)}
    table = collect(model, [batch], **QUICK)
    assert len(table.units) == 8
    assert all(np.isfinite(column).all() for column in table.columns.values())
