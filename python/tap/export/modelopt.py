"""NVIDIA ModelOpt: `quant_cfg` for `mtq.quantize` as code, and hf_quant_config.json with MIXED_PRECISION.

Rules are matched in order and the last one wins, so everything is switched off first and each layer is named
exactly. ModelOpt rounds with the largest magnitude (as formats that end in -absmax do).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap.formats import parse
from tap.formats.integer import IntFormat
from tap.formats.pair import PairFormat, weight_only
from tap.stats.sites import find_sites

if TYPE_CHECKING:
    from torch import nn

    from tap.plan import Plan

_CODE = '''"""The formats of a plan, for `quantize(model, CONFIG, loop)` of modelopt.torch.quantization."""

CONFIG = {{
    "quant_cfg": [
        {{"quantizer_name": "*", "enable": False}},
{lines}
    ],
    "algorithm": "max",
}}
'''


def write(plan: Plan, path: Path, *, model: nn.Module | None = None) -> dict[str, int]:
    """Write quant_cfg.py and hf_quant_config.json; no weights, so no bytes."""
    lines = [f"        {rule!r}," for unit, form in plan.choices.items() for rule in _rules(unit, form)]
    (path / "quant_cfg.py").write_text(_CODE.format(lines="\n".join(lines)), encoding="utf-8")
    names = set(plan.choices)
    left = [] if model is None else [site.name for site in find_sites(model) if site.kind == "linear"]
    layers = {unit: _algorithm(form) for unit, form in plan.choices.items()}
    quantization: dict[str, Any] = {
        "quant_algo": "MIXED_PRECISION",
        "kv_cache_quant_algo": None,
        "exclude_modules": [name for name in left if name not in names],
        "quantized_layers": layers,
    }
    document = {"producer": {"name": "tap-mpq"}, "quantization": quantization}
    (path / "hf_quant_config.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return {}


def _rules(unit: str, name: str) -> list[dict[str, Any]]:
    """The quantizers of one layer."""
    form = parse(name)
    rules = [{"quantizer_name": f"{unit}.weight_quantizer", "cfg": _weight(name), "enable": True}]
    if isinstance(form, PairFormat):
        cfg = {"num_bits": form.act_bits, "axis": None}
        rules.append({"quantizer_name": f"{unit}.input_quantizer", "cfg": cfg, "enable": True})
    return rules


def _weight(name: str) -> dict[str, Any]:
    form = weight_only(parse(name))
    if isinstance(form, IntFormat):
        if form.group:
            return {"num_bits": form.width, "block_sizes": {-1: form.group}}
        return {"num_bits": form.width, "axis": None if form.per_tensor else 0}
    if form.name == "nvfp4":
        return {"num_bits": (2, 1), "block_sizes": {-1: 16, "type": "dynamic", "scale_bits": (4, 3)}}
    return {"num_bits": (4, 3), "axis": None if "tensor" in form.name else 0}


def _algorithm(name: str) -> dict[str, Any]:
    """What servers call a layer's format."""
    parsed = parse(name)
    form = weight_only(parsed)
    if isinstance(form, IntFormat):
        inputs = parsed.act_bits if isinstance(parsed, PairFormat) else 16
        known = {(8, 16): "W8A16", (4, 16): "W4A16_AWQ", (8, 8): "W8A8_SQ_PER_CHANNEL", (4, 8): "W4A8_AWQ"}
        algorithm: dict[str, Any] = {"quant_algo": known[form.width, inputs]}
        if form.group:
            algorithm |= {"group_size": form.group, "has_zero_point": False, "pre_quant_scale": False}
        return algorithm
    if form.name == "nvfp4":
        return {"quant_algo": "W4A16_NVFP4", "group_size": 16}
    return {"quant_algo": "FP8"}
