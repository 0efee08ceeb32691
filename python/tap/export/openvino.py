"""OpenVINO: passes of `nncf.compress_weights`, one for each format, as code.

NNCF has no map from layers to bits. Each pass compresses the layers of one format and ignores all others;
names are those of the MatMul operations that `openvino.convert_model` makes of a PyTorch model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap.formats import parse
from tap.formats.integer import IntFormat

if TYPE_CHECKING:
    from torch import nn

    from tap.plan import Plan

_CODE = '''"""Compress an OpenVINO model by passes.json: `compress(openvino.convert_model(model, ...))`."""

import json
from pathlib import Path

import nncf

PASSES = json.loads((Path(__file__).parent / "passes.json").read_text())


def compress(model):
    """The model with the weights of each pass compressed."""
    names = [name for step in PASSES for name in step["names"]]
    present = {operation.get_friendly_name() for operation in model.get_ops()}
    missing = [name for name in names if name not in present]
    if missing:
        raise ValueError(f"the model has no operation {missing[0]}")
    others = [name for name in present - set(names) if name.endswith(("/MatMul", "/Convolution", "/Gather"))]
    for step in PASSES:
        ignored = others + [name for name in names if name not in step["names"]]
        options = {}
        if step["mode"].startswith("INT4"):
            options = {"ratio": 1.0, "group_size": step["group_size"], "all_layers": True}
            options["backup_mode"] = nncf.BackupMode.NONE
        model = nncf.compress_weights(
            model,
            mode=nncf.CompressWeightsMode[step["mode"]],
            ignored_scope=nncf.IgnoredScope(names=ignored, validate=False),
            **options,
        )
    return model
'''


def write(plan: Plan, path: Path, *, model: nn.Module | None = None) -> dict[str, int]:
    """Write passes.json and compress_model.py; no weights, so no bytes."""
    passes: dict[str, dict[str, Any]] = {}
    for unit, name in plan.choices.items():
        form = parse(name)
        assert isinstance(form, IntFormat)
        mode = f"INT{form.width}_{'SYM' if form.symmetric else 'ASYM'}"
        step = passes.setdefault(
            f"{mode} {form.group}", {"mode": mode, "group_size": form.group or -1, "names": []}
        )
        step["names"].append(f"__module.{unit}/aten::linear/MatMul")
    # 4-bit passes come first: an 8-bit pass leaves alone what is compressed already.
    ordered = sorted(passes.values(), key=lambda step: str(step["mode"]))
    (path / "passes.json").write_text(json.dumps(ordered, indent=2) + "\n", encoding="utf-8")
    (path / "compress_model.py").write_text(_CODE, encoding="utf-8")
    return {}
