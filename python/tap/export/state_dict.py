"""A plain PyTorch state in one safetensors file: packed codes and scales for units, tensors for the rest.

For each unit's weight `key`: `key:codes` (bytes, packed without gaps), `key:scale`, and where the format has
them `key:zero` (packed), `key:tensor_scale`, `key:input_scale`, `key:input_zero`. Rows are padded to whole
groups, so that codes and scales take exactly the bytes that the plan counts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from tap.errors import ExportError
from tap.export.bits import E2M1, e2m1_codes, pack, unpack
from tap.export.encode import Encoded, encoded, in_shape, other_state, plain_aliases
from tap.export.tensors import add_parts, tensor_file
from tap.formats import parse
from tap.formats.floating import BlockFloat, FloatFormat
from tap.formats.gguf import Blocks, GgufFormat
from tap.formats.integer import IntFormat
from tap.quantize.fake import FakeInput
from tap.quantize.inputs import InputRange
from tap.stats.batches import unwrap
from tap.stats.sites import find_sites
from tap.stats.units import Unit

if TYPE_CHECKING:
    from tap.plan import Plan

VERSION = 1
_FLOAT8 = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}


def write(plan: Plan, path: Path, *, model: nn.Module) -> dict[str, int]:
    """Write the file; the bytes of each unit in it."""
    aliases = plain_aliases(model)
    records: dict[str, Any] = {}
    written: dict[str, int] = {}
    metadata: dict[str, str] = {}
    with tensor_file(path, metadata) as add:
        for name, tensor in other_state(model).items():
            add(name, tensor)
        for item in encoded(model, plan):
            written[item.unit.name] = add_parts(add, f"{item.key}:", _parts(item))
            aliases |= dict.fromkeys(item.aliases, item.key)
            records[item.key] = _record(item)
        header = {"kind": "packed", "version": VERSION, "units": records, "aliases": aliases}
        metadata["tap"] = json.dumps(header)
    return written


def _record(item: Encoded) -> dict[str, Any]:
    """What reading a weight back takes besides its tensors."""
    bits = {} if item.input_range is None else {"input_bits": item.input_range.bits}
    dtype = str(item.dtype).removeprefix("torch.")
    return {
        "format": item.format.name,
        "shape": list(item.shape),
        "dtype": dtype,
        **item.unit.as_json(),
        **bits,
    }


def load(path: str | Path) -> dict[str, Tensor]:
    """The state that the original model loads: every weight as the values of its format.

    Raises:
        ExportError: the file is damaged, of another kind, or of a newer version.
    """
    header, tensors = _read(path)
    state = {name: tensor for name, tensor in tensors.items() if ":" not in name}
    for key, record in header["units"].items():
        unit = Unit.from_json({name: record[name] for name in Unit.__dataclass_fields__})
        parts = {
            name.removeprefix(f"{key}:"): value
            for name, value in tensors.items()
            if name.startswith(f"{key}:")
        }
        rows = _decode(parse(record["format"]), parts, unit)
        state[key] = in_shape(rows, unit, torch.Size(record["shape"]), getattr(torch, record["dtype"]))
    return state | {name: state[there] for name, there in header["aliases"].items()}


def load_into(model: nn.Module, path: str | Path) -> nn.Module:
    """Load the file into a model of the same layers, with the ranges of its inputs; the model itself."""
    header, tensors = _read(path)
    model.load_state_dict(load(path))
    modules = {site.name: site.module for site in find_sites(unwrap(model))}
    for key, record in header["units"].items():
        if "input_bits" in record:
            scale, zero = (float(tensors[f"{key}:input_{part}"]) for part in ("scale", "zero"))
            top = (1 << record["input_bits"]) - 1
            found = InputRange(-zero * scale, (top - zero) * scale, record["input_bits"])
            modules[record["name"]].register_forward_pre_hook(FakeInput(found), with_kwargs=True)
    return model


def _parts(item: Encoded) -> dict[str, Tensor]:
    """What is stored of one unit."""
    form, parts = item.format, {}
    if isinstance(form, IntFormat):
        columns = item.codes.shape[1]
        missing = -columns % item.group
        codes = (item.codes - item.low).to(torch.uint8)
        # A padded code is that of 0, so that whoever reads whole groups reads zeros.
        zero = (item.zero - item.low).to(torch.uint8)
        if missing:
            codes = torch.cat([codes, zero[:, -1:].expand(len(codes), missing)], 1)
        scale = item.scale[:1] if form.per_tensor else item.scale
        parts = {
            "codes": torch.from_numpy(pack(codes.numpy(), form.width)),
            "scale": scale.to(torch.bfloat16 if form.group else torch.float32).contiguous(),
        }
        if not form.symmetric:
            zero = zero[:1] if form.per_tensor else zero
            parts["zero"] = torch.from_numpy(pack(zero.numpy(), form.width))
    elif isinstance(form, FloatFormat) and form.kind in _FLOAT8:
        parts = {"codes": item.codes.to(_FLOAT8[form.kind]), "scale": item.scale}
    elif isinstance(form, FloatFormat):
        parts = {"codes": torch.from_numpy(pack(e2m1_codes(item.codes.numpy()), 4)), "scale": item.scale}
    elif isinstance(form, BlockFloat):
        padded = torch.nn.functional.pad(item.codes, (0, -item.codes.shape[1] % form.group))
        parts = {"codes": torch.from_numpy(pack(e2m1_codes(padded.numpy()), 4))}
        if form.name == "mxfp4":
            parts["scale"] = (torch.log2(item.scale) + 127).to(torch.uint8)
        else:
            parts["scale"] = item.scale.to(torch.float8_e4m3fn)
            parts["tensor_scale"] = torch.tensor([item.whole], dtype=torch.float32)
    else:
        parts = {"codes": item.codes}
    if item.input_range is not None:
        parts["input_scale"] = torch.tensor([item.input_range.scale], dtype=torch.float32)
        parts["input_zero"] = torch.tensor([item.input_range.zero], dtype=torch.int32)
    return parts


def _decode(form: Any, parts: dict[str, Tensor], unit: Unit) -> Tensor:
    """The weight [out, columns] of what was stored."""
    out, columns = unit.out, unit.inp * unit.pos
    if isinstance(form, GgufFormat):
        return Blocks(form.kind, parts["codes"]).values()
    if isinstance(form, FloatFormat):
        if form.kind in _FLOAT8:
            codes = parts["codes"].float()
        else:
            found = unpack(parts["codes"].numpy(), 4, out * columns)
            codes = torch.from_numpy(E2M1[found]).reshape(out, columns)
        return codes * parts["scale"]
    if isinstance(form, BlockFloat):
        groups = -(-columns // form.group)
        found = unpack(parts["codes"].numpy(), 4, out * groups * form.group)
        codes = torch.from_numpy(E2M1[found]).reshape(out, groups, form.group)
        scale = torch.exp2(parts["scale"].float() - 127) if form.name == "mxfp4" else parts["scale"].float()
        scale = scale * parts.get("tensor_scale", torch.ones(1))
        return (codes * scale.unsqueeze(2)).reshape(out, -1)[:, :columns]
    scale = parts["scale"].float()
    groups = 1 if form.per_tensor else scale.shape[1]
    size = columns if form.group is None else min(form.group, columns)
    found = unpack(parts["codes"].numpy(), form.width, out * groups * size)
    codes = torch.from_numpy(found.astype(np.float32)).reshape(out, groups, size)
    if form.symmetric:
        zero = torch.full_like(scale, 1 << (form.width - 1))
    else:
        packed = unpack(parts["zero"].numpy(), form.width, scale.numel())
        zero = torch.from_numpy(packed.astype(np.float32)).reshape(scale.shape)
    return ((codes - zero.unsqueeze(2)) * scale.unsqueeze(2)).reshape(out, -1)[:, :columns]


def _read(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors of a file that `write` wrote."""
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("tap", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ExportError(f"{path} cannot be read: {error}", hint="export the plan again") from error
    if not isinstance(header, dict) or header.get("kind") != "packed":
        raise ExportError(
            f"{path} is no packed state of tap", hint="write one: tap export --target state-dict"
        )
    if header.get("version") != VERSION:
        raise ExportError(
            f"{path} has version {header.get('version')}; this tap reads {VERSION}", hint="update tap-mpq"
        )
    return header, tensors
