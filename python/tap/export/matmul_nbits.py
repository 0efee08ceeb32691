"""MatMulNBits of ONNX Runtime: the full-precision graph, a map from nodes to bits, and its code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import torch
from torch import nn

from tap.errors import ExportError
from tap.export.onnx_graph import graph_of, weight_named
from tap.formats import parse
from tap.formats.integer import IntFormat
from tap.stats.layers import matrix, weights_of

if TYPE_CHECKING:
    from tap.plan import Plan

_CODE = '''"""Quantize model.onnx by nodes.json: `python quantize_model.py` writes quantized.onnx."""

import json
from pathlib import Path

import onnx
from onnxruntime.quantization.matmul_nbits_quantizer import KQuantWeightOnlyQuantConfig, MatMulNBitsQuantizer

HERE = Path(__file__).parent


def quantize():
    """The quantized graph."""
    plan = json.loads((HERE / "nodes.json").read_text())
    model = onnx.load(HERE / "model.onnx")
    others = [n.name for n in model.graph.node if n.op_type == "MatMul" and n.name not in plan["nodes"]]
    config = KQuantWeightOnlyQuantConfig(customized_weight_config=plan["nodes"])
    quantizer = MatMulNBitsQuantizer(
        model, block_size=plan["block_size"], is_symmetric=False, nodes_to_exclude=others, algo_config=config
    )
    quantizer.process()
    return quantizer.model.model


if __name__ == "__main__":
    onnx.save(quantize(), HERE / "quantized.onnx")
'''


def write(
    plan: Plan, path: Path, *, model: nn.Module, data: Any = None, base: str | Path | None = None
) -> dict[str, int]:
    """Write model.onnx, nodes.json and quantize_model.py; weights stay in full precision, so no bytes."""
    graph = graph_of(model, data, base=base, fold=True)
    nodes: dict[str, dict[str, int]] = {}
    groups = set()
    for unit, stored in zip(plan.units, weights_of(model, plan.units), strict=True):
        form = parse(plan.choices[unit.name])
        assert isinstance(form, IntFormat)
        weight = matrix(stored.detach(), unit).reshape(unit.out, -1)
        values = weight.to(torch.float32).numpy()
        found = weight_named(graph, f"{unit.name}.weight", values.T)
        users = [] if found is None else _products(graph, found.name)
        if not users:
            raise ExportError(
                f"unit '{unit.name}' is not a MatMul with a constant weight in the graph",
                hint="linear layers with a bias on two-axis inputs become Gemm, which stays as it is",
            )
        nodes |= {user: {"bits": form.width} for user in users}
        groups.add(form.group or 0)
    if len(groups) > 1:
        raise ExportError(
            f"MatMulNBits has one block size a graph, the plan has groups of {sorted(groups)}",
            hint="collect with formats of one group, for example int4-g32,int8-g32",
        )
    onnx.save(graph, path / "model.onnx")
    text = json.dumps({"block_size": groups.pop(), "nodes": nodes}, indent=2)
    (path / "nodes.json").write_text(text + "\n", encoding="utf-8")
    (path / "quantize_model.py").write_text(_CODE, encoding="utf-8")
    return {}


def _products(graph: onnx.ModelProto, weight: str) -> list[str]:
    return [node.name for node in graph.graph.node if node.op_type == "MatMul" and node.input[1] == weight]
