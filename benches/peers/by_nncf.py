"""OpenVINO NNCF: weights in 4 or 8 bits by its criterion of input activations."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any

import nncf
import openvino
import torch
from job import Job, answer

BITS = {"i4": 4, "u4": 4, "i8": 8, "u8": 8}


def run(job: Job) -> dict[str, Any]:
    """One compression for each average of 4 and 8 bits; the OpenVINO network runs itself."""
    plans, own = {}, {}
    images = [x for x, _ in job.calibration()]
    for average in job.averages:
        if not 4 <= average <= 8:
            raise SystemExit(f"{average:g} bits wanted, and only 4 and 8 can be chosen")
        network = openvino.convert_model(job.model(), example_input=images[0])
        compressed = nncf.compress_weights(
            network,
            mode=nncf.CompressWeightsMode.INT4_SYM,
            ratio=(8 - average) / 4,
            group_size=-1,
            all_layers=True,
            sensitivity_metric=nncf.SensitivityMetric.HESSIAN_INPUT_ACTIVATION,
            dataset=nncf.Dataset([x.numpy() for x in images]),
        )
        plans[str(average)] = chosen(compressed)
        if set(list(plans[str(average)].values())[:-1]) == {8}:
            raise SystemExit("every convolution stays at 8 bits: it chooses among linear layers only")
        request = openvino.compile_model(compressed, "CPU")
        own[str(average)] = job.top1(lambda x, request=request: torch.from_numpy(request(x.numpy())[0]))
    return {"plans": plans, "own": own}


def chosen(network: Any) -> dict[str, int]:
    """Bits of each layer's weight, by the layer's name; 16 where it stayed as it was."""
    found = {}
    for node in network.get_ops():
        if node.get_type_name() not in ("Convolution", "GroupConvolution", "MatMul"):
            continue
        name = re.sub(r"^__module\.|/aten::.*$", "", node.get_friendly_name())
        source = node.input_value(1).get_node()
        while source.get_input_size():
            source = source.input_value(0).get_node()
        found[name] = BITS.get(source.get_element_type().get_type_name(), 16)
    return found


if __name__ == "__main__":
    answer("NNCF compress_weights", version("nncf"), run)
