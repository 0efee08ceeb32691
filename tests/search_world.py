"""A small made-up network for tests of the search: statistics, and truths that a known formula explains."""

from __future__ import annotations

import numpy as np

from tap.search.nets import Net
from tap.stats.table import LayerTable, Sample
from tap.stats.units import Unit

FORMATS = ("int2", "int3", "int4")
BITS = np.array([2.0, 3.0, 4.0])


class Configurations:
    """Whole configurations in two strata, judged by the sum of the true sensitivities plus noise."""

    def __init__(self, table: LayerTable, truth: np.ndarray, seed: int, count: int = 80) -> None:
        random = np.random.default_rng(seed)
        self.units, self.formats = tuple(unit.name for unit in table.units), table.formats
        self.choice = random.integers(0, len(FORMATS), (count, len(self.units)))
        loss = truth[np.arange(len(self.units)), self.choice].sum(axis=1)
        self.loss = loss * np.exp(random.normal(0, 0.05, count))
        self.accuracy = 0.9 * np.exp(-self.loss / self.loss.mean())
        self.stratum = np.arange(count) % 2
        self.ceiling, self.fingerprint = 0.97, table.fingerprint


class Sensitivity:
    """One number a unit and format."""

    def __init__(self, table: LayerTable, truth: np.ndarray) -> None:
        self.units, self.formats = tuple(unit.name for unit in table.units), table.formats
        self.values, self.ceiling, self.fingerprint = truth, 0.99, table.fingerprint


def table(seed: int, n_units: int = 10) -> LayerTable:
    """Random weights with quantization errors that halve with every bit, and gradients of unlike sizes."""
    random = np.random.default_rng(seed)
    units, samples, rows = [], {"w": [], "dw": [], "g2": []}, []
    for index in range(n_units):
        out, inp = int(random.integers(4, 9)), int(random.integers(3, 9))
        units.append(Unit(f"layer{index}", "conv2d", out, inp, 9, out * inp * 900, kernel=3))
        scale, slope = np.exp(random.normal(0, 1, 2))
        weight = random.normal(0, scale, (out, inp, 9))
        error = np.stack([random.uniform(-1, 1, weight.shape) * scale * 2.0 ** (1 - bits) for bits in BITS])
        samples["w"].append(weight.astype(np.float32))
        samples["dw"].append(error.astype(np.float32))
        samples["g2"].append((slope * random.exponential(1, weight.shape)).astype(np.float32))
        rows.append((np.square(error).sum(axis=(1, 2, 3)), random.exponential(50.0) * slope))
    columns = {
        "bits": np.tile(BITS, (n_units, 1)),
        "dw2": np.array([row[0] for row in rows]),
        "trace": np.array([row[1] for row in rows]),
    }
    axes = {"w": ("out", "in", "pos"), "g2": ("out", "in", "pos"), "dw": ("format", "out", "in", "pos")}
    return LayerTable(
        tuple(units),
        FORMATS,
        columns,
        {name: Sample(axes[name], tuple(values)) for name, values in samples.items()},
        np.array([(unit.out, unit.inp, unit.pos) for unit in units]),
        f"model-{seed}",
    )


def truth(world: LayerTable) -> np.ndarray:
    """sqrt(numel) times the Fisher-weighted squared error: not one of the usual formulas."""
    values = []
    for unit, fisher, error in zip(
        world.units, world.samples["g2"].values, world.samples["dw"].values, strict=True
    ):
        noise = (fisher.astype(float) * np.square(error.astype(float))).sum(axis=(1, 2, 3))
        values.append(np.sqrt(unit.numel) * noise)
    return np.array(values)


def net(seed: int, name: str = "", *, whole: bool = True) -> Net:
    """A network judged by configurations, or by units one at a time."""
    made = table(seed)
    values = truth(made)
    target = Configurations(made, values, seed) if whole else Sensitivity(made, values)
    return Net(name or f"net{seed}", made, target)
