"""The demo: its data, its network, and the table it ends with."""

from __future__ import annotations

import pytest
import torch

from tap.demo import flow
from tap.demo.digits import digits
from tap.demo.network import network


def test_the_split_is_fixed_and_disjoint() -> None:
    parts = [digits(split) for split in ("train", "calib", "eval")]
    assert [len(part.labels) for part in parts] == [797, 200, 800]
    flat = torch.cat([part.images.flatten(1) for part in parts])
    assert len(torch.unique(flat, dim=0)) == len(flat) == 1797


def test_batches_cover_every_image_each_time() -> None:
    data = digits("calib", batch=64)
    for _ in range(2):
        assert [len(labels) for _, labels in data] == [64, 64, 64, 8]
    assert len(data) == 4


def test_the_shipped_weights_classify_the_digits() -> None:
    data = digits("eval")
    with torch.no_grad():
        right = (network()(data.images).argmax(1) == data.labels).sum()
    assert int(right) == 795


def test_the_same_seed_gives_the_same_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "RANDOM", 4)
    monkeypatch.setattr(flow, "JUDGED", 50)
    monkeypatch.setattr(flow.library, "names", lambda: ["sqnr", "squeezellm", "hawq_v1"])

    first, again = (flow.run(seed=3, programs=60, say=lambda line: None, progress=False) for _ in range(2))
    assert [str(row) for row in first.rows] == [str(row) for row in again.rows]
    assert first.program == again.program
    assert [plan.choice for plan in first.plans.values()] == [plan.choice for plan in again.plans.values()]
