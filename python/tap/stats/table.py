"""The layer table: everything a proxy program may read about a model's units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tap.errors import TableError
from tap.files import load_arrays, save_arrays
from tap.stats.units import Unit

VERSION = 1
_AXES = ("format", "out", "in", "pos")


@dataclass(frozen=True)
class Sample:
    """Values along the axes of a unit's weight, one array a unit, cut to a block of channels.

    `values[l]` has one dimension for each name of `axes`, in the order format, out, in, pos.
    """

    axes: tuple[str, ...]
    values: tuple[NDArray[np.float32], ...]


@dataclass(frozen=True)
class LayerTable:
    """Statistics of L units in F formats.

    `columns[name]` is float64 of shape [L] or [L, F], exact over the whole tensors. `samples[name]` keeps
    axes of the weight, cut to `blocks[l]` = (out, in, pos) channels of unit l; a program that sums over a
    sample gets the sum scaled to the whole tensor.

    >>> unit = Unit("fc", "linear", out=2, inp=3, pos=1, macs=6)
    >>> table = LayerTable((unit,), ("int4",), {"trace": np.array([0.5])})
    >>> table.columns["trace"].shape, table.units[0].numel
    ((1,), 6)
    """

    units: tuple[Unit, ...]
    formats: tuple[str, ...]
    columns: Mapping[str, NDArray[np.float64]]
    samples: Mapping[str, Sample] = field(default_factory=dict)
    blocks: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 3), np.int64))
    """Sampled sizes [L, 3] of (out, in, pos); at most those of the units."""
    fingerprint: str = ""
    """Identity of the model: names, shapes and weights. Tables of one model share it."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """How it was collected: samples, seed, loss, versions."""

    def __post_init__(self) -> None:
        """Check every shape, so that nothing downstream has to."""
        n_units, n_formats = len(self.units), len(self.formats)
        if n_units == 0 or n_formats == 0:
            raise TableError("a table needs at least one unit and one format")
        for name, column in self.columns.items():
            if column.shape not in ((n_units,), (n_units, n_formats)):
                raise TableError(
                    f"column '{name}' has shape {column.shape}, not ({n_units},) or ({n_units}, {n_formats})"
                )
        if self.samples and self.blocks.shape != (n_units, 3):
            raise TableError(f"blocks has shape {self.blocks.shape}, not ({n_units}, 3)")
        for name, sample in self.samples.items():
            if len(sample.values) != n_units:
                raise TableError(f"sample '{name}' has {len(sample.values)} units, not {n_units}")
            for unit, block, values in zip(self.units, self.blocks, sample.values, strict=True):
                sizes = dict(zip(_AXES, (n_formats, *(int(size) for size in block)), strict=True))
                expected = tuple(sizes[axis] for axis in sample.axes)
                if values.shape != expected:
                    raise TableError(
                        f"sample '{name}' of unit '{unit.name}' has shape {values.shape}, not {expected}"
                    )

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, whole or not at all."""
        arrays: dict[str, NDArray[Any]] = {f"column/{name}": column for name, column in self.columns.items()}
        arrays["blocks"] = self.blocks
        for name, sample in self.samples.items():
            arrays[f"sample/{name}"] = np.concatenate([value.ravel() for value in sample.values])
        meta = {
            "units": [unit.as_json() for unit in self.units],
            "formats": list(self.formats),
            "sample_axes": {name: list(sample.axes) for name, sample in self.samples.items()},
            "fingerprint": self.fingerprint,
            "meta": dict(self.meta),
        }
        save_arrays(path, kind="table", version=VERSION, arrays=arrays, meta=meta)

    @staticmethod
    def load(path: str | Path) -> LayerTable:
        """Read what `save` wrote; anything else is a `TableError`."""
        arrays, meta = load_arrays(path, kind="table", version=VERSION)
        try:
            units = tuple(Unit.from_json(record) for record in meta["units"])
            formats = tuple(meta["formats"])
            blocks = arrays.pop("blocks")
            samples = {
                name: Sample(tuple(axes), _split(arrays.pop(f"sample/{name}"), axes, len(formats), blocks))
                for name, axes in meta["sample_axes"].items()
            }
            columns = {name.removeprefix("column/"): array for name, array in arrays.items()}
            return LayerTable(units, formats, columns, samples, blocks, meta["fingerprint"], meta["meta"])
        except (KeyError, ValueError) as error:
            raise TableError(f"{path} is not a complete table: {error}") from error


def _split(
    flat: NDArray[np.float32], axes: list[str], n_formats: int, blocks: NDArray[np.int64]
) -> tuple[NDArray[np.float32], ...]:
    """Cut a concatenated sample back into one array a unit."""
    values, start = [], 0
    for block in blocks:
        sizes = dict(zip(_AXES, (n_formats, *(int(size) for size in block)), strict=True))
        shape = tuple(sizes[axis] for axis in axes)
        stop = start + int(np.prod(shape))
        values.append(flat[start:stop].reshape(shape))
        start = stop
    if start != flat.size:
        raise TableError(f"a sample holds {flat.size} values where its units need {start}")
    return tuple(values)
