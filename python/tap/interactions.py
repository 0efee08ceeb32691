"""Interactions: what two quantized units do to the loss together beyond what each does alone."""

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
class Interactions:
    """Measured interactions of P pairs of units in F x F formats. Read and written without torch.

    `values[p, f, g]` is the mean over samples of L(a in f, b in g) - L(a in f) - L(b in g) + L(neither), in
    the unit of the loss; 0 where the two units' losses add up.

    >>> one = np.full((1, 1, 1), 0.5)
    >>> found = Interactions((("conv", "fc"),), ("int4",), one, one / 10, 3 * one)
    >>> found.values[found.pairs.index(("conv", "fc")), 0, 0].item()
    0.5
    """

    pairs: tuple[tuple[str, str], ...]
    """The two units of each pair, in the order of their calls."""
    formats: tuple[str, ...]
    values: NDArray[np.float64]
    """[P, F, F]."""
    stderr: NDArray[np.float64]
    """[P, F, F], by the bootstrap over samples."""
    together: NDArray[np.float64]
    """[P, F, F]: L(a in f, b in g) - L(neither)."""
    fingerprint: str = ""
    """Identity of the model, as in its layer table."""
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every shape."""
        shape = (len(self.pairs), len(self.formats), len(self.formats))
        if not all(shape):
            raise TableError("interactions need at least one pair and one format")
        for name in ("values", "stderr", "together"):
            if getattr(self, name).shape != shape:
                raise TableError(f"'{name}' has shape {getattr(self, name).shape}, not {shape}")

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, whole or not at all."""
        save_arrays(
            path,
            kind="interactions",
            version=VERSION,
            arrays={"values": self.values, "stderr": self.stderr, "together": self.together},
            meta={
                "pairs": [list(pair) for pair in self.pairs],
                "formats": list(self.formats),
                "fingerprint": self.fingerprint,
                "meta": dict(self.meta),
            },
        )

    @staticmethod
    def load(path: str | Path) -> Interactions:
        """Read what `save` wrote; anything else is a `TableError`."""
        arrays, meta = load_arrays(path, kind="interactions", version=VERSION)
        try:
            return Interactions(
                pairs=tuple((str(one), str(two)) for one, two in meta["pairs"]),
                formats=tuple(meta["formats"]),
                fingerprint=meta["fingerprint"],
                meta=meta["meta"],
                **{name: arrays[name] for name in ("values", "stderr", "together")},
            )
        except (KeyError, ValueError) as error:
            raise TableError(f"{path} has no complete interactions: {error}") from error


def measure_pairs(
    model: nn.Module,
    batches: Any,
    *,
    pairs: Sequence[tuple[str, str]],
    formats: Iterable[str | Format] | None = None,
    loss: Loss = "kl",
    base: Mapping[str, str] | None = None,
    executor: Executor | str | None = None,
    resume: str | Path | None = None,
    progress: bool = True,
    cache_bytes: int = 2 << 30,
    seed: int = 0,
) -> Interactions:
    """Measure the interaction of each of `pairs` (two unit names) in each pair of formats.

    That is F x F losses a pair, and F for each of its units. The options are those of `tap.measure`; with
    `resume`, each finished choice is in that file at once, and later calls may ask for more pairs of the
    same model, data and formats. The model comes back as it was.

    Raises:
        ModelError: an unknown unit, no pair, or a loss that is not finite.
        DataError, TableError: as `tap.measure`.

    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    >>> measure_pairs(
    ...     net, torch.randn(16, 4), pairs=[("0", "2")], formats=["int2", "int8"], progress=False
    ... ).values.shape
    (1, 2, 2)
    """
    from tap.truth.pairs import measure_couples

    return measure_couples(
        model,
        batches,
        pairs=pairs,
        formats=formats,
        loss=loss,
        base=base,
        executor=executor,
        resume=resume,
        progress=progress,
        cache_bytes=cache_bytes,
        seed=seed,
    )
