"""Peak memory of `tap.compress` on a causal language model, against the model and its largest layer (Linux).

    python benches/compress_memory.py --target gguf --layers 16 --width 1024

Resident memory above what the process held before, the model in it, at its highest. A tiny model is
compressed first, so that what the libraries take whatever the model is there already.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

import tap


def memory(key: str) -> float:
    """A line of the process's status in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def size(parameters: list[torch.nn.Parameter]) -> float:
    """MiB of some parameters."""
    return sum(one.numel() * one.element_size() for one in parameters) / 2**20


def decoder(layers: int, width: int, samples: int) -> tuple[nn.Module, list[Any]]:
    """A random Llama, and sequences of 64 tokens."""
    config = LlamaConfig(
        hidden_size=width, intermediate_size=width * 11 // 4 // 256 * 256, vocab_size=8192,
        num_hidden_layers=layers, num_attention_heads=width // 64, num_key_value_heads=width // 128,
    )  # fmt: skip
    data = [{"input_ids": torch.randint(0, 8192, (1, 64))} for _ in range(samples)]
    return LlamaForCausalLM(config).eval(), data


def compressed(model: nn.Module, data: list[Any], target: str, budget: str) -> None:
    """Compress in place, into a folder that is dropped."""
    with tempfile.TemporaryDirectory() as folder:
        tap.compress(
            model, data, budget=budget, target=target, out=Path(folder) / "out", inplace=True, progress=False
        )


def main() -> None:
    """Build a random model, compress it in place, and print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--target", default="gguf")
    parser.add_argument("--budget", default="6bits")
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--samples", type=int, default=4)
    given = parser.parse_args()
    torch.manual_seed(0)
    compressed(*decoder(2, 256, 1), given.target, given.budget)
    model, data = decoder(given.layers, given.width, given.samples)
    with torch.no_grad():
        model(**data[0])
    whole, layer = size(list(model.parameters())), size(list(model.model.layers[0].parameters()))
    before, start = memory("VmRSS"), time.perf_counter()
    Path("/proc/self/clear_refs").write_text("5")
    compressed(model, data, given.target, given.budget)
    above = memory("VmHWM") - before
    print(
        f"{given.target}: model {whole:.0f} MiB, a block {layer:.0f} MiB, peak {whole + above:.0f} MiB = "
        f"{(whole + above - layer) / whole:.2f} x the model + a block; {time.perf_counter() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
