"""Ranges of the inputs of units, calibrated on data, and hooks that round the inputs to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tap.errors import FormatError
from tap.stats.batches import Batches
from tap.stats.layers import Layers
from tap.stats.observe import observed
from tap.stats.sites import Site

_KEPT = 1 << 14
"""Input elements of each batch that enter the search of a range."""


@dataclass(frozen=True)
class InputRange:
    """Unsigned integers of `bits` bits over [low, high], which holds 0: x = scale * (q - zero)."""

    low: float
    high: float
    bits: int

    @property
    def scale(self) -> float:
        """Size of one step."""
        return (self.high - self.low) / ((1 << self.bits) - 1) or 1.0

    @property
    def zero(self) -> int:
        """The code of 0."""
        return round(-self.low / self.scale)

    def round(self, x: Tensor) -> Tensor:
        """The nearest representable values of `x`; the gradient passes where `x` is in range.

        >>> InputRange(0.0, 3.0, 2).round(torch.tensor([-1.0, 1.2, 9.0])).tolist()
        [0.0, 1.0, 3.0]
        """
        return torch.fake_quantize_per_tensor_affine(
            x.float(), self.scale, self.zero, 0, (1 << self.bits) - 1
        ).to(x.dtype)


def fit_range(values: Tensor, low: float, high: float, bits: int) -> InputRange:
    """The range inside [low, high] with the least squared error on `values` [n]."""
    low, high = min(low, 0.0), max(high, 0.0)
    best, least = InputRange(low, high, bits), float("inf")
    for part in (
        (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2) if bits < 8 else (1.0, 0.95, 0.9, 0.8, 0.7)
    ):
        tried = InputRange(low * part, high * part, bits)
        error = float((tried.round(values) - values).square().sum())
        if error < least:
            best, least = tried, error
    return best


class InputRanges:
    """The calibrated ranges of some units of a model, found on first need from at most 256 samples."""

    def __init__(self, model: nn.Module, layers: Layers, data: Batches) -> None:
        """Nothing runs until a range is needed."""
        self._model, self._layers, self._data = model, layers, data.limit(256)
        self._seen: dict[str, tuple[float, float, Tensor]] | None = None
        self._found: dict[tuple[str, int], InputRange] = {}
        self._paused = False

    def of(self, site: Site, bits: int) -> InputRange:
        """The range of a site's input in `bits` bits."""
        if site.is_packed:
            raise FormatError(
                f"unit '{site.name}' is packed inside {type(site.module).__name__}: its input has no format",
                hint="use a weight-only format for it, or exclude it",
            )
        if site.kind == "embedding":
            raise FormatError(
                f"unit '{site.name}' reads token numbers, which have no format", hint="exclude it"
            )
        seen = self.calibrate()
        key = (site.name, bits)
        if key not in self._found:
            low, high, values = seen[site.name]
            self._found[key] = fit_range(values, low, high, bits)
        return self._found[key]

    def calibrate(self) -> dict[str, tuple[float, float, Tensor]]:
        """Run the model as it stands once, unless that was done before; what each input showed, by site."""
        if self._seen is None:
            self._seen = self._observe()
        return self._seen

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let inputs through as they are inside the block."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    @contextmanager
    def rounded(self, bits: Mapping[int, int]) -> Iterator[None]:
        """Round the inputs of units (index to bits; 16 or more: as they are) inside the block."""
        with ExitStack() as stack:
            for unit, width in bits.items():
                for site in self._layers.sites[unit] if width < 16 else ():
                    stack.callback(self._hook(site, width).remove)
            yield

    def _hook(self, site: Site, bits: int) -> Any:
        found = self.of(site, bits)

        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if self._paused:
                return None
            if args:
                return (found.round(args[0]), *args[1:]), kwargs
            name = next(iter(kwargs))
            return args, {**kwargs, name: found.round(kwargs[name])}

        return site.module.register_forward_pre_hook(hook, with_kwargs=True)

    def _observe(self) -> dict[str, tuple[float, float, Tensor]]:
        seen: dict[str, tuple[float, float, Tensor]] = {}

        def on_call(site: Site, row: int, x: Tensor, z: Tensor) -> None:
            flat = x.detach().float().reshape(-1)
            kept = flat[:: max(1, flat.numel() // _KEPT)]
            low, high = float(flat.min()), float(flat.max())
            if site.name in seen:
                before = seen[site.name]
                low, high, kept = (
                    min(low, before[0]),
                    max(high, before[1]),
                    torch.cat([before[2], kept]),
                )
            seen[site.name] = (low, high, kept)

        sites: Sequence[Site] = [
            site
            for group in self._layers.sites
            for site in group
            if not site.is_packed and site.kind != "embedding"
        ]
        with observed(sites, on_call), torch.no_grad():
            for batch in self._data:
                self._data.run(self._model, batch)
        return seen
