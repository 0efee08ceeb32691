"""Configurations: strata of equal bytes, each network really measured, and resumable."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from nets import images, state, tiny, unchanged
from tap.configurations import Configurations, measure_configs
from tap.errors import BudgetError, InfeasibleError, TableError
from tap.formats import parse
from tap.stats.layers import discover
from tap.truth.draw import TOLERANCE, draw, target_bytes
from tap.truth.losses import Judge

FORMATS = ["int2", "int3", "int4", "int8"]


def test_each_configuration_is_really_measured() -> None:
    net, data = tiny(), images()
    before = state(net)
    found = measure_configs(net, data, budgets=[3.0, 4.0], n=6, formats=FORMATS, lifts=False, progress=False)
    assert unchanged(net, before)
    assert found.stratum.tolist() == [0] * 6 + [1] * 6
    units = discover(net, data)
    x, y = torch.cat([b[0] for b in data]), torch.cat([b[1] for b in data])
    net.eval()
    with torch.no_grad():
        p = functional.log_softmax(net(x).double(), 1)
        for m in (0, 7):
            copy = tiny().eval()
            for unit, index in zip(units, found.choice[m], strict=True):
                weight = copy.get_submodule(unit.name).weight
                weight.copy_(parse(FORMATS[index]).quantize(weight))
            logits = copy(x)
            q = functional.log_softmax(logits.double(), 1)
            assert found.loss[m] == pytest.approx(float((p.exp() * (p - q)).sum(1).mean()), rel=1e-4)
            assert found.accuracy[m] == pytest.approx(float((logits.argmax(1) == y).float().mean()))
            stored = sum(
                parse(FORMATS[i]).stored_bytes(u) for u, i in zip(units, found.choice[m], strict=True)
            )
            assert found.bytes[m] == stored
    assert np.array_equal(found.loss, found.plain_loss)


def test_lifts_only_where_they_help() -> None:
    net, data = tiny(), images(64)
    found = measure_configs(net, data, budgets=2.5, n=8, formats=FORMATS, progress=False)
    assert (found.loss <= found.plain_loss + 1e-6).all(), "the calibration data is the evaluation data here"
    assert (found.loss < found.plain_loss).any()


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), units=st.integers(12, 30), budget=st.floats(2.5, 7))
def test_strata_have_equal_bytes(seed: int, units: int, budget: float) -> None:
    rng = np.random.default_rng(seed)
    numel = rng.integers(100, 5000, size=units)
    cost = np.stack([numel * bits // 8 + 64 for bits in (2, 3, 4, 8)], axis=1)
    target = target_bytes(budget, cost, [2, 3, 4, 8])
    plans = [rng.integers(0, 4, size=units)]
    found = draw(cost, target, 9, rng, plans)
    totals = np.array([cost[np.arange(units), choice].sum() for choice in found])
    assert (np.abs(totals - target) <= TOLERANCE * target).all()
    assert len({choice.tobytes() for choice in found}) == len(found) == 9


def test_draws_are_seeded_and_budgets_checked() -> None:
    cost = np.array([[20, 30, 40]] * 12)
    one = draw(cost, 360, 6, np.random.default_rng(5))
    two = draw(cost, 360, 6, np.random.default_rng(5))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    with pytest.raises(InfeasibleError) as caught:
        draw(cost, 100, 6, np.random.default_rng(5))
    assert caught.value.smallest == {"bytes": 240}
    with pytest.raises(BudgetError, match="outside the formats"):
        target_bytes(9.0, cost, [2, 3, 4])
    assert target_bytes(360, cost, [2, 3, 4]) == 360


def test_a_stopped_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net, data, path = tiny(), images(), tmp_path / "run.jsonl"
    options = {"budgets": 3.0, "n": 6, "formats": FORMATS, "progress": False}
    expected = measure_configs(net, data, **options)
    before, judged, real = state(net), 0, Judge.judge

    def failing(self: Judge, *args: object) -> object:
        nonlocal judged
        judged += 1
        if judged == 70:
            raise KeyboardInterrupt
        return real(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Judge, "judge", failing)
    with pytest.raises(KeyboardInterrupt):
        measure_configs(net, data, resume=path, **options)
    assert unchanged(net, before)
    assert 1 < path.read_text().count("\n") < 7
    found = measure_configs(net, data, resume=path, **options)
    assert np.allclose(found.loss, expected.loss, rtol=1e-6)
    more = measure_configs(net, data, resume=path, **(options | {"budgets": [3.0, 4.0]}))
    assert np.allclose(more.loss[:6], expected.loss, rtol=1e-6), "a further budget keeps what is done"


def test_files_round_trip_without_torch(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    found = measure_configs(tiny(), images(), budgets=3.0, n=4, formats=FORMATS, progress=False)
    found.save(path)
    back = Configurations.load(path)
    assert np.array_equal(back.choice, found.choice)
    assert np.array_equal(back.plain_loss, found.plain_loss)
    code = f"import sys, tap; tap.Configurations.load({str(path)!r}); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(TableError, match="outside 0 to"):
        Configurations(
            ("a",), ("int4",), np.array([[1]]), *(np.zeros(1),) * 3, np.zeros(1, int), np.ones(1, int), 1.0
        )
