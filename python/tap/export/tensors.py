"""A safetensors file written tensor by tensor, so that no two of them need to be in memory at once."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

_NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
    torch.uint32: "U32",
    torch.bool: "BOOL", torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
}  # fmt: skip
_SIZES = (8, 4, 2, 1)
_PIECE = 1 << 20

Add = Callable[[str, Tensor], None]
"""Takes a tensor into a file under its name."""


@contextmanager
def tensor_file(path: Path, metadata: Mapping[str, str]) -> Iterator[Add]:
    """Yield `add(name, tensor)`; the file, with `metadata` as it is then, is written when the block ends.

    Tensors wait in files beside it, by the size of their numbers, since readers want the widest first.

    >>> from safetensors.torch import load_file
    >>> path = Path(tempfile.mkdtemp()) / "w.safetensors"
    >>> with tensor_file(path, {"format": "pt"}) as add:
    ...     add("half", torch.ones(3, dtype=torch.float16))
    ...     add("whole", torch.arange(2))
    >>> {name: tensor.tolist() for name, tensor in sorted(load_file(path).items())}
    {'half': [1.0, 1.0, 1.0], 'whole': [0, 1]}
    """
    entries: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}."))
        parts: dict[int, IO[bytes]] = {
            size: stack.enter_context((Path(folder) / str(size)).open("w+b")) for size in _SIZES
        }

        def add(name: str, tensor: Tensor) -> None:
            part, flat = parts[tensor.element_size()], tensor.detach().cpu().contiguous().view(-1)
            start, step = part.tell(), max(1, _PIECE // tensor.element_size())
            for first in range(0, flat.numel(), step):
                part.write(flat[first : first + step].view(torch.uint8).numpy().tobytes())
            places = [start, part.tell()]
            entries[name] = {
                "dtype": _NAMES[tensor.dtype],
                "shape": list(tensor.shape),
                "data_offsets": places,
            }
            sizes[name] = tensor.element_size()

        sizes: dict[str, int] = {}
        yield add
        begin = {size: sum(parts[wide].tell() for wide in _SIZES if wide > size) for size in _SIZES}
        for name, entry in entries.items():
            entry["data_offsets"] = [place + begin[sizes[name]] for place in entry["data_offsets"]]
        header = json.dumps({"__metadata__": dict(metadata), **entries}).encode()
        header += b" " * (-len(header) % 8)
        with path.open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            for part in parts.values():
                part.seek(0)
                shutil.copyfileobj(part, file)


def add_parts(add: Add, prefix: str, parts: Mapping[str, Tensor]) -> int:
    """Add the tensors of one weight, each under `prefix` and its name; their bytes."""
    for name, value in parts.items():
        add(f"{prefix}{name}", value)
    return sum(value.numel() * value.element_size() for value in parts.values())
