"""The demo: its data, its network, and the table it ends with."""

from __future__ import annotations

import torch

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
