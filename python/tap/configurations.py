"""Configurations: whole networks of mixed formats in strata of equal bytes, each really measured."""

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
_ARRAYS = ("choice", "loss", "accuracy", "stderr", "stratum", "bytes", "plain_loss", "plain_accuracy")


@dataclass(frozen=True)
class Configurations:
    """M measured configurations of L units. Read and written without torch.

    >>> one = np.ones(1)
    >>> found = Configurations(
    ...     ("conv",), ("int2", "int4"), np.array([[1]]), 0.25 * one, 0.9 * one, 0.01 * one,
    ...     np.array([0]), np.array([80]), ceiling=float("nan"),
    ... )
    >>> [found.formats[index] for index in found.choice[0]]
    ['int4']
    """

    units: tuple[str, ...]
    formats: tuple[str, ...]
    choice: NDArray[np.int64]
    """[M, L]: index of each unit's format."""
    loss: NDArray[np.float64]
    """[M]: mean loss over samples (nats for KL), with the lifts where they help on calibration data."""
    accuracy: NDArray[np.float64]
    """[M]: part of the samples that are right, with the lifts; NaN without labels."""
    stderr: NDArray[np.float64]
    """[M]: of `loss`, by the bootstrap over samples."""
    stratum: NDArray[np.int64]
    """[M]: configurations of one stratum have equal bytes within 0.5 %."""
    bytes: NDArray[np.int64]
    """[M]: exact stored bytes of all units."""
    ceiling: float
    """Largest agreement to expect of any prediction within a stratum: root of the split-half reliability."""
    fingerprint: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)
    plain_loss: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """[M]: the loss without lifts."""
    plain_accuracy: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """[M]: the accuracy without lifts."""

    def __post_init__(self) -> None:
        """Check every shape and that each choice names a format."""
        count = len(self.loss)
        if not (self.units and self.formats and count):
            raise TableError("configurations need at least one unit, one format and one configuration")
        if self.choice.shape != (count, len(self.units)):
            raise TableError(f"'choice' has shape {self.choice.shape}, not {(count, len(self.units))}")
        if not ((self.choice >= 0) & (self.choice < len(self.formats))).all():
            raise TableError(f"'choice' names formats outside 0 to {len(self.formats) - 1}")
        for name in ("accuracy", "stderr", "stratum", "bytes"):
            if getattr(self, name).shape != (count,):
                raise TableError(f"'{name}' has shape {getattr(self, name).shape}, not {(count,)}")
        for name in ("plain_loss", "plain_accuracy"):
            if getattr(self, name).shape not in ((count,), (0,)):
                raise TableError(f"'{name}' has shape {getattr(self, name).shape}, not {(count,)}")

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, whole or not at all."""
        save_arrays(
            path,
            kind="configurations",
            version=VERSION,
            arrays={name: getattr(self, name) for name in _ARRAYS},
            meta={
                "units": list(self.units),
                "formats": list(self.formats),
                "ceiling": self.ceiling if np.isfinite(self.ceiling) else None,
                "fingerprint": self.fingerprint,
                "meta": dict(self.meta),
            },
        )

    @staticmethod
    def load(path: str | Path) -> Configurations:
        """Read what `save` wrote; anything else is a `TableError`."""
        arrays, meta = load_arrays(path, kind="configurations", version=VERSION)
        try:
            return Configurations(
                units=tuple(meta["units"]),
                formats=tuple(meta["formats"]),
                ceiling=float("nan") if meta["ceiling"] is None else float(meta["ceiling"]),
                fingerprint=meta["fingerprint"],
                meta=meta["meta"],
                **{name: arrays[name] for name in _ARRAYS},
            )
        except KeyError as error:
            raise TableError(f"{path} has no complete configurations: {error}") from error


def measure_configs(
    model: nn.Module,
    batches: Any,
    *,
    budgets: float | str | Sequence[float | str] = (),
    n: int = 0,
    choices: NDArray[np.int64] | None = None,
    formats: Iterable[str | Format] | None = None,
    calibration: Any = None,
    lifts: bool = True,
    loss: Loss = "kl",
    around: Sequence[NDArray[np.int64]] = (),
    executor: Executor | str | None = None,
    resume: str | Path | None = None,
    progress: bool = True,
    exclude: Sequence[str] = (),
    include: Sequence[str] | None = None,
    seed: int = 0,
) -> Configurations:
    """Draw `n` configurations for each budget and measure each as a whole on the really quantized network.

    A budget is text as `tap.costs.Budget` reads it (`3bits`, `12kB`, `int3`), or a number: bytes, or up to 32
    nominal bits (the bytes of the uniform format; between two in proportion). Each is one stratum. `choices`
    [M, L], format indexes, are measured instead of drawn ones, as one stratum. `around` holds plans, for
    example those of some proxies, as format indexes [L]. With `lifts`, weights are rounded with error
    compensation and batch-norm statistics are corrected, from `calibration` (256 samples; by default the
    first of `batches`), where that lowers the KL there; results without are kept beside. With `resume`, each
    finished configuration is in that file at once. The model comes back as it was.

    Raises:
        BudgetError, InfeasibleError: a budget that the formats cannot meet.
        ModelError, DataError, TableError: as `tap.measure`.

    >>> import torch
    >>> net = torch.nn.Sequential(*(torch.nn.Linear(8, 8) for _ in range(6)))
    >>> found = measure_configs(
    ...     net, torch.randn(16, 8), budgets=3.0, n=4, formats=["int2", "int3", "int4"], progress=False
    ... )
    >>> found.choice.shape, bool((found.bytes == found.bytes[0]).all())
    ((4, 6), True)
    """
    from tap.truth.whole import measure_whole

    return measure_whole(
        model,
        batches,
        budgets=[budgets] if isinstance(budgets, str | float | int) else list(budgets),
        n=n,
        choices=choices,
        formats=formats,
        calibration=calibration,
        lifts=lifts,
        loss=loss,
        around=around,
        executor=executor,
        resume=resume,
        progress=progress,
        exclude=exclude,
        include=include,
        seed=seed,
    )
