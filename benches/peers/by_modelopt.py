"""NVIDIA ModelOpt: auto_quantize over weight formats, by gradient and by KL divergence."""

from __future__ import annotations

import contextlib
import io
import sys
from importlib.metadata import version
from typing import Any

import modelopt.torch.quantization as mtq
import torch
from job import Job, answer


def formats(bits: list[int]) -> list[dict[str, Any]]:
    """Weights alone, symmetric, one scale an output channel: what tap's formats are."""
    return [
        {
            "quant_cfg": [
                {"quantizer_name": "*", "enable": False},
                {"quantizer_name": "*weight_quantizer", "cfg": {"num_bits": b, "axis": 0}},
            ],
            "algorithm": "max",
        }
        for b in bits
    ]


def run(job: Job) -> dict[str, Any]:
    """One search for each average."""
    plans, own = {}, {}
    for average in job.averages:
        batches = job.calibration()
        with contextlib.redirect_stdout(io.StringIO()):
            model, _ = mtq.auto_quantize(
                job.model(),
                constraints={"effective_bits": average},
                quantization_formats=formats(job.bits),
                data_loader=batches,
                forward_step=lambda net, batch: net(batch[0]),
                loss_func=lambda output, batch: torch.nn.functional.cross_entropy(output, batch[1]),
                num_calib_steps=len(batches),
                num_score_steps=len(batches),
                method=METHOD,
            )
        plans[str(average)] = {
            name.removesuffix(".weight_quantizer"): int(module.num_bits) if module.is_enabled else 16
            for name, module in model.named_modules()
            if name.endswith(".weight_quantizer")
        }
        own[str(average)] = job.top1(model)
    return {"plans": plans, "own": own}


METHOD = sys.argv[1] if len(sys.argv) > 1 else "gradient"

if __name__ == "__main__":
    answer(f"ModelOpt auto_quantize ({METHOD})", version("nvidia-modelopt"), run)
