"""A model as an ONNX graph whose weights keep the names and values they have in PyTorch."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from tap.errors import ExportError
from tap.quantize.saved import plain
from tap.stats.batches import Batches

OPSET = 21
"""The first with 4-bit integers and blocks of scales."""


def graph_of(model: nn.Module, data: Any, *, base: str | Path | None, fold: bool = False) -> onnx.ModelProto:
    """The graph of `base`, or of the model as it computes on the first batch of `data`, at opset 21.

    Quantized models give the values of their formats as plain weights. With `fold` transposed weights are
    constants of their own; batch norms stay apart in any case, so that the weights are those of the plan.
    """
    if base is not None:
        if not Path(base).is_file():
            raise ExportError(
                f"there is no file {base}", hint="pass the ONNX file of the model in full precision"
            )
        graph = onnx.load(base)
    elif data is None:
        raise ExportError(
            "an ONNX graph is traced on data", hint="pass data= (--data), or base= (--set base=FILE)"
        )
    else:
        graph = _traced(plain(model), data, fold=fold)
    if graph.opset_import[0].version < OPSET:
        graph = onnx.version_converter.convert_version(graph, OPSET)
    graph.ir_version = max(graph.ir_version, 10)
    return graph


def weight_named(graph: onnx.ModelProto, key: str, values: NDArray[Any]) -> onnx.TensorProto | None:
    """The initializer of this name and shape, else the one that holds these values or their transpose."""
    stored: list[onnx.TensorProto] = list(graph.graph.initializer)
    for tensor in stored:
        if tensor.name == key and tuple(tensor.dims) == values.shape:
            return tensor
    for tensor in stored:
        same = sorted(tensor.dims) == sorted(values.shape)
        if same and any(np.array_equal(onnx.numpy_helper.to_array(tensor), v) for v in (values, values.T)):
            return tensor
    return None


def _traced(model: nn.Module, data: Any, *, fold: bool) -> onnx.ModelProto:
    batch = next(iter(Batches(data)))
    names = [f"input{at}" for at in range(len(batch.args))] + list(batch.kwargs)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = Path(folder) / "model.onnx"
        try:
            torch.onnx.export(
                model,
                batch.args,
                file,
                kwargs=dict(batch.kwargs) or None,
                dynamo=False,
                opset_version=17,
                training=torch.onnx.TrainingMode.PRESERVE,
                do_constant_folding=fold,
                input_names=names,
                output_names=["output"],
                dynamic_axes={name: {0: "batch"} for name in [*names, "output"]},
            )
        except OSError:
            raise
        except Exception as error:
            raise ExportError(
                f"torch.onnx cannot trace the model: {' '.join(str(error).split())[:300]}",
                hint="export the full-precision model yourself and pass base= (--set base=model.onnx)",
            ) from error
        return onnx.load(file)
