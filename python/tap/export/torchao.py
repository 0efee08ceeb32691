"""torchao: the plan as an FqnToConfig, in config.json and as code, and with a model its quantized tensors.

Every layer is named exactly and no pattern is used, so the order of the keys does not matter: transformers
writes config.json with sorted keys. torchao itself rounds with the largest magnitude of a group (as formats
that end in -absmax do); `model.safetensors` holds the weights as the plan has them instead.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap.export.config import with_quantization
from tap.formats import parse
from tap.formats.integer import IntFormat

if TYPE_CHECKING:
    from torch import nn

    from tap.plan import Plan

_CODE = '''"""The formats of a plan, for torchao: `quantize(model)` puts them in."""

from collections import OrderedDict

import torch
from torchao.quantization import FqnToConfig, IntxWeightOnlyConfig, MappingType, PerAxis, PerGroup, quantize_

PLAN = OrderedDict([
{lines}
])


def quantize(model):
    """Quantize the weights of `model` in place; the model itself."""
    quantize_(model, FqnToConfig(PLAN), filter_fn=None)
    return model
'''


def write(plan: Plan, path: Path, *, model: nn.Module | None = None) -> dict[str, int]:
    """Write config.json and quantize_model.py, and model.safetensors when there is a model."""
    configs = {unit: _config(name) for unit, name in plan.choices.items()}
    tree = {"_type": "FqnToConfig", "_version": 1, "_data": {"fqn_to_config": configs}}
    quantization = {"quant_method": "torchao", "quant_type": {"default": tree}}
    (path / "config.json").write_text(with_quantization(model, quantization), encoding="utf-8")
    lines = "\n".join(f"    ({unit!r}, {_code(name)})," for unit, name in plan.choices.items())
    (path / "quantize_model.py").write_text(_CODE.format(lines=lines), encoding="utf-8")
    return {} if model is None else _tensors(plan, path, model)


def load_into(model: nn.Module, path: str | Path) -> nn.Module:
    """Load model.safetensors of an export into a model of the same layers; the model itself."""
    from safetensors import safe_open
    from torchao.prototype.safetensors.safetensors_support import unflatten_tensor_state_dict

    with safe_open(Path(path) / "model.safetensors", framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        state, _ = unflatten_tensor_state_dict(tensors, file.metadata())
    model.load_state_dict(state, strict=False, assign=True)
    return model


def _config(name: str) -> dict[str, Any]:
    """The JSON of one layer's configuration."""
    form = parse(name)
    assert isinstance(form, IntFormat)
    granularity = (
        {"_type": "PerGroup", "_version": 1, "_data": {"group_size": form.group}}
        if form.group
        else {"_type": "PerAxis", "_version": 1, "_data": {"axis": 0}}
    )
    data = {
        "weight_dtype": {"_type": "torch.dtype", "_data": f"int{form.width}"},
        "granularity": granularity,
        "mapping_type": {"_type": "MappingType", "_data": "SYMMETRIC" if form.symmetric else "ASYMMETRIC"},
        "scale_dtype": {"_type": "torch.dtype", "_data": "bfloat16"} if form.group else None,
    }
    return {"_type": "IntxWeightOnlyConfig", "_version": 2, "_data": data}


def _code(name: str) -> str:
    """The same as Python."""
    form = parse(name)
    assert isinstance(form, IntFormat)
    granularity = f"PerGroup({form.group})" if form.group else "PerAxis(0)"
    mapping = "" if form.symmetric else ", mapping_type=MappingType.ASYMMETRIC"
    scale = ", scale_dtype=torch.bfloat16" if form.group else ""
    return (
        f"IntxWeightOnlyConfig(weight_dtype=torch.int{form.width}, granularity={granularity}{mapping}{scale})"
    )


def _tensors(plan: Plan, path: Path, model: nn.Module) -> dict[str, int]:
    """Write the weights as torchao's tensors of unpacked integers."""
    import torch
    from safetensors.torch import save_file
    from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict
    from torchao.quantization import IntxUnpackedToInt8Tensor

    from tap.export.encode import encoded, other_state

    state: dict[str, Any] = other_state(model)
    for item in encoded(model, plan):
        half = 0 if item.low < 0 else (item.high + 1) // 2
        state[item.key] = IntxUnpackedToInt8Tensor(
            (item.codes - half).to(torch.int8),
            item.scale.to(torch.bfloat16 if getattr(item.format, "group", None) else torch.float32),
            (item.zero - half).to(torch.int8),
            getattr(torch, f"int{int(item.format.bits)}"),
            (1, item.group),
            item.dtype,
            None,
        )
    tensors, metadata = flatten_tensor_state_dict(state)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path / "model.safetensors",
              {**metadata, "format": "pt"})  # fmt: skip
    written = {}
    for unit, key in ((item.unit.name, item.key) for item in encoded(model, plan)):
        stem, _, last = key.rpartition(".")
        parts = [value for name, value in tensors.items() if name.startswith((f"{key}:", f"{stem}._{last}_"))]
        written[unit] = sum(value.numel() * value.element_size() for value in parts)
    return written
