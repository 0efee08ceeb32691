"""Sensitivity: how much the loss grows when one unit alone is in one format, with error bars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tap.errors import TableError
from tap.files import load_arrays, save_arrays

if TYPE_CHECKING:
    from torch import nn

    from tap.formats import Format
    from tap.truth.executor import Executor
    from tap.truth.losses import Loss

VERSION = 1


@dataclass(frozen=True)
class Sensitivity:
    """Measured sensitivity of L units in F formats.

    `values[l, f]` is the mean over samples of the loss with unit l in format f less the loss of the base
    point, in the unit of the loss (nats for KL). Read and written without torch.

    >>> found = Sensitivity(("conv",), ("int4",), np.array([[0.25]]), np.array([[0.01]]), ceiling=0.9)
    >>> found.values[found.units.index("conv"), found.formats.index("int4")].item()
    0.25
    """

    units: tuple[str, ...]
    formats: tuple[str, ...]
    values: NDArray[np.float64]
    """[L, F]."""
    stderr: NDArray[np.float64]
    """[L, F], by the bootstrap over samples."""
    ceiling: float
    """Largest agreement to expect of any prediction within a format: root of the split-half reliability."""
    fingerprint: str = ""
    """Identity of the model, as in its layer table."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """How it was measured: loss, samples, base, versions."""
    halves: NDArray[np.float64] = field(default_factory=lambda: np.zeros((2, 0, 0)))
    """[2, L, F]: the same means over the even and the odd samples."""

    def __post_init__(self) -> None:
        """Check every shape."""
        shape = (len(self.units), len(self.formats))
        if not all(shape):
            raise TableError("a sensitivity needs at least one unit and one format")
        for name in ("values", "stderr"):
            if getattr(self, name).shape != shape:
                raise TableError(f"'{name}' has shape {getattr(self, name).shape}, not {shape}")
        if self.halves.size and self.halves.shape != (2, *shape):
            raise TableError(f"'halves' has shape {self.halves.shape}, not {(2, *shape)}")

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, whole or not at all."""
        save_arrays(
            path,
            kind="sensitivity",
            version=VERSION,
            arrays={"values": self.values, "stderr": self.stderr, "halves": self.halves},
            meta={
                "units": list(self.units),
                "formats": list(self.formats),
                "ceiling": self.ceiling if np.isfinite(self.ceiling) else None,
                "fingerprint": self.fingerprint,
                "meta": dict(self.meta),
            },
        )

    @staticmethod
    def load(path: str | Path) -> Sensitivity:
        """Read what `save` wrote; anything else is a `TableError`."""
        arrays, meta = load_arrays(path, kind="sensitivity", version=VERSION)
        try:
            return Sensitivity(
                units=tuple(meta["units"]),
                formats=tuple(meta["formats"]),
                values=arrays["values"],
                stderr=arrays["stderr"],
                ceiling=float("nan") if meta["ceiling"] is None else float(meta["ceiling"]),
                fingerprint=meta["fingerprint"],
                meta=meta["meta"],
                halves=arrays["halves"],
            )
        except KeyError as error:
            raise TableError(f"{path} is not a complete sensitivity: {error}") from error


def measure(
    model: nn.Module,
    batches: Any,
    *,
    formats: Iterable[str | Format] | None = None,
    loss: Loss = "kl",
    base: Mapping[str, str] | None = None,
    executor: Executor | str | None = None,
    resume: str | Path | None = None,
    progress: bool = True,
    cache_bytes: int = 2 << 30,
    exclude: Sequence[str] = (),
    include: Sequence[str] | None = None,
    seed: int = 0,
) -> Sensitivity:
    """Measure every unit in every format, one at a time, on the really quantized network.

    `loss` is "kl" (to the full-precision outputs, no labels), "cross-entropy", or a function of (logits,
    full-precision logits, targets) to one loss a sample. `base` (unit name to format name) is the network
    that one unit is changed in; by default full precision. `executor` is None, "processes", "processes:4",
    "ray" or an `Executor`. With `resume`, each finished unit and format is in that file at once, and a
    second call with the same arguments goes on from there. Outputs of the part before the changed unit are
    kept up to `cache_bytes` and only the rest runs. The model comes back as it was.

    Raises:
        ModelError: no unit, or a loss that is not finite, with the unit and format.
        DataError: the model does not run on the batches.
        TableError: `resume` is the file of another measurement.

    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    >>> found = measure(net, torch.randn(16, 4), formats=["int2", "int8"], progress=False)
    >>> found.units, found.values.shape, bool((found.values[:, 0] > found.values[:, 1]).all())
    (('0', '2'), (2, 2), True)
    """
    from tap.truth.one_at_a_time import measure_units

    return measure_units(
        model,
        batches,
        formats=formats,
        loss=loss,
        base=base,
        executor=executor,
        resume=resume,
        progress=progress,
        cache_bytes=cache_bytes,
        exclude=exclude,
        include=include,
        seed=seed,
    )
