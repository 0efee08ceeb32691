"""The weights of a quantized model as what is stored: integer codes, scales and zero points, unit by unit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tap.errors import ExportError
from tap.formats import Format
from tap.formats.base import blocks_of, rows_of
from tap.formats.floating import BlockFloat, FloatFormat
from tap.formats.gguf import GgufFormat
from tap.formats.integer import IntFormat
from tap.formats.pair import weight_only
from tap.quantize.fake import FakeInput
from tap.quantize.model import _place
from tap.stats.batches import unwrap
from tap.stats.layers import matrix, unmatrix
from tap.stats.memory import give_back
from tap.stats.sites import Site, find_sites
from tap.stats.units import Unit

_CLOSE = 0.02
"""Decoded values may differ from the model's by this part of a step: the rounding of 16-bit models."""


@dataclass(frozen=True)
class Encoded:
    """The weight of one unit: value = (code - zero) * scale, in groups of `group` columns of each row."""

    unit: Unit
    key: str
    """Name of the weight in the state of the original model."""
    aliases: tuple[str, ...]
    """Other names of the same weight."""
    format: Format
    """The weight's format, without that of the input."""
    codes: Tensor
    """[out, columns]: int16 codes from `low` to `high`; values of the kind for floating-point formats; the
    stored bytes for formats of GGUF."""
    scale: Tensor
    """[out, G]; [1, 1] for one scale a tensor."""
    zero: Tensor
    """[out, G], 0 where the format has none."""
    group: int
    low: int
    high: int
    whole: float
    """Scale of the whole tensor, on top of `scale`; 1 except for nvfp4."""
    shape: torch.Size
    """Of the stored weight."""
    dtype: torch.dtype
    bias: Tensor | None
    input_range: Any
    """The calibrated `InputRange` of the unit's input, None where inputs stay as they are."""

    def decode(self) -> Tensor:
        """The weight [out, columns] in float32."""
        size = self.codes.shape[1]
        if self.scale.shape[1] == 1:
            scale, zero = self.scale, self.zero
        else:
            columns = torch.arange(size) // self.group
            scale, zero = self.scale[:, columns], self.zero[:, columns]
        return (self.codes.float() - zero) * (scale * self.whole)


def prepared(model: nn.Module, plan: Any, data: Any) -> nn.Module:
    """The model in the formats of the plan, whether it was quantized before or not."""
    from tap.quantize.model import quantize

    if "_tap_undo" in unwrap(model).__dict__:
        return model
    return quantize(model, plan, data=data)


def encoded(model: nn.Module, plan: Any) -> Iterator[Encoded]:
    """The weights of the plan's units from a quantized model, one after the other."""
    sites = find_sites(unwrap(model))
    for unit in plan.units:
        yield encode(unit, sites)
        give_back()


def other_state(model: nn.Module) -> dict[str, Tensor]:
    """The rest of the state: everything that no format was given to, under its original name."""
    state = unwrap(model).state_dict()
    kept = {name: tensor for name, tensor in state.items() if ".parametrizations." not in f".{name}"}
    seen: dict[tuple[int, tuple[int, ...]], str] = {}
    for name, tensor in list(kept.items()):
        place = (tensor.data_ptr(), tuple(tensor.shape))
        if tensor.numel() and place in seen:
            del kept[name]
        else:
            seen[place] = name
    return {name: tensor.detach().cpu().contiguous() for name, tensor in kept.items()}


def plain_aliases(model: nn.Module) -> dict[str, str]:
    """Names of the rest of the state that share a tensor with another name, and that name."""
    state = unwrap(model).state_dict()
    kept = other_state(model)
    places = {(state[name].data_ptr(), tuple(state[name].shape)): name for name in kept}
    return {
        name: places[tensor.data_ptr(), tuple(tensor.shape)]
        for name, tensor in state.items()
        if name not in kept and ".parametrizations." not in f".{name}"
    }


def encode(unit: Unit, sites: Iterable[Site]) -> Encoded:
    """The weight of one unit, from the sites of a quantized model."""
    found = list(sites)
    site = next(one for one in found if one.name == unit.name)
    same = [other for other in found if other.weight is site.weight]
    holder, name = _place(site)
    keys = [weight_key(other) for other in same]
    lists: Any = getattr(holder, "parametrizations", {})
    if name not in lists:
        raise ExportError(
            f"unit '{unit.name}' is not quantized", hint="pass the plan that the model was made with"
        )
    fake = lists[name][0]
    format = weight_only(fake.format)
    with torch.no_grad():
        value = matrix(getattr(holder, name).detach(), unit).reshape(unit.out, -1).float().cpu()
        original = matrix(lists[name].original.detach(), unit).reshape(unit.out, -1).cpu()
        parts = _parts(format, fake, value, original, unit)
    fake.forget()
    ranges = [hook.range for hook in site.module._forward_pre_hooks.values() if isinstance(hook, FakeInput)]
    bias = getattr(site.module, "bias", None) if not site.is_packed else None
    return Encoded(
        unit=unit,
        key=keys[0],
        aliases=tuple(keys[1:]),
        format=format,
        shape=site.weight.shape,
        dtype=site.weight.dtype,
        bias=bias.detach().cpu() if isinstance(bias, Tensor) else None,
        input_range=ranges[0] if ranges else None,
        **parts,
    )


def _parts(format: Format, fake: Any, value: Tensor, original: Tensor, unit: Unit) -> dict[str, Any]:
    """Codes, scales and zero points, checked against what the model computes with."""
    zero = torch.zeros(1, 1)
    if isinstance(format, IntFormat):
        group, low, high = fake._shape
        scale, zero = fake.scale.detach().cpu().float(), fake.zero.detach().cpu().float()
        blocks = blocks_of(value, group).reshape(unit.out, -1, group)
        codes = (blocks / scale.unsqueeze(2)).round_()
        off = (codes * scale.unsqueeze(2)).sub_(blocks).abs_()
        if bool((off > _CLOSE * scale.abs().unsqueeze(2) * high).any()):
            raise ExportError(f"the weight of unit '{unit.name}' is not on the grid of {format.name}")
        del off
        codes += zero.unsqueeze(2)
        whole = rows_of(codes.reshape(-1, group), unit.out, value.shape[1]).clamp_(low, high)
        return {"codes": whole.to(torch.int16), "scale": scale, "zero": zero, "group": group, "low": low,
                "high": high, "whole": 1.0}  # fmt: skip
    bare = {"zero": zero, "group": value.shape[1], "low": 0, "high": 0, "whole": 1.0}
    if isinstance(format, FloatFormat):
        codes, scale = format.encode(original)
        return {**bare, "codes": codes.reshape(value.shape).float(), "scale": scale.float()}
    if isinstance(format, BlockFloat):
        codes, scale, tensor_scale = format.encode(original)
        rows = rows_of(codes, unit.out, value.shape[1]).float()
        grouped = scale.float().reshape(unit.out, -1)
        zeros = torch.zeros_like(grouped)
        return {**bare, "codes": rows, "scale": grouped, "zero": zeros, "group": format.group,
                "whole": float(tensor_scale)}  # fmt: skip
    if isinstance(format, GgufFormat):
        return {**bare, "codes": format.blocks(original).codes, "scale": torch.ones(1, 1)}
    raise ExportError(
        f"unit '{unit.name}': {format.name} has no stored form", hint="use a format of tap.formats"
    )


def in_shape(rows: Tensor, unit: Unit, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """Rows [out, columns] as the stored weight."""
    return unmatrix(rows.reshape(unit.out, unit.inp, unit.pos), unit, shape).to(dtype).contiguous()


def weight_key(site: Site) -> str:
    """Name of the weight in the state of the original model."""
    holder, name = _place(site)
    if holder is not site.module and not site.is_packed:
        return f"{site.name}.{name}"
    if site.is_packed:
        path = site.name.rpartition(".")[0]
        inner = next((child for child, module in site.module.named_children() if module is holder), "")
        return ".".join(part for part in (path, inner, name) if part)
    return f"{site.name}.{name}" if site.name else name
