"""The steps of a collection, in order; each fills columns and samples from one kind of pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tap.stats.curvature import hessian_gradient, hutchinson, largest_eigenvalues
from tap.stats.gradients import Gradients, OutputGradients
from tap.stats.layers import matrix, unmatrix
from tap.stats.moments import InputMoments, OutputMoments, Similarity
from tap.stats.noise import InputNoise, OutputNoise
from tap.stats.passes import Pass, samples_apart
from tap.stats.ranges import input_ranges
from tap.stats.saliency import synflow, virtual_gradient
from tap.stats.state import Collection

_SMALLEST_PART = 8
"""Batches are halved where two gradients of each output are held at once, down to so many samples."""


def shapes(state: Collection) -> None:
    """Columns that follow from the units alone."""
    last = max(1, len(state.units) - 1)
    for index, unit in enumerate(state.units):
        values = {
            "numel": unit.numel, "macs": unit.macs, "depth": index / last, "index": index,
            "n_layers": len(state.units), "out_channels": unit.out, "in_channels": unit.inp,
            "kernel": unit.kernel, "stride": unit.stride, "groups": unit.groups, "is_conv": unit.is_conv,
            "is_linear": unit.is_linear, "is_depthwise": unit.is_depthwise, "is_first": index == 0,
            "is_last": index == len(state.units) - 1,
        }  # fmt: skip
        for name, value in values.items():
            state.entry(name, index, float(value))


def weights(state: Collection) -> None:
    """w and w_norm2."""
    for index, weight in enumerate(state.weights):
        state.entry("w_norm2", index, weight.double().norm())
        state.sample("w", index, weight)


def errors(state: Collection) -> None:
    """bits, bytes, act_bits, dw, dw2, dw_max."""
    for index, unit in enumerate(state.units):
        state.entry("bits", index, torch.tensor([format.bits for format in state.formats]))
        state.entry("act_bits", index, torch.tensor([float(format.act_bits) for format in state.formats]))
        stored = [float(format.stored_bytes(unit)) for format in state.formats]
        state.entry("bytes", index, torch.tensor(stored, dtype=torch.float64))
    if not state.wants("errors") or not state.names & {"dw", "dw2", "dw_max"}:
        return
    advance = state.bar.start("quantization errors", len(state.units))
    for index in range(len(state.units)):
        dw = state.deltas.of(index)
        squares = torch.linalg.vector_norm(dw, dim=(2, 3)).double().square()
        state.entry("dw2", index, state.deltas.spread(squares.sum(1)))
        state.entry("dw_max", index, state.deltas.spread(squares.amax(1)) / dw[0, 0].numel())
        if "dw" in state.names:
            state.sample("dw", index, dw[state.deltas.of_format])
        advance(1)


def network(state: Collection) -> None:
    """Everything from the forward pass and the backward passes of first order."""
    forward: dict[str, Any] = {}
    backward: dict[str, Any] = {}
    if state.wants("input moments"):
        forward["inputs"] = InputMoments(state.units, state.devices)
    if state.wants("output moments"):
        forward["outputs"] = OutputMoments(state.units, state.devices)
    if state.wants("similarity"):
        forward["similarity"] = Similarity(len(state.units))
    if state.wants("output noise", "weighted noise", "logit noise"):
        backward["noise"] = OutputNoise(state.deltas, state.devices)
    quantized_inputs = any(format.act_bits < 16 for format in state.formats)
    if state.wants("input noise", "weighted input noise") and quantized_inputs:
        ranges = input_ranges(state.model, state.layers, state.batches)
        backward["activations"] = InputNoise(state.formats, ranges, state.devices)
    if state.wants("output gradients"):
        backward["output gradients"] = OutputGradients(state.units, state.devices)
    squares = state.wants("squared gradients")
    if squares or state.wants("gradients", "gradient flow"):
        backward["gradients"] = Gradients(state.units, state.devices, squares=squares)
    if forward or backward:
        _run(state, forward, backward)
    _keep_moments(state, forward)
    _keep_noise(state, backward)
    if "gradients" in backward:
        _keep_gradients(state, backward.pop("gradients"))


def _run(state: Collection, forward: dict[str, Any], backward: dict[str, Any]) -> None:
    """Run the pass over batches of a size that keeps samples apart and memory low."""
    needs_gradients = (
        "gradients", "squared gradients", "gradient flow", "output gradients", "weighted noise",
        "logit noise",
    )  # fmt: skip
    gradients = state.wants(*needs_gradients)
    gradients |= "activations" in backward and state.wants("weighted input noise")
    logits = state.wants("logit noise")
    batches = state.batches
    if backward and not samples_apart(state.layers):
        batches = batches.split(1)
    elif logits:
        batches = batches.split(max(_SMALLEST_PART, -(-max(batch.size for batch in batches) // 2)))

    def end_batch(values: Tensor | None) -> None:
        if "similarity" in forward:
            forward["similarity"].end_batch()
        if "noise" in backward:
            backward["noise"].end_batch(values)

    advance = state.bar.start("activations and gradients" if gradients else "activations", batches.n_samples)
    Pass(
        state.model, state.layers, forward=list(forward.values()), backward=list(backward.values()),
        gradients=gradients, logits=logits, loss=state.loss, end_batch=end_batch,
    ).run(batches, advance)  # fmt: skip


def _keep_moments(state: Collection, forward: dict[str, Any]) -> None:
    """Columns and samples of inputs and outputs."""
    for index in range(len(state.units)):
        if "inputs" in forward:
            found = forward["inputs"].result(index)
            state.entry("act_mean", index, found["x_mean"].mean())
            state.entry("act_absmax", index, found["x_absmax"].amax())
            for name in ("x_mean", "x_var", "x_absmax", "x_sq"):
                state.sample(name, index, found[name])
        if "outputs" in forward:
            found = forward["outputs"].result(index)
            state.entry("z_std", index, found["z_std"])
            for name in ("z_mean", "z_var"):
                state.sample(name, index, found[name])
    if "similarity" in forward:
        state.column("cka_sum", forward["similarity"].result())


def _keep_noise(state: Collection, backward: dict[str, Any]) -> None:
    """Columns of output and input errors; samples of the output gradients."""
    count = state.batches.n_samples
    zeros = torch.zeros(len(state.units), len(state.formats))
    for name in ("out_noise", "gz_noise", "gdw2", "logit_dw2"):
        if name in state.names:
            state.column(name, backward["noise"].result(name, count))
    for name in ("act_noise", "gx_noise"):
        if name in state.names:
            found = backward["activations"].result(name, count) if "activations" in backward else zeros
            state.column(name, found)
    if "output gradients" in backward:
        for index in range(len(state.units)):
            for name, values in backward["output gradients"].result(index, count).items():
                state.sample(name, index, values)


def _keep_gradients(state: Collection, gradients: Gradients) -> None:
    """g, plain, gdw, gdw_abs, g2, fisher_dw2 from the sums over samples; the mean gradient stays for H g."""
    count = state.batches.n_samples
    for index, weight in enumerate(state.weights):
        g = gradients.total[index].div_(count)
        state.sample("g", index, g)
        state.entry("plain", index, (g * weight).sum(dtype=torch.float64))
        squares = None if gradients.squares is None else gradients.squares[index].div_(count)
        if squares is not None:
            state.sample("g2", index, squares)
        if not state.names & {"gdw", "gdw_abs", "fisher_dw2"}:
            continue
        dw = state.deltas.of(index)
        if squares is not None:
            fisher = torch.einsum("foip,oip->f", dw.square(), squares)
            state.entry("fisher_dw2", index, state.deltas.spread(fisher))
        products = dw.mul_(g)
        state.entry("gdw", index, state.deltas.spread(products.sum((1, 2, 3), dtype=torch.float64)))
        sizes = torch.linalg.vector_norm(products, 1, dim=(1, 2, 3))
        state.entry("gdw_abs", index, state.deltas.spread(sizes))
    if state.wants("gradient flow"):
        state.gradient = gradients.total


def saliency(state: Collection) -> None:
    """synflow and vgrad."""
    for name, key, find in (
        ("synflow", "synflow", synflow),
        ("vgrad", "virtual gradients", virtual_gradient),
    ):
        if state.wants(key):
            found = find(state.model, state.units, state.batches)
            for index, (unit, values) in enumerate(zip(state.units, found, strict=True)):
                state.sample(name, index, matrix(values, unit))


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


STEPS: tuple[Callable[[Collection], None], ...] = (shapes, weights, errors, network, saliency, curvature)
"""The order of a collection."""
