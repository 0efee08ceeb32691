"""Interactions of pairs: equal to four whole evaluations each, resumable, and the model stays as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from nets import images, state, tiny, unchanged
from tap.errors import ModelError, TableError
from tap.formats import parse
from tap.interactions import Interactions, measure_pairs
from tap.sensitivity import measure

FORMATS = ["int2", "int4"]


def divergence(
    net: nn.Module, data: list[tuple[torch.Tensor, torch.Tensor]], choice: dict[str, str]
) -> float:
    """KL to full precision with some units quantized, on all samples at once."""
    x = torch.cat([batch[0] for batch in data])
    originals = {name: net.get_submodule(name).weight.detach().clone() for name in choice}
    with torch.no_grad():
        p = functional.log_softmax(net.eval()(x).double(), 1)
        for name, form in choice.items():
            net.get_submodule(name).weight.copy_(parse(form).quantize(originals[name]))
        q = functional.log_softmax(net(x).double(), 1)
        for name, original in originals.items():
            net.get_submodule(name).weight.copy_(original)
    return float((p.exp() * (p - q)).sum(1).mean())


def test_interactions_are_four_evaluations() -> None:
    net, data = tiny(), images()
    names = measure(net, data, formats=["int8"], progress=False).units
    pairs = [(names[2], names[0]), (names[1], names[3])]
    before = state(net)
    found = measure_pairs(net, data, pairs=pairs, formats=FORMATS, progress=False)
    assert unchanged(net, before)
    assert found.pairs == ((names[0], names[2]), (names[1], names[3]))
    for place, (a, b) in enumerate(found.pairs):
        for i, f in enumerate(FORMATS):
            for j, g in enumerate(FORMATS):
                both = divergence(net, data, {a: f, b: g})
                alone = divergence(net, data, {a: f}) + divergence(net, data, {b: g})
                assert np.isclose(found.together[place, i, j], both, rtol=1e-4, atol=1e-8)
                assert np.isclose(found.values[place, i, j], both - alone, rtol=1e-3, atol=1e-6)
    assert (found.stderr > 0).all()


def test_more_pairs_go_on_from_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tap.truth import one_at_a_time

    net, data = tiny(), images()
    names = measure(net, data, formats=["int8"], progress=False).units
    journal, jobs = tmp_path / "pairs.jsonl", []
    original = one_at_a_time.UnitMeter.measure

    def counted(self, job):
        jobs.append(job[0])
        return original(self, job)

    monkeypatch.setattr(one_at_a_time.UnitMeter, "measure", counted)
    options = {"formats": FORMATS, "progress": False, "resume": journal}
    measure_pairs(net, data, pairs=[(names[0], names[1])], **options)
    assert jobs == [(0, 1), (0,), (1,)]
    jobs.clear()
    both = [(names[0], names[1]), (names[1], names[2])]
    again = measure_pairs(net, data, pairs=both, **options)
    assert jobs == [(1, 2), (2,)]
    fresh = measure_pairs(net, data, pairs=both, formats=FORMATS, progress=False)
    assert np.allclose(again.values, fresh.values, atol=1e-9)
    with pytest.raises(TableError):
        measure_pairs(net, images(seed=9), pairs=both, **options)


def test_files_and_mistakes(tmp_path: Path) -> None:
    one = np.zeros((1, 2, 2))
    found = Interactions((("a", "b"),), ("int2", "int4"), one, one + 1, one + 2, "id", {"loss": "kl"})
    found.save(tmp_path / "pairs.safetensors")
    back = Interactions.load(tmp_path / "pairs.safetensors")
    assert back.pairs == found.pairs
    assert np.array_equal(back.together, found.together)
    with pytest.raises(TableError):
        Interactions((("a", "b"),), ("int2",), one, one, one)
    net, data = tiny(), images()
    for pairs in ([], [("conv1", "conv1")], ["ab"], [("no", "such")]):
        with pytest.raises(ModelError):
            measure_pairs(net, data, pairs=pairs, progress=False)
