"""`tap.compress`: from a model and data to a plan, a proof against simpler plans, and files, in one call."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tap import proxies as library
from tap.compared import Compared, Comparison, compared, simple_plans
from tap.errors import ModelError
from tap.export import Exported, export, find
from tap.export.place import new_place
from tap.formats import parse
from tap.pipeline import make_plan
from tap.plan import Plan
from tap.proxy import Proxy
from tap.stats.memory import large_given_back

if TYPE_CHECKING:
    from torch import nn

    from tap.stats.batches import Batches
    from tap.stats.layers import Layers
    from tap.stats.table import LayerTable
    from tap.stats.units import Unit

_FILES = {"gguf": "model.gguf", "onnx": "model.onnx", "gptq": "quantize_config.json",
          "llama-cpp": "tensor_types.txt", "state-dict": "model.safetensors"}  # fmt: skip


@dataclass(frozen=True)
class Compressed:
    """What `tap.compress` found and wrote."""

    model: nn.Module
    """The model in the formats of the plan, calibrated."""
    plan: Plan
    compared: tuple[Compared, ...]
    """The plan first, then the uniform one (where one fits), then the median and the best random one."""
    gain: float
    """Loss saved against the better of the uniform and the median random plan; NaN when there is neither."""
    noise: float
    """Two standard errors of that difference."""
    left_out: tuple[str, ...]
    """Layers that the target does not hold; they stay in full precision and are in no budget."""
    exported: Exported | None

    @property
    def warning(self) -> str | None:
        """A sentence when the gain is within the noise, or a simpler plan is better."""
        if self.gain > self.noise:
            return None
        if self.gain < -self.noise:
            return (
                f"a simpler plan loses {-self.gain:.3g} less: take it, or try another proxy or other formats"
            )
        return (
            f"the gain of {self.gain:.3g} over simpler plans is within the noise of {self.noise:.3g}: "
            "judge on more samples, or take the uniform plan"
        )


def compress(
    model: nn.Module | str,
    data: Any = None,
    *,
    budget: str | Sequence[str] = "4.25bits",
    target: str | None = None,
    out: str | Path | None = None,
    formats: Iterable[str] | None = None,
    proxy: str = library.DEFAULT,
    evaluation: Any = None,
    exclude: Sequence[str] = (),
    seed: int = 0,
    inplace: bool = False,
    progress: bool = True,
    **options: Any,
) -> Compressed:
    """Collect, score with the default proxy, allocate, quantize, compare with simpler plans, export.

    Args:
        model: a module, or a name as `tap collect` takes it (`hf:NAME`, `file.py:function`).
        data: batches for statistics, rounding and input ranges; None: text that a language model writes.
        budget: `4.25bits`, `12MB`, `35%`, `int4`, `bops=40G`, or several of them.
        target: where it will run, a name of `tap.export.TARGETS`; None takes any format and writes none.
        out: new folder for the target's files, `plan.json` and `comparison.json`.
        formats: candidates; None takes what suits the target and the shapes of the layers.
        proxy: name of a proxy.
        evaluation: batches to compare plans on; None: the second half of `data`, which statistics then
            do not see.
        exclude: patterns of layers to leave in full precision, besides those that the target does not hold.
        seed: of the random plans.
        inplace: `model` itself is put into the formats of the plan, and a language model's weights are given
            up layer by layer, so that little more than the model is in memory. A model given by its name is
            treated so; otherwise a copy is.
        options: of the target's writer.

    Raises:
        InfeasibleError: the formats cannot meet the budget.
        ModelError, DataError, ExportError: as the steps raise them; nothing is written then.

    >>> import torch
    >>> from tap import demo
    >>> found = compress(demo.model(), demo.calibration(), budget="3.5bits", progress=False)
    >>> [row.plan for row in found.compared]
    ['modelopt', 'uniform int3', 'random (median)', 'random (best)']
    """
    from tap.stats.batches import Batches
    from tap.stats.sources import load_model

    network = load_model(model) if isinstance(model, str) else model
    if data is None:
        from tap.stats.generated import generated

        data = generated(network, seed=seed)
    calibration, judged = _halves(Batches(data))
    if evaluation is not None:
        calibration, judged = Batches(data), Batches(evaluation)
    units, left_out = _units(network, calibration, target, exclude)
    chosen = list(formats) if formats is not None else default_formats(target, units)
    job = _Job(network, calibration, judged, left_out, seed, progress)
    layers = job.stream(chosen, target)
    if layers is not None and not (inplace or isinstance(model, str)):
        job = replace(job, model=copy.deepcopy(network))
        layers = job.stream(chosen, target)
    budgets = [budget] if isinstance(budget, str) else list(budget)
    written = None
    with nullcontext() if layers is None else large_given_back():
        table = job.collect(units, chosen, proxy, in_parts=layers is not None)
        scores = Proxy(library.source(proxy), columns=table)
        plan = make_plan(table, scores, budgets, name=proxy, target=target)
        small, beside = job.measure(plan, proxy, layers)
        if out is not None:
            with new_place(out, "folder") as place:
                plan.save(place / "plan.json")
                rows = json.dumps([asdict(row) for row in beside.rows], indent=1)
                (place / "comparison.json").write_text(rows + "\n", encoding="utf-8")
                if target is not None:
                    source = small if find(target).reads is False else network
                    name = _FILES.get(find(target).name, "checkpoint")
                    written = export(plan, target, place / name, model=source, data=calibration, **options)
    return Compressed(small, plan, beside.rows, beside.gain, beside.noise, left_out, written)


@dataclass(frozen=True)
class _Job:
    """A model with the data that is read, and the data that plans are judged on."""

    model: nn.Module
    calibration: Batches
    judged: Batches
    left_out: tuple[str, ...]
    seed: int
    progress: bool

    def stream(self, formats: Sequence[str], target: str | None) -> Layers | None:
        """The layers of a language model that can be taken one after the other, None for other models."""
        from tap.stats.layers import find_layers
        from tap.truth.streamed import can_stream

        if (target is not None and find(target).reads) or any(parse(name).act_bits < 16 for name in formats):
            return None
        layers = find_layers(self.model, self.calibration, exclude=self.left_out)
        return layers if can_stream(self.model, layers, self.calibration) else None

    def collect(
        self, units: Sequence[Unit], formats: Sequence[str], proxy: str, *, in_parts: bool
    ) -> LayerTable:
        """What the proxy reads."""
        from tap.stats.collect import collect
        from tap.stats.parts import collect_in_parts

        if in_parts:
            return collect_in_parts(
                self.model, self.calibration, units, formats=formats, for_proxies=[proxy], seed=self.seed,
                progress=self.progress,
            )  # fmt: skip
        return collect(
            self.model, self.calibration, formats=formats, exclude=self.left_out, for_proxies=[proxy],
            seed=self.seed, progress=self.progress,
        )  # fmt: skip

    def measure(self, plan: Plan, proxy: str, layers: Layers | None) -> tuple[nn.Module, Comparison]:
        """The model in the formats of the plan, and the plan beside simpler ones."""
        from tap.configurations import measure_configs
        from tap.quantize import quantize
        from tap.truth.statistics import bootstrap
        from tap.truth.streamed import measure_streamed

        simple = simple_plans(plan, self.seed)
        rows = np.array([plan.choice, *simple.values()], np.int64)
        if layers is not None:
            formats = [parse(form.name) for form in plan.formats]
            streamed = measure_streamed(self.model, self.judged, self.calibration, layers, formats, rows,
                                        progress=self.progress)  # fmt: skip
            loss, stderr = streamed.loss.mean(axis=1), bootstrap(streamed.loss.T, self.seed)
            accuracy, small = streamed.correct.mean(axis=1), self.model
        else:
            found = measure_configs(
                self.model, self.judged, choices=rows, formats=[form.name for form in plan.formats],
                calibration=self.calibration, exclude=self.left_out, progress=self.progress,
            )  # fmt: skip
            loss, stderr, accuracy = found.loss, found.stderr, found.accuracy
            small = quantize(self.model, plan, data=self.calibration)
        return small, compared(plan, proxy, tuple(simple), rows, loss, stderr, accuracy)


def default_formats(target: str | None, units: Sequence[Unit]) -> list[str]:
    """Candidate formats that suit a target and the rows of all units.

    >>> default_formats("vllm", [])
    ['int4-g128', 'int8-g128']
    """
    if target is None:
        return ["int2", "int3", "int4", "int6", "int8"]
    held = find(target).holds
    if not held.widths:
        blocks = ("gguf-q4_0", "gguf-q5_0", "gguf-q8_0")
        return [name for name in blocks if not any(held.refusal(unit, parse(name)) for unit in units)]
    widths = [width for width in held.widths if width in (2, 3, 4, 6, 8)]
    for group in (128, 64, 32, None):
        suffix = f"-g{group}" if group else ""
        names = [f"int{width}{suffix}" for width in widths]
        if group in held.groups and not any(held.refusal(u, parse(name)) for u in units for name in names):
            return names
    return [f"int{width}" for width in widths]


def _halves(data: Batches) -> tuple[Batches, Batches]:
    """The first and the second half of the samples; both are all of them when there is only one."""
    middle = data.n_samples // 2
    return (data.limit(middle), data.skip(middle)) if middle else (data, data)


def _units(
    model: nn.Module, data: Batches, target: str | None, exclude: Sequence[str]
) -> tuple[tuple[Unit, ...], tuple[str, ...]]:
    """The units that the target holds in some kind, and the names of the layers left out."""
    from tap.stats.layers import discover

    everything = discover(model, data)
    kept = discover(model, data, exclude=exclude) if exclude else everything
    if target is not None:
        place = find(target)
        head = {kept[-1].name} if place.name == "compressed-tensors" and kept[-1].name == "lm_head" else set()
        kept = tuple(unit for unit in kept if unit.kind in place.holds.kinds and unit.name not in head)
    if not kept:
        raise ModelError(f"{target} holds no layer of this model", hint="tap targets lists what each holds")
    names = {unit.name for unit in kept}
    return kept, tuple(unit.name for unit in everything if unit.name not in names)
