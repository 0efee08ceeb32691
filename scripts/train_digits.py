"""Make the demo's data and weights: `python scripts/train_digits.py`; `--check` compares with those there.

The data are scikit-learn's digits, shuffled once. Training is seeded, on the CPU and with one thread, so the
same torch on the same kind of CPU gives the same weights, byte for byte; another torch or CPU rounds
differently and gives other weights of about the same accuracy, which is what `--check` demands.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tap.demo.digits import Digits, digits
from tap.demo.network import DigitsNet

DATA = Path(__file__).resolve().parent.parent / "python" / "tap" / "data"
SIZES = {"train": 797, "calib": 200, "eval": 800}
SEED = 0
EPOCHS = 60
BATCH = 64


def write_digits(path: Path) -> None:
    """Write images (uint8, 0..16), labels and split (0 train, 1 calib, 2 eval), compressed."""
    from sklearn.datasets import load_digits

    source = load_digits()
    order = np.random.default_rng(SEED).permutation(len(source.target))
    split = np.repeat(np.arange(3, dtype=np.uint8), list(SIZES.values()))
    images = source.images[order].astype(np.uint8)
    np.savez_compressed(path, images=images, labels=source.target[order].astype(np.uint8), split=split)


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image by up to one pixel and add a little noise."""
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    rows, columns = torch.randint(0, 3, (2, len(images)), generator=generator).tolist()
    shifted = [image[:, r : r + 8, c : c + 8] for image, r, c in zip(padded, rows, columns, strict=True)]
    return torch.stack(shifted) + 0.1 * torch.randn(images.shape, generator=generator)


def train(data: Digits) -> DigitsNet:
    """Train from a seeded start with SGD, momentum and one cosine cycle."""
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    model = DigitsNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = EPOCHS * (len(data.labels) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(EPOCHS):
        order = torch.randperm(len(data.labels), generator=generator)
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            logits = model(augment(data.images[chosen], generator))
            loss = nn.functional.cross_entropy(logits, data.labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, data: Digits) -> float:
    """Share of the images whose largest logit is the label."""
    return float((model(data.images).argmax(1) == data.labels).float().mean())


def main() -> None:
    """Write the files, or check that training again gives the weights that are there or their accuracy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="train again and compare; write nothing")
    check = parser.parse_args().check
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    DATA.mkdir(exist_ok=True)
    if not check:
        write_digits(DATA / "digits.npz")
    model = train(digits("train"))
    scores = {split: accuracy(model, digits(split)) for split in SIZES}
    print("top-1 " + ", ".join(f"{split} {score:.4f}" for split, score in scores.items()))
    if not check:
        save_file(model.state_dict(), DATA / "digits.safetensors")
        return
    shipped = load_file(DATA / "digits.safetensors")
    same = all(torch.equal(value, shipped[name]) for name, value in model.state_dict().items())
    there = DigitsNet()
    there.load_state_dict(shipped)
    difference = abs(scores["eval"] - accuracy(there.eval(), digits("eval")))
    print(f"the same weights: {same}; top-1 on eval differs by {difference:.4f}")
    if difference > 0.01:
        raise SystemExit("the script does not reproduce the shipped weights")


if __name__ == "__main__":
    main()
