"""ResNet-18 with random weights and random images of 64 x 64, for timing alone; read as an example file."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))
from networks import ResNet18, images


def resnet18(data: str = "") -> nn.Module:
    """The network, the same each time."""
    torch.manual_seed(0)
    return ResNet18().eval()


def calibration(data: str = "", samples: int = 32) -> list[tuple[Tensor, Tensor]]:
    """One batch of images and labels."""
    labels = torch.randint(0, 1000, (samples,), generator=torch.Generator().manual_seed(1))
    return [(images(samples), labels)]


evaluation = calibration
