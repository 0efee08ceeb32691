"""Inputs of weights rounded with error compensation, beside each sample differentiated on its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tap
from oracles.compensated import reference
from tap.stats.inputs import AXES, PASSES

INPUTS = tuple(PASSES["compensated noise"])
FORMATS = ["int2", "int3-asym", "int4", "int4+a3", "int2+a8"]


def images() -> tuple[nn.Module, Tensor]:
    """A small convolutional network and 24 images."""
    torch.manual_seed(5)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(),
        nn.Conv2d(6, 8, 3, 2, groups=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(72, 4),
    )  # fmt: skip
    return net.eval(), torch.randn(24, 3, 8, 8)


def collected(net: nn.Module, data: object, **options: Any) -> tap.LayerTable:
    """The table of the compensated inputs."""
    given: dict[str, Any] = {"formats": FORMATS, "inputs": INPUTS, "progress": False}
    return tap.collect(net, data, **{**given, **options})


def test_equal_one_backward_pass_a_sample() -> None:
    net, x = images()
    y = torch.randint(0, 4, (24,))
    parts = [slice(0, 8), slice(8, 12), slice(12, 24)]
    batches = [(x[part], y[part]) for part in parts]
    table = collected(net, batches, seed=3)
    names = [unit.name for unit in table.units]
    expected = reference(net, names, batches[:2], x[12:], FORMATS, 3, {"0", "3"})
    for name in INPUTS:
        found = torch.tensor(table.columns[name])
        torch.testing.assert_close(found, expected[name], rtol=1e-4, atol=1e-9, msg=name)


def test_logit_noise_is_the_mean_square_of_the_linear_change_of_the_logits() -> None:
    torch.manual_seed(6)
    first, last = nn.Linear(6, 8), nn.Linear(8, 5)
    net = nn.Sequential(first, nn.Tanh(), last).eval()
    x = torch.randn(400, 6)
    table = collected(net, x, formats=["int3"], noise_samples=None)
    small = tap.quantize(net, {"0": "int3"}, data=x[200:], correct=False)
    changed = (small.get_submodule("0").weight - first.weight).detach()
    hidden = torch.tanh(first(x))
    logits = ((x @ changed.T) * (1 - hidden.square())) @ last.weight.T
    logits = logits - logits.mean(1, keepdim=True)
    expected = float(logits.detach().square().sum(1).mean())
    assert table.columns["comp_logit_dw2"][0, 0] == pytest.approx(expected, rel=0.15)


def test_compensation_lowers_the_noise_of_correlated_inputs() -> None:
    torch.manual_seed(7)
    net = nn.Sequential(nn.Linear(32, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    x = torch.randn(64, 4) @ torch.randn(4, 32)
    table = tap.collect(
        net, x, formats=["int3"], inputs=["gz_noise", "comp_gz_noise"], progress=False, noise_samples=None
    )
    assert table.columns["comp_gz_noise"][0, 0] < 0.5 * table.columns["gz_noise"][0, 0]


def test_the_noise_is_that_of_samples_that_were_not_rounded_for() -> None:
    torch.manual_seed(9)
    net = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
    x = torch.randn(16, 64)
    noise = collected(net, x, formats=["int2"]).columns["comp_gz_noise"][0, 0]
    same = collected(net, x[:8].repeat(2, 1), formats=["int2"]).columns["comp_gz_noise"][0, 0]
    assert noise > 3 * same


def test_what_a_batch_norm_takes_away_is_no_noise() -> None:
    torch.manual_seed(10)
    linear, norm = nn.Linear(6, 5), nn.BatchNorm1d(5)
    x = 0.01 * torch.randn(80, 6) + 2
    formats = ["int2", "int3-asym", "int4"]
    table = collected(nn.Sequential(linear, norm, nn.Linear(5, 3)).eval(), x, formats=formats)
    alone = collected(nn.Sequential(linear, nn.Identity(), nn.Linear(5, 3)).eval(), x, formats=formats)
    assert (table.columns["comp_logit_dw2"][0] < 1e-3 * alone.columns["comp_logit_dw2"][0]).all()
    assert (alone.columns["comp_logit_dw2"][0] > 0).all()


def test_one_sample_is_enough() -> None:
    net, x = images()
    assert all((collected(net, x[:1]).columns[name] > 0).all() for name in INPUTS)


def test_embeddings_are_rounded_to_the_nearest() -> None:
    torch.manual_seed(8)

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(11, 8), nn.Linear(8, 11)

        def forward(self, ids: Tensor) -> Tensor:
            return torch.as_tensor(self.head(torch.tanh(self.embed(ids))))

    ids = torch.randint(0, 11, (3, 5)).repeat(2, 1)
    table = collected(Tokens().eval(), ids, formats=["int3", "int4"], inputs=(*INPUTS, "gz_noise"))
    first = [unit.name for unit in table.units].index("embed")
    torch.testing.assert_close(
        torch.tensor(table.columns["comp_gz_noise"][first]), torch.tensor(table.columns["gz_noise"][first])
    )
    assert all((table.columns[name] > 0).all() for name in INPUTS)


def test_rounded_inputs_are_noise_too() -> None:
    net, x = images()
    table = collected(net, x, formats=["int8+a2", "int8+a4", "int8+a8", "int8"])
    for name in INPUTS:
        assert (np.diff(table.columns[name]) < 0).all()


def test_other_inputs_do_not_depend_on_these() -> None:
    net, x = images()
    alone = tap.collect(net, x, formats=FORMATS, inputs=["trace", "dw2"], progress=False)
    beside = tap.collect(net, x, formats=FORMATS, inputs=["trace", "dw2", *INPUTS], progress=False)
    assert all((alone.columns[name] == beside.columns[name]).all() for name in ("trace", "dw2"))
    assert all(AXES[name] == ("format",) for name in INPUTS)
