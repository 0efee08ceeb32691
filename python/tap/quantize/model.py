"""Put the formats of a plan into a model, lift its accuracy without training, and undo it bit for bit."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tap.errors import DataError, ModelError, PlanError
from tap.formats import Format, parse
from tap.quantize.compensate import compensations
from tap.quantize.fake import FakeInput, FakeWeight
from tap.quantize.inputs import InputRanges
from tap.quantize.lifts import BatchNorms
from tap.quantize.weights import find_grid, round_unit
from tap.stats.batches import Batches, unwrap
from tap.stats.layers import Layers, find_layers, matrix
from tap.stats.normalized import input_means, mean_errors
from tap.stats.rounded import RoundedInputs
from tap.stats.sites import Site, clean, find_sites
from tap.stats.unchanged import lent
from tap.stats.units import Unit

SAMPLES = 256
"""Samples of `data` that calibration reads."""


@dataclass
class _Undo:
    """What `restore` puts back."""

    parametrized: list[tuple[nn.Module, str]] = field(default_factory=list)
    weights: list[tuple[nn.Parameter, Tensor]] = field(default_factory=list)
    buffers: list[tuple[nn.Module, str, Tensor]] = field(default_factory=list)
    handles: list[Any] = field(default_factory=list)
    given_up: bool = False
    """The weights in full precision are gone."""


def quantize(
    model: nn.Module,
    plan: Any,
    *,
    data: Any = None,
    compensate: bool = True,
    correct: bool = True,
    correct_biases: bool = False,
    inplace: bool = False,
) -> nn.Module:
    """A copy of the model that computes with the formats of `plan`, ready to evaluate or to train.

    `plan` is a `tap.Plan`, a mapping from unit names to format names, or one format name for all units.
    Weights become torch parametrizations with straight-through gradients, so any training loop fine-tunes
    them. With `data` (256 samples, no labels), inputs of units with activation formats get calibrated ranges,
    weights are rounded with error compensation where that lowers the unit's output error (`compensate`), and
    batch-norm statistics are corrected where that lowers the KL to full precision (`correct`). With
    `correct_biases` the mean error of each output channel is taken from the biases of the units that have one
    (Nagel et al., ICCV 2019, section 4.2), for networks without batch norms. `restore` undoes all of it. With
    `inplace` the model itself is changed instead of a copy.

    Raises:
        PlanError: the plan names a unit that the model does not have.
        DataError: a format of the inputs without `data` to calibrate it.
        ModelError: the model is quantized already.

    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    >>> small = quantize(net, {"0": "int4", "2": "int8"}, data=torch.randn(16, 4))
    >>> small[0].weight.unique().numel() <= 16 * 8, torch.equal(restore(small)[0].weight, net[0].weight)
    (True, True)
    """
    if _undo_of(model) is not None:
        raise ModelError("the model is quantized already", hint="tap.restore(model) first")
    model = model if inplace else copy.deepcopy(model)
    inner = unwrap(model)
    formats = _formats(inner, plan)
    batches = None if data is None else Batches(data).limit(SAMPLES)
    layers = _layers(inner, tuple(formats), batches)
    chosen = [formats[unit.name] for unit in layers.units]
    if batches is None and any(format.act_bits < 16 for format in chosen):
        raise DataError("formats of inputs need data to calibrate them", hint="pass data=")
    undo = _Undo()
    object.__setattr__(inner, "_tap_undo", undo)
    try:
        with lent(inner):
            means = _biased(inner, layers, batches) if batches is not None and correct_biases else {}
            _put_in(inner, layers, chosen, batches, undo, means, compensate=compensate, correct=correct)
    except BaseException:
        restore(model)
        raise
    return model


def restore(model: nn.Module) -> nn.Module:
    """Undo `quantize` on the model it returned: weights and statistics are bit for bit as they were.

    Training in between is undone as well. A model that is not quantized is left alone.

    Raises:
        ModelError: `tap.compress` gave the weights up to save memory.

    >>> layer = nn.Linear(2, 2)
    >>> restore(layer) is layer
    True
    """
    inner, undo = unwrap(model), _undo_of(model)
    if undo is None:
        return model
    if undo.given_up:
        raise ModelError("the weights in full precision were given up", hint="load the model again")
    for handle in undo.handles:
        handle.remove()
    for module, name in undo.parametrized:
        parametrize.remove_parametrizations(module, name, leave_parametrized=False)
    with torch.no_grad():
        for parameter, original in undo.weights:
            parameter.data = original
    for module, name, value in undo.buffers:
        module._buffers[name] = value
    object.__delattr__(inner, "_tap_undo")
    return model


def put_formats(model: nn.Module, layers: Layers, fakes: Sequence[FakeWeight]) -> None:
    """Show the weights of all units through `fakes`, for good: nothing is kept to restore them from."""
    undo = _Undo(given_up=True)
    object.__setattr__(model, "_tap_undo", undo)
    for sites, fake in zip(layers.sites, fakes, strict=True):
        for site in sites:
            _register(site, fake, undo)


def _undo_of(model: nn.Module) -> _Undo | None:
    """What undoes the quantization of a model, None when it is not quantized."""
    found = unwrap(model).__dict__.get("_tap_undo")
    return found if isinstance(found, _Undo) else None


def _formats(model: nn.Module, plan: Any) -> dict[str, Format]:
    """Format of each unit of the plan; every name is one of the model's."""
    names = [site.name for site in find_sites(model)]
    if isinstance(plan, str):
        seen: dict[int, str] = {}
        for site in find_sites(model):
            seen.setdefault(id(site.weight), site.name)
        return dict.fromkeys(seen.values(), parse(plan))
    choices = plan if isinstance(plan, Mapping) else getattr(plan, "choices", None)
    choices = choices() if callable(choices) else choices
    if not isinstance(choices, Mapping) or not choices:
        raise PlanError(
            f"a {type(plan).__name__} names no formats",
            hint="pass a plan, a mapping from unit names to formats, or one format name",
        )
    for name in choices:
        if name not in names:
            raise PlanError(
                f"the model has no unit '{name}'",
                hint="the plan belongs to another model; its units: tap plan",
            )
    return {name: parse(one) if isinstance(one, str) else one for name, one in choices.items()}


def _layers(model: nn.Module, names: tuple[str, ...], data: Batches | None) -> Layers:
    """Units and sites of the names; without data no MACs are counted."""
    if data is not None:
        found = find_layers(model, data, uncalled="exclude")
        groups = [(unit, sites) for unit, sites in zip(found.units, found.sites, strict=True)]
        by_name = {site.name: place for place, (_, sites) in enumerate(groups) for site in sites}
        kept = sorted({by_name[name] for name in names if name in by_name})
        if {groups[place][0].name for place in kept} >= set(names):
            return Layers(
                tuple(groups[place][0] for place in kept),
                tuple(groups[place][1] for place in kept),
                tuple(found.axes[place] for place in kept),
            )
    sites = find_sites(model)
    by_weight: dict[int, list[Site]] = {}
    for site in sites:
        by_weight.setdefault(id(site.weight), []).append(site)
    named = [next(site for site in sites if site.name == name) for name in names]
    same = [tuple(by_weight[id(site.weight)]) for site in named]
    return Layers(
        tuple(_bare_unit(site) for site in named), tuple(same), tuple((None,) * len(group) for group in same)
    )


def _bare_unit(site: Site) -> Unit:
    """The unit of a site by its weight's shape alone."""
    shape = tuple(site.weight.shape)
    experts = site.kind == "experts"
    out = shape[0] * shape[1] if experts else shape[1] if site.transposed else shape[0]
    inp = shape[2] if experts else shape[0] if site.transposed else shape[1]
    groups = int(getattr(site.module, "groups", 1)) if site.kind.startswith("conv") else 1
    pos = site.weight.numel() // (out * inp)
    return Unit(site.name, site.kind, out, inp, pos, 0, groups=groups, transposed=site.transposed)


def _put_in(
    model: nn.Module,
    layers: Layers,
    chosen: list[Format],
    data: Batches | None,
    undo: _Undo,
    means: Mapping[int, Tensor],
    *,
    compensate: bool,
    correct: bool,
) -> None:
    """Everything that changes the model; what it changes is in `undo` before it changes."""
    norms = BatchNorms(model, data) if data is not None and correct else None
    ranges = InputRanges(model, layers, data) if data is not None else None
    if ranges is not None and any(format.act_bits < 16 for format in chosen):
        ranges.calibrate()
    units = range(len(layers.units))
    moving = compensations(model, layers, data, units) if data is not None and compensate else {}
    for index, (unit, sites, format) in enumerate(zip(layers.units, layers.sites, chosen, strict=True)):
        weight = sites[0].weight
        grid = find_grid(format, unit, weight)
        fake = FakeWeight(format, unit, grid)
        undo.weights.append((weight, weight.data))
        if index in moving:
            weight.data = round_unit(format, unit, weight.data, moving.pop(index), grid)
        else:
            weight.data = weight.data.clone()
        for site in sites:
            _register(site, fake, undo)
            if format.act_bits < 16 and ranges is not None:
                hook = FakeInput(ranges.of(site, format.act_bits))
                undo.handles.append(site.module.register_forward_pre_hook(hook, with_kwargs=True))
        if index in means:
            _shift_bias(sites[0], unit, undo.weights[-1][1], means[index], undo)
    if norms is not None and len(norms):
        correction = norms.correction()
        for module, (mean, var) in zip(norms.modules, correction.moments, strict=True):
            for name, value in (("running_mean", mean), ("running_var", var)):
                before = module._buffers[name]
                if before is not None:
                    undo.buffers.append((module, name, before))
                    module._buffers[name] = value.clone()


def _biased(model: nn.Module, layers: Layers, data: Batches) -> Mapping[int, Tensor]:
    """The mean inputs of units that are one product and a bias."""
    units = [
        unit
        for unit, sites in enumerate(layers.sites)
        if len(sites) == 1 and not sites[0].is_packed and isinstance(_bias(sites[0]), nn.Parameter)
    ]
    means = input_means(model, layers, data, units, RoundedInputs(()))
    return {unit: mean for (unit, _), mean in means.items()}


def _bias(site: Site) -> Any:
    return getattr(site.module, "bias", None)


def _shift_bias(site: Site, unit: Unit, before: Tensor, mean: Tensor, undo: _Undo) -> None:
    """Take the mean error of each channel from the bias."""
    bias, (holder, name) = _bias(site), _place(site)
    with torch.no_grad():
        change = matrix(getattr(holder, name), unit).float() - matrix(before, unit).float()
        undo.weights.append((bias, bias.data))
        bias.data = bias.data - mean_errors(change[None], mean)[0].to(bias.dtype)


def _register(site: Site, fake: FakeWeight, undo: _Undo) -> None:
    """Show the weight of a site through `fake`."""
    holder, name = _place(site)
    parametrize.register_parametrization(holder, name, fake, unsafe=True)
    undo.parametrized.append((holder, name))


def _place(site: Site) -> tuple[nn.Module, str]:
    """The module and attribute that hold a site's weight."""
    for holder in (site.module, *site.module.children()):
        for name, parameter in holder.named_parameters(recurse=False):
            if parameter is site.weight:
                return holder, name
        lists = getattr(holder, "parametrizations", {})
        for name in lists:
            if getattr(lists[name], "original", None) is site.weight:
                return holder, name
    raise ModelError(f"the weight of '{clean(site.name)}' is no parameter of its module")
