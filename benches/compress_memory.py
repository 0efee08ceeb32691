"""Peak memory of `tap.compress` on a causal language model, against the model and its largest layer (Linux).

    python benches/compress_memory.py --target gguf --layers 16 --width 1024

Resident memory above what the process held before, the model in it, at its highest.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from importlib import import_module
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import tap


def memory(key: str) -> float:
    """A line of the process's status in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def size(parameters: list[torch.nn.Parameter]) -> float:
    """MiB of some parameters."""
    return sum(one.numel() * one.element_size() for one in parameters) / 2**20


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
    inner = given.width * 11 // 4 // 256 * 256
    config = LlamaConfig(
        hidden_size=given.width, intermediate_size=inner, vocab_size=8192, num_hidden_layers=given.layers,
        num_attention_heads=given.width // 64, num_key_value_heads=given.width // 128,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    data = [{"input_ids": torch.randint(0, 8192, (1, 64))} for _ in range(given.samples)]
    with torch.no_grad():
        model(**data[0])
    for name in ("gguf", "compressed_tensors", "tap.stats.collect", "tap.truth.streamed"):
        import_module(name)
    whole, layer = size(list(model.parameters())), size(list(model.model.layers[0].parameters()))
    before, start = memory("VmRSS"), time.perf_counter()
    Path("/proc/self/clear_refs").write_text("5")
    with tempfile.TemporaryDirectory() as folder:
        tap.compress(model, data, budget=given.budget, target=given.target, out=Path(folder) / "out",
                     inplace=True, progress=False)  # fmt: skip
    above = memory("VmHWM") - before
    print(
        f"{given.target}: model {whole:.0f} MiB, a block {layer:.0f} MiB, peak {whole + above:.0f} MiB = "
        f"{(whole + above - layer) / whole:.2f} x the model + a block; {time.perf_counter() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
