"""Batches of the ready cases: digits, images in folders for timm, a text file for transformers."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tap.demo.digits import Digits, digits
from tap.errors import DataError, require_extra

IMAGES = (256, 512, 1024)
"""Images for calibration, for the truth and for the plans: each part follows the one before."""
TOKENS, SEQUENCES = 256, (16, 32, 64)
"""Tokens of a sequence, and sequences of the three parts."""
SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp"))


def digits_judged() -> Digits:
    """400 images of the digits that the truth is measured on."""
    part = digits("train")
    return Digits(part.images[:400], part.labels[:400])


def timm_calibration(reference: str) -> list[Any]:
    """Images for statistics and lifts; `reference` is NAME@FOLDER."""
    return _images(reference, 0)


def timm_judged(reference: str) -> list[Any]:
    """Images to measure the truth on."""
    return _images(reference, 1)


def timm_evaluation(reference: str) -> list[Any]:
    """Images to measure plans on."""
    return _images(reference, 2)


def hf_calibration(reference: str) -> list[dict[str, Tensor]]:
    """Sequences for statistics; `reference` is NAME@FILE."""
    return _text(reference, 0)


def hf_judged(reference: str) -> list[dict[str, Tensor]]:
    """Sequences to measure the truth on."""
    return _text(reference, 1)


def hf_evaluation(reference: str) -> list[dict[str, Tensor]]:
    """Sequences to measure plans on."""
    return _text(reference, 2)


def files_of(folder: str | Path) -> list[tuple[Path, int | None]]:
    """Images of a folder with their classes, in an order that takes one image of each class in turn.

    A sub-folder is a class: its number where all sub-folders are numbers, else its place in the alphabet.
    Images beside no sub-folder have no class.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"there is no folder {root}", hint="give a folder of images, one folder a class")
    classes = sorted(path for path in root.iterdir() if path.is_dir())
    numbered = all(path.name.isdigit() for path in classes)
    found: list[tuple[int, int, Path, int | None]] = []
    for place, path in enumerate(classes):
        label = int(path.name) if numbered else place
        found += [(turn, place, image, label) for turn, image in enumerate(_pictures(path))]
    found += [(turn, 0, image, None) for turn, image in enumerate(_pictures(root))] if not classes else []
    if not found:
        raise DataError(f"{root} holds no image", hint=f"images end in {', '.join(sorted(SUFFIXES))}")
    return [(path, label) for _, _, path, label in sorted(found, key=lambda item: item[:2])]


def part_of(count: int, sizes: tuple[int, int, int], which: int) -> slice:
    """The place of a part among `count` items: the wanted sizes, or in proportion where there are fewer.

    >>> [part_of(7, (1, 2, 4), which) for which in range(3)]
    [slice(0, 1, None), slice(1, 3, None), slice(3, 7, None)]
    """
    share = min(1.0, count / sum(sizes))
    ends = [round(share * sum(sizes[: place + 1])) for place in range(3)]
    return slice(ends[which - 1] if which else 0, ends[which])


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _images(reference: str, which: int, batch: int = 32) -> list[Any]:
    """One part of the images, prepared as the model's own evaluation does."""
    name, _, folder = reference.partition("@")
    require_extra("timm", extra="timm", why=f"the images of timm:{name}")
    timm = importlib.import_module("timm")
    config = timm.data.resolve_model_data_config(timm.create_model(name, pretrained=False))
    return image_batches(folder, which, timm.data.create_transform(**config, is_training=False), batch)


def image_batches(folder: str, which: int, transform: Any, batch: int = 32) -> list[Any]:
    """Batches of part 0, 1 or 2 of the images of a folder, each image through `transform`."""
    from PIL import Image

    chosen = files_of(folder)
    chosen = chosen[part_of(len(chosen), IMAGES, which)]
    batches: list[Any] = []
    for start in range(0, len(chosen), batch):
        some = chosen[start : start + batch]
        pixels = torch.stack([transform(Image.open(path).convert("RGB")) for path, _ in some])
        labels = [label for _, label in some if label is not None]
        batches.append((pixels, torch.tensor(labels)) if len(labels) == len(some) else pixels)
    return batches


def _text(reference: str, which: int) -> list[dict[str, Tensor]]:
    """One part of the text, as sequences of tokens that are their own targets."""
    name, _, path = reference.partition("@")
    require_extra("transformers", extra="hf", why=f"the text of hf:{name}")
    if not Path(path).is_file():
        raise DataError(f"there is no text file {path}", hint="give it with --data")
    tokenizer = importlib.import_module("transformers").AutoTokenizer.from_pretrained(name)
    return token_batches(tokenizer(Path(path).read_text(encoding="utf-8"))["input_ids"], which)


def token_batches(tokens: list[int], which: int, batch: int = 4) -> list[dict[str, Tensor]]:
    """Batches of part 0, 1 or 2 of a text's tokens, in sequences of 256."""
    count = len(tokens) // TOKENS
    if count < 3:
        raise DataError(
            f"the text has {len(tokens)} tokens", hint=f"give a text of at least {3 * TOKENS} tokens"
        )
    rows = torch.tensor(tokens[: count * TOKENS]).view(count, TOKENS)[part_of(count, SEQUENCES, which)]
    parts = [rows[start : start + batch] for start in range(0, len(rows), batch)]
    return [{"input_ids": part, "labels": part} for part in parts]
