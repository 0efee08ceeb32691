"""GPTQ: quantize_config.json with the `dynamic` map that GPTQModel applies and vLLM reads.

Patterns are matched from the start of a name, in order; each is an exact name between `^` and `$`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap.export.commonest import commonest
from tap.formats import parse
from tap.formats.integer import IntFormat
from tap.stats.sites import find_sites

if TYPE_CHECKING:
    from torch import nn

    from tap.plan import Plan


def write(plan: Plan, path: Path, *, model: nn.Module | None = None) -> dict[str, int]:
    """Write the file; no weights, so no bytes."""
    layers = {unit: _layer(form) for unit, form in plan.choices.items()}
    base = commonest(layers.values())
    dynamic: dict[str, dict[str, Any]] = {
        f"+:{_exact(name)}": layer for name, layer in layers.items() if layer != base
    }
    left = [] if model is None else [site.name for site in find_sites(model) if site.kind == "linear"]
    dynamic |= {f"-:{_exact(name)}": {} for name in left if name not in layers}
    config = {"quant_method": "gptq", **base, "desc_act": False, "dynamic": dynamic}
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return {}


def _layer(name: str) -> dict[str, Any]:
    form = parse(name)
    assert isinstance(form, IntFormat)
    return {"bits": form.width, "group_size": form.group or -1, "sym": form.symmetric}


def _exact(name: str) -> str:
    return f"^{re.escape(name)}$"
