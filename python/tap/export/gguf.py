"""GGUF: one file with every unit in the block type of the plan, by the `gguf` package.

Three ways, by what is at hand. With `base=`, a GGUF file of the same model in 16 or 32 bits: everything of it
is copied, tokenizer included, and the plan's tensors are quantized; llama.cpp loads the result. With a
model of transformers that GGUF has names for: names and settings, no tokenizer. With any other model:
its own tensor names, for programs that read GGUF themselves.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, quants
from numpy.typing import NDArray
from torch import Tensor, nn

from tap.errors import ExportError
from tap.export.encode import encoded, other_state
from tap.export.gguf_names import architecture, rotated_heads, settings, tensor_names

if TYPE_CHECKING:
    from tap.plan import Plan


def write(plan: Plan, path: Path, *, model: nn.Module, base: str | Path | None = None) -> dict[str, int]:
    """Write the file; the bytes of each unit."""
    if base is not None:
        return _from_base(plan, path, model, Path(base))
    name = architecture(model)
    writer = GGUFWriter(path, name or "tap")
    rest = other_state(model)
    items = list(encoded(model, plan))
    keys = [*rest, *(item.key for item in items)]
    names = tensor_names(model, keys) if name else {key: key for key in keys}
    if name:
        settings(writer, model)
    written: dict[str, int] = {}
    for key, tensor in rest.items():
        _add_plain(writer, names[key], _turned(tensor, rotated_heads(model, key) if name else None))
    for item in items:
        blocks = _turned(item.codes, rotated_heads(model, item.key) if name else None).numpy()
        kind = GGMLQuantizationType[str(item.format.name).removeprefix("gguf-").upper()]
        writer.add_tensor(names[item.key], blocks, raw_dtype=kind)
        written[item.unit.name] = blocks.nbytes
    _close(writer)
    return written


def _from_base(plan: Plan, path: Path, model: nn.Module, base: Path) -> dict[str, int]:
    """Copy a GGUF file with the plan's tensors quantized."""
    if not base.is_file():
        raise ExportError(f"there is no file {base}", hint="pass the GGUF file of the model in 16 bits")
    reader = GGUFReader(base)
    kept = {tensor.name: tensor for tensor in reader.tensors}
    names = tensor_names(model, [f"{unit.name}.weight" for unit in plan.units])
    wanted = {names[f"{unit.name}.weight"]: unit.name for unit in plan.units}
    missing = [name for name in wanted if name not in kept]
    if missing:
        raise ExportError(f"{base} has no tensor '{missing[0]}'", hint="pass the GGUF file of the same model")
    writer = GGUFWriter(path, str(reader.fields["general.architecture"].contents()))
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        inner = field.types[1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(key, field.contents(), field.types[0], sub_type=inner)
    written: dict[str, int] = {}
    for name, tensor in kept.items():
        if name not in wanted:
            writer.add_tensor(name, np.array(tensor.data), raw_dtype=tensor.tensor_type)
            continue
        if tensor.tensor_type not in (
            GGMLQuantizationType.F32,
            GGMLQuantizationType.F16,
            GGMLQuantizationType.BF16,
        ):
            raise ExportError(f"'{name}' of {base} is quantized already", hint="pass a file in 16 or 32 bits")
        kind = GGMLQuantizationType[plan.choices[wanted[name]].removeprefix("gguf-").upper()]
        values = quants.dequantize(tensor.data, tensor.tensor_type)
        blocks: NDArray[np.uint8] = quants.quantize(np.ascontiguousarray(values, np.float32), kind)
        writer.add_tensor(name, blocks, raw_dtype=kind)
        written[wanted[name]] = blocks.nbytes
    _close(writer)
    return written


def _add_plain(writer: Any, name: str, tensor: Tensor) -> None:
    """A tensor without a format: vectors in 32 bits, as llama.cpp expects, matrices as they are."""
    if tensor.dtype == torch.bfloat16 and tensor.ndim > 1:
        values = quants.quantize(tensor.float().numpy(), GGMLQuantizationType.BF16)
        writer.add_tensor(name, values, raw_dtype=GGMLQuantizationType.BF16)
        return
    wide = tensor.ndim < 2 or tensor.dtype not in (torch.float16, torch.float32)
    plain = tensor.float() if wide else tensor
    writer.add_tensor(name, plain.reshape(plain.shape or (1,)).contiguous().numpy())


def _turned(rows: Tensor, heads: int | None) -> Tensor:
    """Rows of each head in llama.cpp's order: the halves of a rotation beside each other."""
    if heads is None:
        return rows
    shape = rows.shape
    split = rows.reshape(heads, 2, shape[0] // heads // 2, *shape[1:])
    return split.transpose(1, 2).reshape(shape).contiguous()


def _close(writer: Any) -> None:
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
