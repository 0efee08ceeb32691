"""AutoRound: `layer_config` for its constructor, and the `extra_config` that its checkpoints carry."""

from __future__ import annotations

import json
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
    """Write layer_config.json and quantization_config.json; no weights, so no bytes."""
    layers = {unit: _layer(form) for unit, form in plan.choices.items()}
    base = commonest(layers.values())
    named = set(layers)
    left = [] if model is None else [site.name for site in find_sites(model) if site.kind == "linear"]
    full = {name: {"bits": 16, "data_type": "float"} for name in left if name not in named}
    (path / "layer_config.json").write_text(json.dumps({**layers, **full}, indent=2) + "\n", encoding="utf-8")
    extra = {name: _difference(layer, base) for name, layer in layers.items() if layer != base}
    config = {"quant_method": "auto-round", **base, "extra_config": {**extra, **full}}
    (path / "quantization_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return {}


def _layer(name: str) -> dict[str, Any]:
    form = parse(name)
    assert isinstance(form, IntFormat)
    return {"bits": form.width, "group_size": form.group or -1, "sym": form.symmetric, "data_type": "int"}


def _difference(layer: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in layer.items() if base[key] != value}
