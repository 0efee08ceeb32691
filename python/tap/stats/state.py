"""What the steps of one collection share, and the table that comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tap.formats import Format
from tap.stats.batches import Batches
from tap.stats.deltas import Deltas, float_weights
from tap.stats.inputs import AXES, FORMAT, PASSES
from tap.stats.layers import Layers
from tap.stats.loss import Loss
from tap.stats.progress import Progress
from tap.stats.sampling import Block
from tap.stats.table import LayerTable, Sample
from tap.stats.units import Unit

_NOISE_SAMPLES, _NOISE_SEQUENCES = 64, 32
"""By default; each token of a sequence is one more product."""


@dataclass
class Collection:
    """The request, the model, and the results so far of one `collect`."""

    model: nn.Module
    batches: Batches
    layers: Layers
    parameters: Sequence[nn.Parameter]
    matrices: Sequence[Tensor]
    """Stored weights as [out, in, pos]."""
    formats: Sequence[Format]
    blocks: Sequence[Block]
    names: frozenset[str]
    """Inputs that were asked for."""
    passes: frozenset[str]
    loss: Loss | None
    generator: torch.Generator
    probes: int
    iterations: int
    tolerance: float
    noise_samples: int | Literal["auto"] | None
    """How many samples the noise and the similarity are averaged over; None: all."""
    bar: Progress
    columns: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    samples: dict[str, list[NDArray[np.float32] | None]] = field(default_factory=dict)
    gradient: Sequence[Tensor] = ()
    """The mean gradient of each unit, [out, in, pos], kept when H g is wanted."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What else to keep beside the table: standard errors, probes used."""

    @property
    def units(self) -> tuple[Unit, ...]:
        """The units, in the order of their first call."""
        return self.layers.units

    @cached_property
    def weights(self) -> list[Tensor]:
        """Weights [out, in, pos] in float32."""
        return float_weights(self.units, self.matrices)

    @cached_property
    def deltas(self) -> Deltas:
        """Quantization errors of every unit and format."""
        return Deltas(self.units, self.weights, self.formats)

    @cached_property
    def noise_batches(self) -> tuple[Batches, Batches]:
        """The samples that the noise is averaged over, and the others."""
        count = self.batches.n_samples
        wanted = self.noise_samples or count
        if wanted == "auto":
            tokens = any(unit.kind == "embedding" for unit in self.units)
            wanted = _NOISE_SEQUENCES if tokens else _NOISE_SAMPLES
        return self.batches.cut(min(count, wanted))

    @property
    def devices(self) -> list[torch.device]:
        """Where each unit's weight is."""
        return [parameter.device for parameter in self.parameters]

    def wants(self, *passes: str) -> bool:
        """Whether any of the passes is needed."""
        for name in passes:
            assert name in PASSES, name
        return any(name in self.passes for name in passes)

    def column(self, name: str, values: Tensor | Sequence[float]) -> None:
        """Keep a column [L] or [L, F]."""
        found = values.detach().double().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
        self.columns[name] = np.ascontiguousarray(found, dtype=np.float64)

    def entry(self, name: str, unit: int, value: Any) -> None:
        """Keep one unit's part of a column: a number, or [F]."""
        shape = (len(self.units), len(self.formats)) if AXES[name] == FORMAT else (len(self.units),)
        column = self.columns.setdefault(name, np.zeros(shape))
        column[unit] = value.detach().double().cpu().numpy() if isinstance(value, Tensor) else value

    def sample(self, name: str, unit: int, values: Tensor) -> None:
        """Keep the block of one unit's values along the input's axes."""
        if name not in self.names:
            return
        cut = self.blocks[unit].cut(values, AXES[name])
        self.samples.setdefault(name, [None] * len(self.units))[unit] = cut

    def table(self, names: Sequence[str], fingerprint: str, meta: Mapping[str, Any]) -> LayerTable:
        """The table of the inputs asked for, in their order."""
        samples = {}
        for name in names:
            if name in self.samples:
                values = tuple(value for value in self.samples[name] if value is not None)
                samples[name] = Sample(AXES[name], values)
        return LayerTable(
            self.units,
            tuple(format.name for format in self.formats),
            {name: self.columns[name] for name in names if name in self.columns},
            samples,
            np.array([block.sizes for block in self.blocks], dtype=np.int64),
            fingerprint,
            meta,
        )
