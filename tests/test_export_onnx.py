"""ONNX exports run in ONNX Runtime on the CPU and agree with the fake-quantized model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tap
from export_world import difference, inputs, needs, perceptron, plan_of
from nets import images, tiny
from tap.errors import ExportError
from tap.quantize import quantize

pytestmark = needs("onnx", "onnxruntime")


def run_graph(path: Path | Any, x: Tensor) -> Tensor:
    """The graph's output in ONNX Runtime; its optimizer may not change what is computed."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    source = str(path) if isinstance(path, Path) else path.SerializeToString()
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])


CHOICES = [
    {"stem": "int4-g32", "body.0": "int8", "body.1": "int4", "head": "int8-g64"},
    {"stem": "int4-asym-g32", "body.0": "int8-asym", "body.1": "int4-asym", "head": "int4-g128"},
]


@pytest.mark.parametrize("choices", CHOICES)
def test_weights_of_four_and_eight_bits_in_one_graph(choices: dict[str, str], tmp_path: Path) -> None:
    net, x = perceptron(), inputs()
    plan = plan_of(net, choices)
    done = tap.export(plan, "onnx", tmp_path / "m.onnx", model=net, data=x[:4])
    assert done.units == done.predicted
    assert done.bytes < 60_000
    ours = quantize(net, plan, data=x[:4])
    assert difference(run_graph(tmp_path / "m.onnx", x), ours(x)) < 1e-4


def test_static_inputs(tmp_path: Path) -> None:
    """8-bit inputs are rounded in another order than in PyTorch: equal to 2 %, not to full precision."""
    net, x = perceptron(), inputs(64)
    plan = plan_of(net, {"stem": "int4+a8", "body.0": "int8+a8", "body.1": "int8-asym", "head": "int8+a8"})
    small = quantize(net, plan, data=x)
    done = tap.export(plan, "onnx", tmp_path / "m.onnx", model=small, data=x)
    assert done.units == done.predicted
    assert difference(run_graph(tmp_path / "m.onnx", x), small(x)) < 0.02


def test_convolutions_keep_their_batch_norms(tmp_path: Path) -> None:
    import onnx

    net, data = tiny().eval(), images()
    plan = plan_of(net, {"stem": "int8", "blocks.0.conv1": "int4", "blocks.0.conv2": "int8",
                         "blocks.1.conv1": "int4-asym", "fc": "int8"}, data)  # fmt: skip
    small = quantize(net, plan, data=data)
    done = tap.export(plan, "onnx", tmp_path / "m.onnx", model=small, data=data)
    assert done.units == done.predicted
    x = data[1][0]
    assert difference(run_graph(tmp_path / "m.onnx", x), small(x)) < 1e-4
    graph = onnx.load(tmp_path / "m.onnx")
    assert graph.opset_import[0].version == 21
    kinds = {t.name: t.data_type for t in graph.graph.initializer}
    assert kinds["blocks.0.conv1.weight_quantized"] == onnx.TensorProto.INT4
    assert kinds["blocks.1.conv1.weight_quantized"] == onnx.TensorProto.UINT4
    assert kinds["blocks.1.conv2.weight"] == onnx.TensorProto.FLOAT


def test_a_graph_of_the_users_own(tmp_path: Path) -> None:
    net, x = perceptron(), inputs()
    torch.onnx.export(net, (x,), str(tmp_path / "base.onnx"), dynamo=False, opset_version=17)
    plan = plan_of(net, {"stem": "int4", "body.0": "int8-g32"})
    tap.export(plan, "onnx", tmp_path / "m.onnx", model=net, base=tmp_path / "base.onnx")
    assert difference(run_graph(tmp_path / "m.onnx", x), quantize(net, plan)(x)) < 1e-4


class Blocks(nn.Module):
    """Linear layers without biases on inputs of three axes, which become MatMul."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(128, 256, bias=False)
        self.down = nn.Linear(256, 128, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(torch.tanh(self.up(x)))


@needs("onnx_ir")
def test_matmul_nbits(tmp_path: Path) -> None:
    """ONNX Runtime rounds k-quants itself: error within 1.5 x of ours, in the bits of the plan."""
    torch.manual_seed(0)
    net, x = Blocks().eval(), torch.randn(4, 6, 128)
    plan = plan_of(net, {"up": "int4-asym-g32", "down": "int8-asym-g32"}, x)
    tap.export(plan, "matmul-nbits", tmp_path / "out", model=net, data=x)
    space: dict[str, Any] = {
        "__file__": str(tmp_path / "out" / "quantize_model.py"),
        "__name__": "quantize_model",
    }
    exec((tmp_path / "out" / "quantize_model.py").read_text(), space)
    graph = space["quantize"]()
    bits = [
        next(a.i for a in n.attribute if a.name == "bits")
        for n in graph.graph.node
        if n.op_type == "MatMulNBits"
    ]
    assert bits == [4, 8]
    full, ours = net(x), quantize(net, plan)(x)
    theirs = run_graph(graph, x)
    assert difference(theirs, full) < 1.5 * difference(ours, full)
    assert difference(theirs, full) > 1e-3


def test_what_cannot_be_traced_or_found(tmp_path: Path) -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Any:
            return np.asarray(self.fc(x).detach())

    net, x = perceptron(), inputs()
    plan = plan_of(net, "int4")
    with pytest.raises(ExportError, match="traced on data"):
        tap.export(plan, "onnx", tmp_path / "m.onnx", model=net)
    with pytest.raises(ExportError, match="there is no file"):
        tap.export(plan, "onnx", tmp_path / "m.onnx", model=net, base=tmp_path / "absent.onnx")
    torch.onnx.export(nn.Linear(3, 3), (torch.ones(1, 3),), str(tmp_path / "other.onnx"), dynamo=False)
    with pytest.raises(ExportError, match="no weight for unit 'stem'"):
        tap.export(plan, "onnx", tmp_path / "m.onnx", model=net, base=tmp_path / "other.onnx")
    with pytest.raises(ExportError, match="not a MatMul"):
        tap.export(plan_of(net, "int4-g32"), "matmul-nbits", tmp_path / "out", model=net, data=x)
    assert [entry.name for entry in tmp_path.iterdir()] == ["other.onnx"]
