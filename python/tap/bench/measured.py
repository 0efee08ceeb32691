"""Plans really quantized and measured, each once, sample by sample."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tap.bench.contestants import Choice
from tap.configurations import measure_configs

if TYPE_CHECKING:
    from tap.stats.batches import Batches

Rows = NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """One measured plan, over N samples."""

    choice: Choice
    bytes: int
    samples: Rows = field(repr=False)
    """[4, N]: loss and correctness of every sample with lifts, and without."""

    @property
    def loss(self) -> float:
        """Mean KL to full precision, with lifts."""
        return float(self.samples[0].mean())

    @property
    def loss_error(self) -> float:
        """Standard error of `loss`."""
        return float(self.samples[0].std(ddof=1) / math.sqrt(self.samples.shape[1]))

    @property
    def accuracy(self) -> float:
        """Part of the samples that are right, with lifts; NaN without labels."""
        return float(self.samples[1].mean())

    @property
    def plain_loss(self) -> float:
        """`loss` without lifts."""
        return float(self.samples[2].mean())

    @property
    def plain_accuracy(self) -> float:
        """`accuracy` without lifts."""
        return float(self.samples[3].mean())


def measure_plans(
    model: Any,
    choices: Sequence[Choice],
    *,
    formats: Sequence[str],
    cost: NDArray[np.int64],
    evaluation: Batches,
    calibration: Batches,
    journal: Path,
    progress: bool,
) -> dict[Choice, Outcome]:
    """Every choice measured on `evaluation`; those in the journal are not measured again."""
    every = list(dict.fromkeys(choices))
    if not every:
        return {}
    measure_configs(
        model,
        evaluation,
        choices=np.array(every, np.int64),
        formats=list(formats),
        calibration=calibration,
        resume=journal,
        progress=progress,
    )
    kept = _samples(journal)
    units = np.arange(len(cost))
    return {
        choice: Outcome(choice, int(cost[units, list(choice)].sum()), kept[",".join(map(str, choice))])
        for choice in every
    }


def _samples(journal: Path) -> dict[str, Rows]:
    """What a journal of configurations holds, by choice."""
    kept = {}
    with journal.open(encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            record = json.loads(line)
            values = np.frombuffer(base64.b64decode(record["values"]), "<f8")
            kept[record["key"]] = values.reshape(record["shape"])
    return kept
