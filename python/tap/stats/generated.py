"""Calibration text that a causal language model writes itself, where no data are at hand."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from tap.errors import DataError
from tap.stats.batches import is_causal, logits_of, unwrap


def generated(
    model: nn.Module, *, samples: int = 16, length: int = 64, seed: int = 0
) -> list[dict[str, Any]]:
    """Batches of 8 samples of tokens [8, length], drawn token by token from the model's own distribution.

    The first token is uniform over the vocabulary (Liu et al., LLM-QAT, arXiv 2305.17888, section 3.1). Text
    from the domain of use is better; this needs none.

    Raises:
        DataError: the model is no causal language model of transformers.
    """
    vocabulary = getattr(getattr(model, "config", None), "vocab_size", None)
    if not is_causal(model) or not isinstance(vocabulary, int):
        raise DataError(
            f"a {type(model).__name__} cannot write its own calibration data",
            hint="pass data: file.py:function or package.module:function",
        )
    device = next(model.parameters()).device
    # The logits of all positions would be larger than many a layer.
    takes = inspect.signature(unwrap(model).forward).parameters
    last: dict[str, Any] = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
    draws = torch.Generator().manual_seed(seed)
    batches = []
    for start in range(0, samples, 8):
        count = min(8, samples - start)
        tokens = torch.randint(0, vocabulary, (count, 1), generator=draws)
        while tokens.shape[1] < length:
            with torch.no_grad():
                logits = logits_of(model(input_ids=tokens.to(device), **last))[:, -1].float().cpu()
            tokens = torch.cat([tokens, torch.multinomial(logits.softmax(-1), 1, generator=draws)], 1)
        batches.append({"input_ids": tokens})
    return batches
