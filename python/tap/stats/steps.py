"""The steps of a collection, in order; each fills columns and samples from one kind of pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tap.stats.batches import Batches
from tap.stats.compensated import compensated
from tap.stats.curvature import hessian_gradient, hutchinson, largest_eigenvalues
from tap.stats.deltas import error_sums
from tap.stats.gradients import Gradients, OutputGradients
from tap.stats.layers import matrix, unmatrix
from tap.stats.moments import InputMoments, OutputMoments, Similarity, squares_along
from tap.stats.noise import InputNoise, OutputNoise
from tap.stats.passes import Backward, Forward, Pass, samples_apart
from tap.stats.ranges import input_ranges
from tap.stats.rounded import rounded_inputs
from tap.stats.saliency import synflow, virtual_gradient
from tap.stats.state import Collection

_SMALLEST_PART = 8
"""Batches are halved where two gradients of each output are held at once, or sums of the weights' gradients
beside the activations, down to so many samples."""


def placed(index: int, count: int) -> dict[str, float]:
    """The columns that follow from the place of a unit among `count`."""
    return {
        "depth": index / max(1, count - 1), "index": index, "n_layers": count, "is_first": index == 0,
        "is_last": index == count - 1,
    }  # fmt: skip


def shapes(state: Collection) -> None:
    """Columns that follow from the units alone."""
    for index, unit in enumerate(state.units):
        values = {
            "numel": unit.numel, "macs": unit.macs, "out_channels": unit.out, "in_channels": unit.inp,
            "kernel": unit.kernel, "stride": unit.stride, "groups": unit.groups, "is_conv": unit.is_conv,
            "is_linear": unit.is_linear, "is_depthwise": unit.is_depthwise, **placed(index, len(state.units)),
        }  # fmt: skip
        for name, value in values.items():
            state.entry(name, index, float(value))


def weights(state: Collection) -> None:
    """w and w_norm2."""
    for index, weight in enumerate(state.weights):
        state.entry("w_norm2", index, squares_along(weight.flatten(1), 1).sum().sqrt())
        state.sample("w", index, weight)


def formats(state: Collection) -> None:
    """bits, bytes, act_bits; and each weight quantized, so that a format that does not fit is known early."""
    for index, unit in enumerate(state.units):
        state.entry("bits", index, torch.tensor([format.bits for format in state.formats]))
        state.entry("act_bits", index, torch.tensor([float(format.act_bits) for format in state.formats]))
        stored = [float(format.stored_bytes(unit)) for format in state.formats]
        state.entry("bytes", index, torch.tensor(stored, dtype=torch.float64))
    if state.names & {"dw", "dw2", "dw_max", "gdw", "gdw_abs", "fisher_dw2"} or state.wants(
        "output noise", "weighted noise", "logit noise"
    ):
        advance = state.bar.start("quantize weights", len(state.units))
        for index in range(len(state.units)):
            state.deltas.prepare(index)
            advance(1)


def network(state: Collection) -> None:
    """Everything from the forward pass and the backward passes of first order, and the errors of weights."""
    few, others = state.noise_batches
    state.notes["noise_samples"] = few.n_samples
    quick, close = _quick(state), _close(state)
    quick_gradients = state.wants("gradients", "squared gradients", "gradient flow", "output gradients")
    close_gradients = state.wants("weighted noise", "logit noise")
    close_gradients |= "activations" in close and state.wants("weighted input noise")
    _run(state, few, {**quick, **close}, gradients=quick_gradients or close_gradients)
    _run(state, others, quick, gradients=quick_gradients)
    _keep_moments(state, quick)
    _keep_noise(state, close, few.n_samples)
    _keep_errors(state, quick.pop("gradients", None))


def _quick(state: Collection) -> dict[str, Any]:
    """Statistics of every sample, each of which costs no more than a part of the pass."""
    found: dict[str, Any] = {}
    if state.wants("input moments"):
        found["inputs"] = InputMoments(state.units, state.devices)
    if state.wants("output moments"):
        found["outputs"] = OutputMoments(state.units, state.devices)
    if state.wants("output gradients"):
        found["output gradients"] = OutputGradients(state.units, state.devices)
    squares = state.wants("squared gradients")
    if squares or state.wants("gradients", "gradient flow"):
        found["gradients"] = Gradients(state.units, state.devices, squares=squares)
    return found


def _close(state: Collection) -> dict[str, Any]:
    """Statistics of `noise_samples` samples: they multiply every input by every dw, or compare all units."""
    found: dict[str, Any] = {}
    if state.wants("similarity"):
        found["similarity"] = Similarity(len(state.units))
    if state.wants("output noise", "weighted noise", "logit noise"):
        rounding = state.formats if "gz_noise" in state.names else ()
        inputs = rounded_inputs(state.model, state.layers, state.batches, rounding)
        found["noise"] = OutputNoise(state.deltas, state.devices, inputs)
    quantized_inputs = any(format.act_bits < 16 for format in state.formats)
    if state.wants("input noise", "weighted input noise") and quantized_inputs:
        ranges = input_ranges(state.model, state.layers, state.batches)
        found["activations"] = InputNoise(state.formats, ranges, state.devices)
    return found


def _run(state: Collection, batches: Batches, statistics: dict[str, Any], *, gradients: bool) -> None:
    """Run the pass over batches of a size that keeps samples apart and memory low."""
    forward = [one for one in statistics.values() if isinstance(one, Forward)]
    backward = [one for one in statistics.values() if isinstance(one, Backward)]
    if not statistics or not batches.n_samples:
        return
    logits = state.wants("logit noise") and "noise" in statistics
    if backward and not samples_apart(state.layers):
        batches = batches.split(1)
    elif logits or "gradients" in statistics:
        batches = batches.split(max(_SMALLEST_PART, -(-max(batch.size for batch in batches) // 2)))

    def end_batch(values: Tensor | None) -> None:
        if "similarity" in statistics:
            statistics["similarity"].end_batch()
        if "noise" in statistics:
            statistics["noise"].end_batch(values)

    advance = state.bar.start("activations and gradients" if gradients else "activations", batches.n_samples)
    Pass(
        state.model, state.layers, forward=forward, backward=backward, gradients=gradients, logits=logits,
        loss=state.loss, end_batch=end_batch,
    ).run(batches, advance)  # fmt: skip


def _keep_moments(state: Collection, quick: dict[str, Any]) -> None:
    """Columns and samples of inputs, outputs and output gradients."""
    for index in range(len(state.units)):
        if "inputs" in quick:
            found = quick["inputs"].result(index)
            state.entry("act_mean", index, found["x_mean"].mean())
            state.entry("act_absmax", index, found["x_absmax"].amax())
            for name in ("x_mean", "x_var", "x_absmax", "x_sq"):
                state.sample(name, index, found[name])
        if "outputs" in quick:
            found = quick["outputs"].result(index)
            state.entry("z_std", index, found["z_std"])
            for name in ("z_mean", "z_var"):
                state.sample(name, index, found[name])
        if "output gradients" in quick:
            found = quick["output gradients"].result(index, state.batches.n_samples)
            for name, values in found.items():
                state.sample(name, index, values)


def _keep_noise(state: Collection, close: dict[str, Any], count: int) -> None:
    """Columns of output and input errors, and the similarity of outputs."""
    zeros = torch.zeros(len(state.units), len(state.formats))
    if "similarity" in close:
        state.column("cka_sum", close["similarity"].result())
    for name in ("out_noise", "gz_noise", "gdw2", "logit_dw2"):
        if name in state.names:
            state.column(name, close["noise"].result(name, count, alone=name != "gz_noise"))
    for name in ("act_noise", "gx_noise"):
        if name in state.names:
            found = close["activations"].result(name, count) if "activations" in close else zeros
            state.column(name, found)


def _keep_errors(state: Collection, gradients: Gradients | None) -> None:
    """Inputs made of dw, g and g^2, unit by unit; the mean gradient stays for H g."""
    count = state.batches.n_samples
    for index, weight in enumerate(state.weights):
        if "dw" in state.names:
            rows = torch.tensor(state.blocks[index].out, device=weight.device)
            state.sample("dw", index, state.deltas.of(index, rows)[state.deltas.of_format])
        g = squares = None
        if gradients is not None:
            g = gradients.total[index].div_(count)
            state.sample("g", index, g)
            state.entry("plain", index, torch.dot(g.flatten(), weight.flatten()))
            squares = None if gradients.squares is None else gradients.squares[index].div_(count)
        if squares is not None:
            state.sample("g2", index, squares)
        if state.names & {"dw2", "dw_max", "gdw", "gdw_abs", "fisher_dw2"}:
            for name, values in error_sums(state.deltas, index, g, squares).items():
                state.entry(name, index, state.deltas.spread(values))
    if gradients is not None and state.wants("gradient flow"):
        state.gradient = gradients.total


def saliency(state: Collection) -> None:
    """synflow and vgrad."""
    for name, key, find in (
        ("synflow", "synflow", synflow),
        ("vgrad", "virtual gradients", virtual_gradient),
    ):
        if state.wants(key):
            find(state.model, state.units, state.batches, partial(_keep_saliency, state, name))


def _keep_saliency(state: Collection, name: str, index: int, gradient: Tensor) -> None:
    state.sample(name, index, matrix(gradient, state.units[index]))


def curvature(state: Collection) -> None:
    """trace and h, lambda_max, hg."""
    if state.wants("curvature"):
        found = hutchinson(
            state.model, state.parameters, state.batches, generator=state.generator, loss=state.loss,
            probes=state.probes, tolerance=state.tolerance,
            advance=state.bar.start("Hessian trace", state.probes),
        )  # fmt: skip
        state.column("trace", found.trace)
        state.notes["trace_stderr"] = found.stderr.tolist()
        state.notes["probes"] = found.probes
        for index, (unit, values) in enumerate(zip(state.units, found.diagonal, strict=True)):
            state.sample("h", index, matrix(values, unit))
    if state.wants("largest eigenvalue"):
        state.column("lambda_max", largest_eigenvalues(
            state.model, state.parameters, state.batches, generator=state.generator, loss=state.loss,
            iterations=state.iterations, advance=state.bar.start("largest eigenvalues", state.iterations),
        ))  # fmt: skip
    if state.wants("gradient flow"):
        vectors = [
            unmatrix(g, unit, parameter.shape)
            for g, unit, parameter in zip(state.gradient, state.units, state.parameters, strict=True)
        ]
        advance = state.bar.start("Hessian times gradient", state.batches.n_samples)
        found_hg = hessian_gradient(
            state.model, state.parameters, vectors, state.batches, loss=state.loss, advance=advance
        )
        for index, (unit, values) in enumerate(zip(state.units, found_hg, strict=True)):
            state.sample("hg", index, matrix(values, unit))


STEPS: tuple[Callable[[Collection], None], ...] = (
    shapes, weights, formats, network, compensated, saliency, curvature
)  # fmt: skip
"""The order of a collection."""
