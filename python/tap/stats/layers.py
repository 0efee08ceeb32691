"""The units of a model: found by type, ordered and measured by the calls of one forward pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tap.errors import ModelError
from tap.stats.batches import Batches, unwrap
from tap.stats.observe import observed
from tap.stats.sites import Site, clean, find_sites, parameter_of
from tap.stats.unchanged import lent
from tap.stats.units import Unit

_HASHED = 4096
"""Evenly spaced elements of each weight that enter the fingerprint."""


@dataclass(frozen=True)
class Layers:
    """The units of a model and the sites that use their weights."""

    units: tuple[Unit, ...]
    sites: tuple[tuple[Site, ...], ...]
    """Sites of each unit; several when a weight is tied."""
    axes: tuple[tuple[int | None, ...], ...]
    """Axis of the samples in inputs and outputs of each site; None when no axis separates samples."""


def discover(
    model: nn.Module,
    batches: Any,
    *,
    exclude: Sequence[str] = (),
    include: Sequence[str] | None = None,
    uncalled: Literal["error", "exclude"] = "error",
) -> tuple[Unit, ...]:
    """The units of a model in the order of their first call on the batches.

    `include` and `exclude` hold patterns on names (`*`, `?`, `[...]`), or "first" and "last". Weights used
    by several modules are one unit, named after the first module called. MACs and activations are of one
    sample. A layer that no batch reaches is an error, or left out when `uncalled` is "exclude".

    Raises:
        ModelError: no unit, a layer that is never called, or a pattern that matches nothing.
        DataError: the model does not run on the batches.

    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 10))
    >>> [(unit.name, unit.kind, unit.macs) for unit in discover(net, torch.zeros(1, 3, 8, 8))]
    [('0', 'conv2d', 7776), ('2', 'linear', 2880)]
    """
    return find_layers(model, batches, exclude=exclude, include=include, uncalled=uncalled).units


def find_layers(
    model: nn.Module,
    batches: Any,
    *,
    exclude: Sequence[str] = (),
    include: Sequence[str] | None = None,
    uncalled: Literal["error", "exclude"] = "error",
) -> Layers:
    """`discover`, with the sites of each unit."""
    sites = find_sites(model)
    uses = _calls(model, sites, Batches(batches))
    called = sorted((site for site in sites if uses[site.name].calls), key=lambda s: uses[s.name].order)
    _check_patterns([*(include or ()), *exclude], [site.name for site in sites])
    missing = [s.name for s in sites if not uses[s.name].calls and _kept(s.name, include, exclude)]
    tied = {id(site.weight) for site in called}
    missing = [s.name for s in sites if s.name in missing and id(s.weight) not in tied]
    if missing and uncalled == "error":
        raise ModelError(
            f"{len(missing)} layer{'s are' if len(missing) > 1 else ' is'} never called on these batches: "
            + ", ".join(missing[:5])
            + (", ..." if len(missing) > 5 else ""),
            hint="give more batches, exclude them by name, or pass uncalled='exclude'",
        )
    by_weight: dict[int, list[Site]] = {}
    for site in called:
        by_weight.setdefault(id(site.weight), []).append(site)
    groups = list(by_weight.values())
    names = [group[0].name for group in groups]
    wanted = _wanted(names, include, exclude)
    groups = [group for group, keep in zip(groups, wanted, strict=True) if keep]
    if not groups:
        raise ModelError(
            "the model has no unit to quantize",
            hint="units are convolutions, linear layers, embeddings and attentions that the batches reach",
        )
    return Layers(
        tuple(_unit(group, [uses[site.name] for site in group]) for group in groups),
        tuple(tuple(group) for group in groups),
        tuple(tuple(uses[site.name].axis for site in group) for group in groups),
    )


def weights_of(model: nn.Module, units: Iterable[Unit]) -> list[nn.Parameter]:
    """The stored weights of units; below a parametrization the original.

    Raises:
        ModelError: the model has no such layer.
    """
    modules = {clean(name): module for name, module in unwrap(model).named_modules(remove_duplicate=False)}
    return [_weight_of(modules, unit) for unit in units]


def _weight_of(modules: Mapping[str, nn.Module], unit: Unit) -> nn.Parameter:
    path, _, last = unit.name.rpartition(".")
    module = modules.get(unit.name)
    if module is not None and hasattr(module, "weight"):
        return parameter_of(module)
    for name in (f"{last}_weight", last):
        parameter = getattr(modules.get(path), name, None)
        if isinstance(parameter, nn.Parameter):
            return parameter
    raise ModelError(
        f"the model has no layer '{unit.name}'", hint="the units come from another model; discover them again"
    )


def matrix(weight: Tensor, unit: Unit) -> Tensor:
    """A weight as [out, in, pos]; a view wherever its memory allows.

    >>> unit = Unit("c", "conv2d", out=4, inp=3, pos=9, macs=0)
    >>> matrix(torch.zeros(4, 3, 3, 3), unit).shape
    torch.Size([4, 3, 9])
    """
    if unit.transposed:
        return weight.t().unsqueeze(-1)
    return weight.reshape(unit.out, unit.inp, unit.pos)


def unmatrix(values: Tensor, unit: Unit, shape: torch.Size) -> Tensor:
    """[out, in, pos] values in the shape of the stored weight."""
    return values.squeeze(-1).t() if unit.transposed else values.reshape(shape)


def fingerprint(model: nn.Module, units: Sequence[Unit]) -> str:
    """32 hexadecimal digits from the names, shapes and (evenly spaced) weights of the units.

    >>> net = nn.Linear(2, 2)
    >>> len(fingerprint(net, [Unit("", "linear", 2, 2, 1, 4)]))
    32
    """
    digest = hashlib.sha256()
    for unit, weight in zip(units, weights_of(model, units), strict=True):
        digest.update(f"{unit.name}|{unit.kind}|{tuple(weight.shape)}|{weight.dtype}\n".encode())
        flat = weight.detach().reshape(-1)[:: max(1, weight.numel() // _HASHED)]
        digest.update(flat.float().cpu().numpy().tobytes())
    return digest.hexdigest()[:32]


@dataclass
class _Use:
    """What the calls of one site showed."""

    order: int = -1
    calls: int = 0
    macs: int = 0
    activations: int = 0
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    axis: int | None = None


def _calls(model: nn.Module, sites: list[Site], batches: Batches) -> dict[str, _Use]:
    """Run one sample, then two (to see which axis holds the samples), then more while layers are missing."""
    uses = _run(model, sites, batches, 1)
    first = next(iter(batches))
    if first.size > 1:
        double = _run(model, sites, batches, 2)
        for name, use in uses.items():
            axes = {_grown(a, b) for a, b in zip(use.shapes, double[name].shapes, strict=False)}
            same = len(use.shapes) == len(double[name].shapes) and len(axes) == 1
            use.axis = axes.pop() if same else None
    if all(use.calls for use in uses.values()):
        return uses
    everything = _run(model, sites, batches, None)
    for name, use in uses.items():
        if not use.calls and everything[name].calls:
            uses[name] = everything[name]
            uses[name].order += len(sites)
            uses[name].macs //= batches.n_samples
            uses[name].activations //= batches.n_samples
    return uses


def _run(model: nn.Module, sites: list[Site], batches: Batches, samples: int | None) -> dict[str, _Use]:
    """The uses of every site over the first samples of the first batch, or over all batches."""
    uses = {site.name: _Use() for site in sites}
    order: Iterator[int] = iter(range(1 << 62))

    def on_call(site: Site, row: int, x: Tensor, z: Tensor) -> None:
        use = uses[site.name]
        use.order = next(order) if use.calls == 0 else use.order
        use.calls += 1
        fan_in = site.weight.numel() // _rows(site)
        use.macs += 0 if site.kind == "embedding" else z.numel() * fan_in
        use.activations += x.numel()
        use.shapes.append(tuple(z.shape))

    with lent(model), torch.no_grad(), observed(sites, on_call):
        if samples is None:
            for batch in batches:
                batches.run(model, batch)
        else:
            first = next(iter(batches))
            batches.run(model, first.part(0, samples))
    return uses


def _grown(one: tuple[int, ...], two: tuple[int, ...]) -> int | None:
    """The one axis that doubled, or None."""
    if len(one) != len(two):
        return None
    grown = [axis for axis, (a, b) in enumerate(zip(one, two, strict=True)) if a != b]
    return grown[0] if len(grown) == 1 and two[grown[0]] == 2 * one[grown[0]] else None


def _rows(site: Site) -> int:
    """Output channels of a site's weight."""
    if site.transposed:
        return site.weight.shape[1]
    return site.weight.shape[0] * (site.weight.shape[1] if site.kind == "experts" else 1)


def _unit(group: list[Site], uses: list[_Use]) -> Unit:
    """The record of one unit from its first site and the calls of all."""
    site = group[0]
    shape = site.weight.shape
    out = _rows(site)
    inp = shape[0] if site.transposed else shape[2] if site.kind == "experts" else shape[1]
    kernel: tuple[int, ...] = (
        getattr(site.module, "kernel_size", (1,)) if site.kind.startswith("conv") else (1,)
    )
    stride: tuple[int, ...] = getattr(site.module, "stride", (1,)) if site.kind.startswith("conv") else (1,)
    return Unit(
        name=site.name,
        kind=site.kind,
        out=out,
        inp=inp,
        pos=site.weight.numel() // (out * inp),
        macs=sum(use.macs for use in uses),
        groups=int(getattr(site.module, "groups", 1)) if site.kind.startswith("conv") else 1,
        kernel=max(kernel),
        stride=max(stride),
        activations=sum(use.activations for use in uses),
        calls=sum(use.calls for use in uses),
        transposed=site.transposed,
    )


def _wanted(names: list[str], include: Sequence[str] | None, exclude: Sequence[str]) -> list[bool]:
    """Which of the called units are kept; "first" and "last" are by the order of calls."""
    ends = {"first": names[:1], "last": names[-1:]}

    def matches(name: str, patterns: Sequence[str]) -> bool:
        return any(name in ends.get(pattern, ()) or fnmatchcase(name, pattern) for pattern in patterns)

    return [(include is None or matches(name, include)) and not matches(name, exclude) for name in names]


def _kept(name: str, include: Sequence[str] | None, exclude: Sequence[str]) -> bool:
    """Whether the patterns keep a layer that was never called."""
    kept = include is None or any(fnmatchcase(name, pattern) for pattern in include)
    return kept and not any(fnmatchcase(name, pattern) for pattern in exclude)


def _check_patterns(patterns: list[str], names: list[str]) -> None:
    """A pattern that matches no layer is a mistake worth a message."""
    for pattern in patterns:
        if pattern not in ("first", "last") and not any(fnmatchcase(name, pattern) for name in names):
            from difflib import get_close_matches

            near = get_close_matches(pattern, names, n=3, cutoff=0.3)
            raise ModelError(
                f"no layer matches '{pattern}'",
                hint="did you mean " + ", ".join(near) + "?"
                if near
                else "see the names with tap collect --list",
            )
