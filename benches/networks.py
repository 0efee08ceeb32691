"""Networks of the benches, written here so that nothing is downloaded: ResNet-18 and a small decoder."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inp: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inp, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or inp != out:
            self.downsample = nn.Sequential(nn.Conv2d(inp, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """[n, inp, h, w] to [n, out, h / stride, w / stride]."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.downsample(x)
        return self.relu(out)


class ResNet18(nn.Module):
    """The ImageNet ResNet-18 (He et al., CVPR 2016): 11.7 million parameters, 21 units."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        widths = [64, 64, 128, 256, 512]
        self.layers = nn.Sequential(*[
            block
            for stage, (inp, out) in enumerate(itertools.pairwise(widths))
            for block in (BasicBlock(inp, out, 2 if stage else 1), BasicBlock(out, out, 1))
        ])  # fmt: skip
        self.fc = nn.Linear(512, classes)

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, h, w] to logits [n, classes]."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.fc(self.layers(x).mean((2, 3)))


class Decoder(nn.Module):
    """A decoder in the manner of Llama: attention with separate projections, gated feed-forward."""

    def __init__(self, width: int = 768, depth: int = 12, heads: int = 12, words: int = 8192) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.blocks = nn.ModuleList(DecoderBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, words, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        """[n, t] token ids to logits [n, t, words]."""
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class DecoderBlock(nn.Module):
    """Attention and feed-forward, each with a norm before and a shortcut around."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (
            nn.Linear(width, width, bias=False) for _ in range(4)
        )
        hidden = 8 * width // 3
        self.gate_proj, self.up_proj = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.down_proj = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[n, t, width] to the same."""
        n, t, width = x.shape
        y = self.norm1(x)
        q, k, v = (
            part(y).view(n, t, self.heads, -1).transpose(1, 2)
            for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o_proj(mixed.transpose(1, 2).reshape(n, t, width))
        y = self.norm2(x)
        return x + self.down_proj(functional.silu(self.gate_proj(y)) * self.up_proj(y))


def images(count: int, side: int = 64) -> Tensor:
    """Random images, the same each time."""
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def tokens(count: int, length: int, words: int = 8192) -> Tensor:
    """Random token ids, the same each time."""
    return torch.randint(0, words, (count, length), generator=torch.Generator().manual_seed(0))
