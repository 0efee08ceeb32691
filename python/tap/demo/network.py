"""The demo's network: a small residual CNN for 8x8 digits, with 16 units, and its weights."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import cast

import torch
from torch import Tensor, nn

WIDTHS = (8, 16, 32)


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut: `relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))`."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H / stride, W / stride]."""
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class DigitsNet(nn.Module):
    """A stem, three stages of two blocks and a classifier: logits [N, 10] from images [N, 1, 8, 8].

    >>> DigitsNet()(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(self) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.stem = nn.Conv2d(1, first, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(first)
        self.stage1 = nn.Sequential(Block(first, first, stride=1), Block(first, first, stride=1))
        self.stage2 = nn.Sequential(Block(first, second, stride=2), Block(second, second, stride=1))
        self.stage3 = nn.Sequential(Block(second, third, stride=2), Block(third, third, stride=1))
        self.classifier = nn.Linear(third, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        x = torch.relu(self.bn(self.stem(x)))
        x = self.stage3(self.stage2(self.stage1(x)))
        return cast(Tensor, self.classifier(x.mean((2, 3))))


def network() -> DigitsNet:
    """The trained network in evaluation mode; `scripts/train_digits.py` made its weights.

    >>> sum(parameter.numel() for parameter in network().parameters())
    44226
    """
    from safetensors.torch import load_file

    model = DigitsNet()
    with as_file(files("tap.data") / "digits.safetensors") as path:
        model.load_state_dict(load_file(path))
    return model.eval()
