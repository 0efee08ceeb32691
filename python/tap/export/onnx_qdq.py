"""ONNX QDQ: integer weights behind DequantizeLinear, and 8-bit inputs behind static QuantizeLinear pairs.

Opset 21: INT4 and INT8 (UINT4, UINT8 with zero points) weights in one graph, one scale a row or a group.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from tap.errors import ExportError
from tap.export.bits import pack
from tap.export.encode import Encoded, encoded, in_shape
from tap.export.onnx_graph import graph_of, weight_named
from tap.formats.integer import IntFormat

if TYPE_CHECKING:
    from tap.plan import Plan

_TYPES = {(4, True): TensorProto.INT4, (8, True): TensorProto.INT8, (4, False): TensorProto.UINT4,
          (8, False): TensorProto.UINT8}  # fmt: skip
_FLOATS = {torch.float32: TensorProto.FLOAT, torch.float16: TensorProto.FLOAT16,
           torch.bfloat16: TensorProto.BFLOAT16}  # fmt: skip


def write(
    plan: Plan, path: Path, *, model: nn.Module, data: Any = None, base: str | Path | None = None
) -> dict[str, int]:
    """Write the graph; the bytes of each unit in it."""
    graph = graph_of(model, data, base=base)
    written = {}
    for item in encoded(model, plan):
        values = in_shape(item.decode(), item.unit, item.shape, torch.float32).numpy()
        found = weight_named(graph, item.key, values)
        if found is None:
            raise ExportError(
                f"the graph has no weight for unit '{item.unit.name}'",
                hint="export it from PyTorch without folding batch norms, or leave the unit out",
            )
        turned = tuple(found.dims) != tuple(item.shape)
        parts = _tensors(item, found.name, turned=turned != item.unit.transposed)
        written[item.unit.name] = _put_in(graph, item, found, parts, turned=turned != item.unit.transposed)
    _sort(graph)
    onnx.checker.check_model(graph)
    onnx.save(graph, path)
    return written


def _tensors(item: Encoded, name: str, *, turned: bool) -> list[onnx.TensorProto]:
    """Codes, scale and, for asymmetric formats, zero point."""
    form = item.format
    assert isinstance(form, IntFormat)
    dtype = _TYPES[form.width, form.symmetric]
    shape = list(item.shape) if not item.unit.transposed else [item.unit.out, item.unit.inp]
    grid = item.scale.shape if form.group else (item.unit.out,)
    zero = item.zero.expand(item.scale.shape)
    scale = item.scale.to(item.dtype)

    def tensor(suffix: str, kind: int, values: Tensor, dims: Any) -> onnx.TensorProto:
        if turned and len(dims) == 2:
            values, dims = values.reshape(*dims).t().contiguous(), dims[::-1]
        return helper.make_tensor(
            f"{name}_{suffix}", kind, list(dims), _raw(values, kind, form.width), raw=True
        )

    parts = [tensor("quantized", dtype, item.codes, shape), tensor("scale", _FLOATS[item.dtype], scale, grid)]
    return parts if form.symmetric else [*parts, tensor("zero", dtype, zero, grid)]


def _raw(values: Tensor, kind: int, width: int) -> bytes:
    """The bytes of a tensor of ONNX; 4-bit ones two a byte."""
    if values.is_floating_point() and kind in _FLOATS.values():
        return values.contiguous().view(torch.uint8).numpy().tobytes()
    codes = values.to(torch.int16).numpy().reshape(-1)
    if width == 4:
        return pack((codes & 15).astype(np.uint8), 4).tobytes()
    return (codes & 255).astype(np.uint8).tobytes()


def _put_in(
    graph: Any, item: Encoded, old: onnx.TensorProto, parts: list[onnx.TensorProto], *, turned: bool
) -> int:
    """Replace an initializer by a DequantizeLinear of the same name; the bytes of what it reads."""
    form = item.format
    assert isinstance(form, IntFormat)
    name = old.name
    graph.graph.initializer.remove(old)
    graph.graph.initializer.extend(parts)
    axis = (
        {"axis": 0 if turned else 1, "block_size": item.group} if form.group else {"axis": 1 if turned else 0}
    )
    node = helper.make_node("DequantizeLinear", [part.name for part in parts], [name], f"{name}_dequantize")
    node.attribute.extend(helper.make_attribute(key, value) for key, value in axis.items())
    graph.graph.node.insert(0, node)
    size = sum(len(part.raw_data) for part in parts)
    return size + (_input_pair(graph, item, name) if item.input_range is not None else 0)


def _input_pair(graph: Any, item: Encoded, weight: str) -> int:
    """QuantizeLinear and DequantizeLinear on the input of every product with a weight."""
    reached, products = {weight}, []
    for node in graph.graph.node:
        if node.op_type in ("Transpose", "Reshape", "Identity") and reached & set(node.input):
            reached |= set(node.output)
        elif node.op_type in ("MatMul", "Gemm", "Conv") and node.input[1] in reached:
            products.append(node)
    if not products:
        raise ExportError(f"the graph has no product with the weight of unit '{item.unit.name}'")
    scale, zero = f"{weight}_input_scale", f"{weight}_input_zero"
    found = item.input_range
    graph.graph.initializer.extend([
        helper.make_tensor(scale, TensorProto.FLOAT, [], [found.scale]),
        helper.make_tensor(zero, TensorProto.UINT8, [], [found.zero]),
    ])  # fmt: skip
    for number, node in enumerate(products):
        codes, back = f"{weight}_input{number}_codes", f"{weight}_input{number}"
        graph.graph.node.extend([
            helper.make_node("QuantizeLinear", [node.input[0], scale, zero], [codes], name=f"{codes}_q"),
            helper.make_node("DequantizeLinear", [codes, scale, zero], [back], name=f"{codes}_dq"),
        ])  # fmt: skip
        node.input[0] = back
    return 5


def _sort(graph: Any) -> None:
    """Nodes in an order in which each comes after what it reads."""
    made = (
        {tensor.name for tensor in graph.graph.initializer}
        | {value.name for value in graph.graph.input}
        | {""}
    )
    waiting, ordered = list(graph.graph.node), []
    while waiting:
        ready = [node for node in waiting if set(node.input) <= made]
        if not ready:
            raise ExportError("the ONNX graph reads a value that no node makes", hint="check the base= file")
        ordered += ready
        made |= {name for node in ready for name in node.output}
        done = {id(node) for node in ready}
        waiting = [node for node in waiting if id(node) not in done]
    copies = [_copied(node) for node in ordered]
    del graph.graph.node[:]
    graph.graph.node.extend(copies)


def _copied(node: onnx.NodeProto) -> onnx.NodeProto:
    """A node that outlives the list it came from."""
    copied = onnx.NodeProto()
    copied.CopyFrom(node)
    return copied
