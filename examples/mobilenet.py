"""ImageNet MobileNetV1, width 0.75, with real weights, and labelled photographs to calibrate and evaluate it.

Every function takes the folder of the weights and images, or reads it from the environment variable TAP_DATA.
On the command line the folder may follow a second colon: `examples/mobilenet.py:mobilenet:/path/to/data`.
Reading the images needs pillow.
"""

from __future__ import annotations

import csv
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
WIDTHS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
Batch = tuple[Tensor, Tensor]


class ConvBN(nn.Module):
    """A convolution padded as TensorFlow does, batch norm and ReLU6."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)
        self.padding = (0, 0, 0, 0) if kernel == 1 else (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu6(self.bn(self.conv(functional.pad(x, self.padding))))


class Separable(nn.Module):
    """A depthwise 3x3 convolution and a pointwise one."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.dw = ConvBN(inputs, inputs, 3, stride=stride, groups=inputs)
        self.pw = ConvBN(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pw(self.dw(x))


class MobileNet(nn.Module):
    """MobileNetV1: logits [N, 1000] from images [N, 3, 224, 224]."""

    def __init__(self, width: float = 0.75) -> None:
        super().__init__()
        outputs = [int(width * channels) for channels in WIDTHS]
        inputs = [int(width * 32), *outputs[:-1]]
        self.conv1 = ConvBN(3, inputs[0], 3, stride=2)
        self.blocks = nn.Sequential(*map(Separable, inputs, outputs, STRIDES))
        self.fc = nn.Linear(outputs[-1], 1000)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.blocks(self.conv1(x)).mean((2, 3)))


def mobilenet(data: str | None = None) -> nn.Module:
    """MobileNetV1-0.75: 28 units, top-1 80.15 on `evaluation`."""
    model = MobileNet()
    model.load_state_dict(load_file(folder(data) / "mobilenetv1_075.safetensors"))
    return model.eval()


def calibration(data: str | None = None, *, samples: int = 256) -> list[Batch]:
    """Photographs for the statistics: the first `samples` of 256."""
    return _images("calib", data, samples)


def judged(data: str | None = None, *, samples: int = 256) -> list[Batch]:
    """Photographs to measure the truth on: the last `samples` of the 655 of `evaluation`."""
    return _images("eval", data, 655, skip=655 - samples)


def evaluation(data: str | None = None, *, samples: int = 655) -> list[Batch]:
    """Photographs for the accuracy: the first `samples` of 655."""
    return _images("eval", data, samples)


def folder(data: str | None) -> Path:
    """The folder of weights and images."""
    path = Path(data or os.environ.get("TAP_DATA") or "data")
    if not path.is_dir():
        raise FileNotFoundError(f"no folder {path}: set TAP_DATA to the folder of the weights and images")
    return path


def _images(split: str, data: str | None, stop: int, *, skip: int = 0, batch: int = 32) -> list[Batch]:
    from PIL import Image

    place = folder(data) / "imagenet-sample"
    with (place / "labels.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split][skip:stop]
    with zipfile.ZipFile(place / "nips2017-dev-224.zip") as archive:
        images = [Image.open(io.BytesIO(archive.read(row["file"]))).convert("RGB") for row in rows]
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2)
    labels = torch.tensor([int(row["label"]) for row in rows])
    return [(x.float() / 127.5 - 1, y) for x, y in zip(pixels.split(batch), labels.split(batch), strict=True)]
