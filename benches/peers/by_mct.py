"""Sony Model Compression Toolkit: mixed precision of the weights under a memory limit."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import model_compression_toolkit as mct
import torch
from job import Job, answer
from mct_quantizers import PytorchQuantizationWrapper, QuantizationMethod
from model_compression_toolkit.target_platform_capabilities.schema import v2


def weights(bits: int) -> v2.AttributeQuantizationConfig:
    """Symmetric, one scale an output channel: what tap's formats are."""
    return v2.AttributeQuantizationConfig(
        weights_quantization_method=QuantizationMethod.SYMMETRIC,
        weights_n_bits=bits,
        weights_per_channel_threshold=True,
        enable_weights_quantization=True,
    )


def operation(bits: int | None) -> v2.OpQuantizationConfig:
    """A kernel of so many bits, activations in full precision; None: nothing quantized."""
    nothing = v2.AttributeQuantizationConfig()
    kernel = {"kernel_attr": weights(bits), "bias_attr": nothing} if bits else {}
    return v2.OpQuantizationConfig(
        default_weight_attr_config=nothing,
        attr_weights_configs_mapping=kernel,
        activation_quantization_method=QuantizationMethod.POWER_OF_TWO,
        activation_n_bits=8,
        supported_input_activation_n_bits=8,
        enable_activation_quantization=False,
        quantization_preserving=False,
        signedness=v2.Signedness.AUTO,
    )


def target(bits: list[int]) -> v2.TargetPlatformCapabilities:
    """A target whose convolutions and linear layers take any of the bits."""
    choices = tuple(operation(b) for b in sorted(bits, reverse=True))
    options = v2.QuantizationConfigOptions(quantization_configurations=choices, base_config=choices[0])
    names = (
        v2.OperatorSetNames.CONV,
        v2.OperatorSetNames.DEPTHWISE_CONV,
        v2.OperatorSetNames.FULLY_CONNECTED,
    )
    return v2.TargetPlatformCapabilities(
        default_qco=v2.QuantizationConfigOptions(quantization_configurations=(operation(None),)),
        operator_set=tuple(v2.OperatorsSet(name=name, qc_options=options) for name in names),
        tpc_minor_version=1,
        tpc_patch_version=0,
        tpc_platform_type="tap",
        add_metadata=False,
    )


def run(job: Job) -> dict[str, Any]:
    """One search for each average."""
    plans, own = {}, {}
    for average in job.averages:
        model = job.model()
        layers = {n.replace(".", "_"): (n, m) for n, m in model.named_modules() if hasattr(m, "weight")}
        kernels = [m for _, m in layers.values() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
        limit = sum(module.weight.numel() for module in kernels) * average / 8

        def images() -> Iterator[list[Any]]:
            yield from ([x.numpy()] for x, _ in job.calibration())

        quantized, _ = mct.ptq.pytorch_post_training_quantization(
            model,
            images,
            target_resource_utilization=mct.core.ResourceUtilization(weights_memory=limit),
            core_config=mct.core.CoreConfig(
                mixed_precision_config=mct.core.MixedPrecisionQuantizationConfig(num_of_images=32)
            ),
            target_platform_capabilities=target(job.bits),
        )
        plans[str(average)] = {
            layers[name.removesuffix("_bn")][0]: int(wrapper.weights_quantizers["weight"].num_bits)
            for name, wrapper in quantized.named_modules()
            if isinstance(wrapper, PytorchQuantizationWrapper)
        }
        own[str(average)] = job.top1(quantized)
    return {"plans": plans, "own": own}


if __name__ == "__main__":
    answer("MCT mixed precision", version("model-compression-toolkit"), run)
