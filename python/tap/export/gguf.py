"""GGUF: one file with every unit in the block type of the plan, by the `gguf` package.

Three ways, by what is at hand. With `base=`, a GGUF file of the same model in 16 or 32 bits: everything of it
is copied, tokenizer included, and the plan's tensors are quantized; llama.cpp loads the result. With a
model of transformers that GGUF has names for: names and settings, no tokenizer. With any other model:
its own tensor names, for programs that read GGUF themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, quants
from numpy.typing import NDArray
from torch import Tensor, nn

from tap.errors import ExportError
from tap.export.encode import encode, other_state, weight_key
from tap.export.gguf_names import architecture, rotated_heads, settings, tensor_names
from tap.formats import parse
from tap.stats.sites import find_sites
from tap.stats.units import Unit

if TYPE_CHECKING:
    from tap.plan import Plan


def write(plan: Plan, path: Path, *, model: nn.Module, base: str | Path | None = None) -> dict[str, int]:
    """Write the file; the bytes of each unit."""
    if base is not None:
        return _from_base(plan, path, model, Path(base))
    name = architecture(model)
    writer: Any = GGUFWriter(path, name or "tap")
    rest = other_state(model)
    sites = {site.name: site for site in find_sites(model)}
    units = {weight_key(sites[unit.name]): unit for unit in plan.units}
    names = tensor_names(model, [*rest, *units]) if name else {key: key for key in (*rest, *units)}
    if name:
        settings(writer, model)
    written: dict[str, int] = {}
    for key, tensor in rest.items():
        _add_plain(writer, names[key], _turned(tensor, rotated_heads(model, key) if name else None))
    for key, unit in units.items():
        heads = rotated_heads(model, key) if name else None

        def blocks(unit: Unit = unit, heads: int | None = heads) -> NDArray[np.uint8]:
            item = encode(unit, sites.values())
            found: NDArray[np.uint8] = _turned(item.codes, heads).numpy()
            return found

        format = parse(plan.choices[unit.name])
        size = format.stored_bytes(unit)
        kind = GGMLQuantizationType[format.name.removeprefix("gguf-").upper()]
        writer.add_tensor(names[key], _Later((unit.out, size // unit.out), blocks), raw_dtype=kind)
        written[unit.name] = size
    _close(writer)
    return written


class _Later:
    """Blocks that are made when the writer comes to them, in the form of an array as `GGUFWriter` uses it."""

    dtype = np.dtype(np.uint8)

    def __init__(self, shape: tuple[int, int], make: Callable[[], NDArray[np.uint8]]) -> None:
        self.shape, self.nbytes, self._make = shape, shape[0] * shape[1], make

    def tofile(self, file: Any) -> None:
        """Write the blocks to the open file."""
        blocks = self._make()
        if blocks.nbytes != self.nbytes:
            raise ExportError(f"blocks of {blocks.nbytes} bytes where {self.nbytes} were announced")
        blocks.tofile(file)


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
    writer: Any = GGUFWriter(path, str(reader.fields["general.architecture"].contents()))
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

        def blocks(tensor: Any = tensor, kind: GGMLQuantizationType = kind) -> NDArray[np.uint8]:
            values = quants.dequantize(tensor.data, tensor.tensor_type)
            found: NDArray[np.uint8] = quants.quantize(np.ascontiguousarray(values, np.float32), kind)
            return found

        rows, columns = (int(size) for size in reversed(tensor.shape))
        each, size = GGML_QUANT_SIZES[kind]
        later = _Later((rows, columns // each * size), blocks)
        writer.add_tensor(name, later, raw_dtype=kind)
        written[wanted[name]] = later.nbytes
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
