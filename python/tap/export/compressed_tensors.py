"""compressed-tensors: a checkpoint folder that transformers and vLLM load.

One config group for each format, its targets the exact names of its layers. Integer codes are packed without
gaps into int32 words, row by row; fp8 weights are stored as they are. Scales have the type of the model. The
values are those of the plan, with its rounding and calibration; nothing is rounded again. Zero points are not
held: transformers 5.24 with compressed-tensors 0.20 expects them in a shape that the library does not write.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tap.export.bits import pack
from tap.export.config import with_quantization
from tap.export.encode import Encoded, encoded, other_state
from tap.export.tensors import add_parts, tensor_file
from tap.formats import Format
from tap.formats.integer import IntFormat
from tap.stats.sites import find_sites

if TYPE_CHECKING:
    from tap.plan import Plan


def write(plan: Plan, path: Path, *, model: nn.Module) -> dict[str, int]:
    """Write config.json and model.safetensors; the bytes of each unit."""
    groups: dict[str, tuple[Format, list[str]]] = {}
    written: dict[str, int] = {}
    with tensor_file(path / "model.safetensors", {"format": "pt"}) as add:
        for name, tensor in other_state(model).items():
            add(name, tensor)
        for item in encoded(model, plan):
            prefix = item.key.removesuffix(".weight") + "."
            written[item.unit.name] = add_parts(add, prefix, _parts(item))
            groups.setdefault(item.format.name, (item.format, []))[1].append(item.unit.name)
    names = {unit.name for unit in plan.units}
    left = [site.name for site in find_sites(model) if site.kind == "linear" and site.name not in names]
    text = with_quantization(model, _config(list(groups.values()), left))
    (path / "config.json").write_text(text, encoding="utf-8")
    return written


def _config(groups: list[tuple[Format, list[str]]], ignore: list[str]) -> dict[str, Any]:
    """The entry of config.json."""
    formats = [_storage(form) for form, _ in groups]
    mixed = len(set(formats)) > 1
    return {
        "quant_method": "compressed-tensors",
        "format": "mixed-precision" if mixed else formats[0],
        "quantization_status": "compressed",
        "config_groups": {
            f"group_{number}": {
                "targets": names,
                "weights": _weights(form),
                **({"format": storage} if mixed else {}),
            }
            for number, ((form, names), storage) in enumerate(zip(groups, formats, strict=True))
        },
        "ignore": ignore,
    }


def _storage(form: Format) -> str:
    return "pack-quantized" if isinstance(form, IntFormat) else "float-quantized"


def _weights(form: Format) -> dict[str, Any]:
    """How a group's weights are quantized."""
    if not isinstance(form, IntFormat):
        return {"num_bits": 8, "type": "float", "symmetric": True, "strategy": "channel"}
    grouped = {"strategy": "group", "group_size": form.group} if form.group else {"strategy": "channel"}
    return {"num_bits": form.width, "type": "int", "symmetric": form.symmetric, **grouped}


def _parts(item: Encoded) -> dict[str, Tensor]:
    """The tensors of one layer."""
    form = item.format
    scale = item.scale.to(item.dtype).contiguous()
    if not isinstance(form, IntFormat):
        return {"weight": item.codes.to(torch.float8_e4m3fn), "weight_scale": scale}
    return {
        "weight_packed": _words(item.codes - item.low, form.width),
        "weight_scale": scale,
        "weight_shape": torch.tensor(item.codes.shape, dtype=torch.int64),
    }


def _words(codes: Tensor, width: int) -> Tensor:
    """Unsigned codes [rows, columns] as int32 [rows, ceil(columns * width / 32)]."""
    rows, columns = codes.shape
    padded = torch.nn.functional.pad(codes.to(torch.uint8), (0, -columns % 32))
    packed = torch.from_numpy(pack(padded.numpy(), width)).reshape(rows, -1)
    return packed.view(torch.int32)[:, : -(-columns * width // 32)].contiguous()
