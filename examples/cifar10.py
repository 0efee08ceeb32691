"""CIFAR-10 ResNet-20 and ResNet-32 with real weights, and batches to calibrate and evaluate them.

Every function takes the folder of the weights and images, or reads it from the environment variable TAP_DATA.
On the command line the folder may follow a second colon: `examples/cifar10.py:resnet20:/path/to/data`.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Batch = tuple[Tensor, Tensor]


class Block(nn.Module):
    """Two 3x3 convolutions; a first block of a stage pads its shortcut with zero channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.widens, self.added = inputs != outputs, outputs // 4
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 2 if self.widens else 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self.widens:
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.added, self.added))
        return functional.relu(y + x)


class ResNet(nn.Module):
    """A CIFAR ResNet of depth 6 n + 2: a stem, three stages of n blocks and a classifier."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        n = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16) for _ in range(n)))
        self.layer2 = nn.Sequential(*(Block(32 if i else 16, 32) for i in range(n)))
        self.layer3 = nn.Sequential(*(Block(64 if i else 32, 64) for i in range(n)))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def resnet20(data: str | None = None) -> nn.Module:
    """ResNet-20: 20 units, top-1 91.62 on `evaluation`."""
    return _trained(20, data)


def resnet32(data: str | None = None) -> nn.Module:
    """ResNet-32: 32 units, top-1 92.42 on `evaluation`."""
    return _trained(32, data)


def calibration(data: str | None = None, *, samples: int = 256) -> list[Batch]:
    """Training images for the statistics: the first `samples` of 2,048, balanced over the classes."""
    return _images("cifar10-calib.npz", data, samples)


def judged(data: str | None = None, *, samples: int = 1000) -> list[Batch]:
    """Training images to measure the truth on: those after the 256 that the statistics read."""
    return _images("cifar10-calib.npz", data, 256 + samples, skip=256)


def evaluation(data: str | None = None, *, samples: int = 5000) -> list[Batch]:
    """Test images for the accuracy: the first `samples` of 5,000."""
    return _images("cifar10-eval.npz", data, samples)


def folder(data: str | None) -> Path:
    """The folder of weights and images."""
    path = Path(data or os.environ.get("TAP_DATA") or "data")
    if not path.is_dir():
        raise FileNotFoundError(f"no folder {path}: set TAP_DATA to the folder of the weights and images")
    return path


def _trained(depth: int, data: str | None) -> nn.Module:
    model = ResNet(depth)
    model.load_state_dict(load_file(folder(data) / f"resnet{depth}.safetensors"))
    return model.eval()


def _images(file: str, data: str | None, stop: int, *, skip: int = 0, batch: int = 250) -> list[Batch]:
    stored = np.load(folder(data) / file)
    images = torch.from_numpy(stored["images"][skip:stop]).permute(0, 3, 1, 2).float() / 255
    images = (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    labels = torch.from_numpy(stored["labels"][skip:stop].astype(np.int64))
    return list(zip(images.split(batch), labels.split(batch), strict=True))
