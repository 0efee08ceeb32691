"""MLX: a checkpoint in MLX's packed form, with its config.json and the predicate for `nn.quantize`.

A group of 32, 64 or 128 columns has a scale and a bias: value = scale * code + bias. Symmetric formats fit
as well, with bias = scale * lowest code. mlx-lm reads the folder for models whose names agree with
transformers'; the values are those of the plan.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tap.export.bits import pack
from tap.export.encode import Encoded, encoded, other_state
from tap.export.tensors import add_parts, tensor_file
from tap.formats import parse
from tap.formats.integer import IntFormat

if TYPE_CHECKING:
    from tap.plan import Plan

_CODE = '''"""The formats of a plan, for `mlx.nn.quantize(model, class_predicate=predicate)`."""

PLAN = {{
{lines}
}}


def predicate(path, module):
    """What a layer is quantized to; layers that the plan leaves out stay as they are."""
    return hasattr(module, "to_quantized") and PLAN.get(path, False)
'''


def write(plan: Plan, path: Path, *, model: nn.Module) -> dict[str, int]:
    """Write config.json, predicate.py and model.safetensors; the bytes of each unit."""
    layers = {unit: _layer(form) for unit, form in plan.choices.items()}
    first = next(iter(layers.values()))
    kept = {name: tensor for name, tensor in other_state(model).items() if tensor.is_floating_point()}
    written: dict[str, int] = {}
    with tensor_file(path / "model.safetensors", {"format": "mlx"}) as add:
        for name, tensor in kept.items():
            add(name, tensor)
        for item in encoded(model, plan):
            prefix = item.key.removesuffix(".weight") + "."
            written[item.unit.name] = add_parts(add, prefix, _parts(item))
    others = {name.removesuffix(".weight"): False for name, tensor in kept.items()
              if name.endswith(".weight") and tensor.ndim > 1}  # fmt: skip
    quantization = {**first, "mode": "affine", **others, **layers}
    find = getattr(getattr(model, "config", None), "to_dict", None)
    config = {**(find() if find else {}), "quantization": quantization, "quantization_config": quantization}
    (path / "config.json").write_text(json.dumps(config, indent=2, default=str) + "\n", encoding="utf-8")
    lines = "\n".join(f"    {unit!r}: {layer!r}," for unit, layer in layers.items())
    (path / "predicate.py").write_text(_CODE.format(lines=lines), encoding="utf-8")
    return written


def _layer(name: str) -> dict[str, Any]:
    form = parse(name)
    assert isinstance(form, IntFormat)
    return {"group_size": form.group, "bits": form.width}


def _parts(item: Encoded) -> dict[str, Tensor]:
    """Packed codes, scales and biases of one layer."""
    form = item.format
    assert isinstance(form, IntFormat)
    codes = (item.codes - item.low).to(torch.uint8)
    packed = torch.from_numpy(pack(codes.numpy(), form.width)).reshape(item.unit.out, -1)
    return {
        "weight": packed.view(torch.uint32),
        "scales": item.scale.to(item.dtype).contiguous(),
        "biases": (item.scale * (item.low - item.zero)).to(item.dtype).contiguous(),
    }
