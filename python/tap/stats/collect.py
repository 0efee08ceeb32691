"""Collect the layer table of a model: every input a proxy may read, from as few passes as possible."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import nn

from tap.errors import DataError
from tap.formats import Format, parse_all
from tap.stats.batches import Batches
from tap.stats.inputs import passes_for
from tap.stats.layers import find_layers, fingerprint, matrix, weights_of
from tap.stats.loss import Loss
from tap.stats.progress import Progress
from tap.stats.sampling import block_of
from tap.stats.state import Collection
from tap.stats.steps import STEPS
from tap.stats.table import LayerTable
from tap.stats.unchanged import at_device


def collect(
    model: nn.Module,
    batches: Any,
    *,
    formats: Iterable[str | Format] | str | None = None,
    device: str | torch.device | None = None,
    sample: int | None = 4096,
    inputs: Sequence[str] | None = None,
    for_proxies: Any = None,
    progress: bool = True,
    exclude: Sequence[str] = (),
    include: Sequence[str] | None = None,
    uncalled: Literal["error", "exclude"] = "error",
    loss: Loss | None = None,
    samples: int | None = None,
    noise_samples: int | Literal["auto"] | None = "auto",
    seed: int = 0,
    probes: int = 32,
    iterations: int = 30,
    tolerance: float = 0.05,
) -> LayerTable:
    """The statistics of every unit of `model` on calibration `batches`, for proxies to read.

    Args:
        formats: names or format objects; None takes int2, int3, int4, int6, int8.
        device: where to compute; None leaves the model where it is. It is moved back afterwards.
        sample: elements of each unit's tensors to keep; None keeps whole tensors. Columns are always exact.
        inputs: names of the inputs wanted; only the passes they need are run. None: all.
        for_proxies: proxies (or sources, or library names) whose inputs are wanted.
        exclude, include, uncalled: which layers become units, see `tap.stats.layers.discover`.
        loss: "cross-entropy", "squared-error" or a function of (logits, targets) to losses [n]. Without
            targets in the batches the model's own predictions are the targets.
        samples: use the first so many samples only.
        noise_samples: the noise inputs, `logit_dw2` and `cka_sum` are averages over the first so many
            samples, every other input over all samples; None: all. By default 64, or 32 sequences of tokens.
        seed: of the random probes of the Hessian.
        probes, iterations, tolerance: at most so many probes for trace and diagonal, power iterations for
            the largest eigenvalue, and the relative standard error at which probing stops.

    The model is in evaluation mode meanwhile and is given back unchanged, also after an error or Ctrl-C.

    Raises:
        ModelError, DataError, FormatError, TableError: what cannot be collected, with a hint.

    >>> table = collect(nn.Linear(4, 2), torch.randn(8, 4), formats=["int4"], progress=False)
    >>> table.columns["dw2"].shape, table.samples["g2"].values[0].shape
    ((1, 1), (2, 4, 1))
    """
    if sample is not None and sample < 1:
        raise DataError(f"sample={sample} keeps nothing", hint="give a positive number, or None for all")
    if isinstance(noise_samples, int) and noise_samples < 1:
        raise DataError(
            f"noise_samples={noise_samples} leaves no sample", hint="give a positive number, or None"
        )
    names, passes = passes_for(inputs, for_proxies)
    chosen = parse_all(formats)
    data = Batches(batches, samples=samples)
    with at_device(model, device), Progress(progress) as bar:
        layers = find_layers(model, data, exclude=exclude, include=include, uncalled=uncalled)
        parameters = weights_of(model, layers.units)
        state = Collection(
            model=model,
            batches=data,
            layers=layers,
            parameters=parameters,
            matrices=[matrix(p.detach(), unit) for p, unit in zip(parameters, layers.units, strict=True)],
            formats=chosen,
            blocks=[block_of(unit, sample) for unit in layers.units],
            names=frozenset(names),
            passes=passes,
            loss=loss,
            generator=torch.Generator().manual_seed(seed),
            probes=probes,
            iterations=iterations,
            tolerance=tolerance,
            noise_samples=noise_samples,
            bar=bar,
        )
        for step in STEPS:
            step(state)
        meta = {
            "samples": data.n_samples,
            "labelled": all(data.targets(batch) is not None for batch in data),
            "loss": loss if loss is None or isinstance(loss, str) else "custom",
            "seed": seed,
            "torch": torch.__version__,
            **state.notes,
        }
        return state.table(names, fingerprint(model, layers.units), meta)
