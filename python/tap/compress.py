"""`tap.compress`: from a model and data to a plan, a proof against simpler plans, and files, in one call."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tap import proxies as library
from tap.errors import InfeasibleError, ModelError
from tap.export import Exported, export, find
from tap.export.place import new_place
from tap.formats import parse
from tap.pipeline import make_plan
from tap.plan import Plan
from tap.proxy import Proxy

if TYPE_CHECKING:
    from torch import nn

    from tap.stats.batches import Batches
    from tap.stats.units import Unit

RANDOM = 8
"""Random plans of equal bytes that are measured beside the plan."""
_FILES = {"gguf": "model.gguf", "onnx": "model.onnx", "gptq": "quantize_config.json",
          "llama-cpp": "tensor_types.txt", "state-dict": "model.safetensors"}  # fmt: skip


@dataclass(frozen=True)
class Compared:
    """One measured plan."""

    plan: str
    bytes: int
    loss: float
    """KL to the full-precision model on the judged samples, nats."""
    stderr: float
    accuracy: float
    """Top-1; NaN without labels."""


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
    from tap.quantize import quantize
    from tap.stats.batches import Batches
    from tap.stats.collect import collect
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
    table = collect(network, calibration, formats=chosen, exclude=left_out, for_proxies=[proxy], seed=seed,
                    progress=progress)  # fmt: skip
    budgets = [budget] if isinstance(budget, str) else list(budget)
    program = Proxy(library.source(proxy), columns=table)
    plan = make_plan(table, program, budgets, name=proxy, target=target)
    compared, gain, noise = _compare(network, plan, judged, calibration, proxy, left_out, seed, progress)
    small = quantize(network, plan, data=calibration)
    written = None
    if out is not None:
        with new_place(out, "folder") as place:
            plan.save(place / "plan.json")
            rows = json.dumps([asdict(row) for row in compared], indent=1)
            (place / "comparison.json").write_text(rows + "\n", encoding="utf-8")
            if target is not None:
                source = small if find(target).reads is False else network
                name = _FILES.get(find(target).name, "checkpoint")
                written = export(plan, target, place / name, model=source, data=calibration, **options)
    return Compressed(small, plan, compared, gain, noise, left_out, written)


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


def _compare(
    model: nn.Module, plan: Plan, judged: Batches, calibration: Batches, proxy: str, left_out: Sequence[str],
    seed: int, progress: bool,
) -> tuple[tuple[Compared, ...], float, float]:  # fmt: skip
    """The plan, the uniform plan and random plans of equal bytes, measured on the quantized network."""
    from tap.configurations import measure_configs

    simple = _simple_plans(plan, seed)
    names = [form.name for form in plan.formats]
    rows = np.array([plan.choice, *simple.values()], np.int64)
    found = measure_configs(model, judged, choices=rows, formats=names, calibration=calibration,
                            exclude=left_out, progress=progress)  # fmt: skip

    def row(at: int, name: str) -> Compared:
        size = int(plan.costs["bytes"][np.arange(len(plan.units)), rows[at]].sum())
        return Compared(name, size, float(found.loss[at]), float(found.stderr[at]), float(found.accuracy[at]))

    uniform = [at for at, name in enumerate(simple, 1) if name.startswith("uniform")]
    random = sorted(
        (at for at, name in enumerate(simple, 1) if name.startswith("random")), key=found.loss.__getitem__
    )
    compared = [row(0, proxy), *(row(at, list(simple)[at - 1]) for at in uniform)]
    middle = random[len(random) // 2 : len(random) // 2 + 1]
    compared += [row(at, "random (median)") for at in middle] + [
        row(at, "random (best)") for at in random[:1]
    ]
    rivals = [row(at, "") for at in (*uniform, *middle)]
    if not rivals:
        return tuple(compared), float("nan"), float("nan")
    best = min(rivals, key=lambda rival: rival.loss)
    noise = 2 * float(np.hypot(best.stderr, compared[0].stderr))
    return tuple(compared), best.loss - compared[0].loss, noise


def _simple_plans(plan: Plan, seed: int) -> dict[str, NDArray[np.int64]]:
    """The uniform plan with the most bits that fits, random ones with the plan's bytes, rules and ties."""
    from tap.truth.draw import draw

    sizes, allowed = plan.costs["bytes"], plan.allowed
    usable = np.ones(sizes.shape, np.bool_) if allowed is None else allowed
    fits = [
        index for index in range(len(plan.formats))
        if usable[:, index].all() and all(plan.costs[k][:, index].sum() <= v for k, v in plan.budgets.items())
    ]  # fmt: skip
    found: dict[str, NDArray[np.int64]] = {}
    if fits:
        best = max(fits, key=lambda index: plan.formats[index].bits)
        found[f"uniform {plan.formats[best].name}"] = np.full(len(sizes), best)
    labels = np.arange(len(sizes))
    for group in plan.groups:
        members = [plan.unit_index(name) for name in group]
        labels[np.isin(labels, labels[members])] = labels[members].min()
    _, place = np.unique(labels, return_inverse=True)
    costs = np.zeros((place.max() + 1, sizes.shape[1]))
    # A format that is not allowed costs more than any plan, so that no drawn plan has it.
    np.add.at(costs, place, np.where(usable, sizes, 10 * plan.bytes))
    try:
        drawn = draw(costs.astype(np.int64), plan.bytes, RANDOM, np.random.default_rng(seed))
    except InfeasibleError:
        return found
    return found | {f"random {number}": choice[place] for number, choice in enumerate(drawn)}
