"""The demo's data: 1,797 images of handwritten digits, in a fixed split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import as_file, files

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Digits:
    """One part of the digits: batches of (images [n, 1, 8, 8] in 0..1, labels [n]), as often as asked."""

    images: Tensor
    """[N, 1, 8, 8] float32."""
    labels: Tensor
    """[N] int64."""
    batch: int = 128

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self.labels), self.batch):
            stop = start + self.batch
            yield self.images[start:stop], self.labels[start:stop]

    def __len__(self) -> int:
        """Number of batches."""
        return -(-len(self.labels) // self.batch)


def digits(split: str, *, batch: int = 128) -> Digits:
    """The images of `train` (797), `calib` (200) or `eval` (800), always in the same order.

    >>> [len(digits(split).labels) for split in ("train", "calib", "eval")]
    [797, 200, 800]
    """
    with as_file(files("tap.data") / "digits.npz") as path, np.load(path) as data:
        chosen = data["split"] == ("train", "calib", "eval").index(split)
        images = torch.from_numpy(data["images"][chosen].astype(np.float32) / 16.0)
        labels = torch.from_numpy(data["labels"][chosen].astype(np.int64))
    return Digits(images[:, None], labels, batch)
