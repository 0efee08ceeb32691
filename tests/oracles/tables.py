"""Random layer tables: few units, odd shapes, and numbers that provoke ties, cancellation and overflow."""

from __future__ import annotations

import numpy as np

from oracles.dsl_random import INPUTS
from tap.stats.table import LayerTable, Sample
from tap.stats.units import Unit

MOODS = ("normal", "positive", "integers", "zeros", "constant", "tiny", "huge", "wide", "signed zeros")


def random_table(rng: np.random.Generator, *, exact: bool = False, whole: bool = False) -> LayerTable:
    """All inputs of the language for 1 to 6 units and 1 to 4 formats.

    `exact` keeps to small integers, `whole` samples everything, so that sums need no scale.
    """
    n_units, n_formats = int(rng.choice([1, 2, 3, 4, 6])), int(rng.integers(1, 5))
    blocks = rng.integers(1, 4, (n_units, 3))
    sizes = blocks if whole else blocks * rng.integers(1, 3, (n_units, 3)) + rng.integers(0, 2, (n_units, 3))
    units = tuple(_unit(rng, index, *map(int, size)) for index, size in enumerate(sizes))
    columns, samples = {}, {}
    for axes, names in INPUTS.items():
        for name in names:
            mood = "integers" if exact else str(rng.choice(MOODS))
            if not axes or axes == {"format"}:
                shape = (n_units, n_formats) if axes else (n_units,)
                columns[name] = values(rng, shape, mood)
            else:
                order = tuple(axis for axis in ("format", "out", "in", "pos") if axis in axes)
                samples[name] = Sample(order, _sample(rng, order, n_formats, blocks, mood))
    columns |= shape_columns(units)
    formats = tuple(f"int{bits}" for bits in range(2, 2 + n_formats))
    return LayerTable(units, formats, columns, samples, blocks.astype(np.int64), "f" * 32)


def values(rng: np.random.Generator, shape: tuple[int, ...], mood: str) -> np.ndarray:
    """An array of one mood."""
    normal = rng.standard_normal(shape)
    match mood:
        case "positive":
            return np.abs(normal)
        case "integers":
            return rng.integers(-3, 4, shape).astype(np.float64)
        case "zeros":
            return np.where(rng.random(shape) < 0.5, 0.0, normal)
        case "constant":
            return np.full(shape, rng.choice([0.0, 1.0, 0.1, -3.0]))
        case "tiny":
            return normal * 1e-30
        case "huge":
            return normal * 1e30
        case "wide":
            return normal * 10.0 ** rng.integers(-12, 12, shape)
        case "signed zeros":
            return rng.choice([0.0, -0.0, 1.0], shape)
    return normal


def shape_columns(units: tuple[Unit, ...]) -> dict[str, np.ndarray]:
    """The columns that say what a unit is and where."""
    last = len(units) - 1
    rows = [
        {
            "numel": unit.numel,
            "macs": unit.macs,
            "depth": index / last if last else 0.0,
            "index": index,
            "n_layers": len(units),
            "out_channels": unit.out,
            "in_channels": unit.inp,
            "kernel": unit.kernel,
            "stride": unit.stride,
            "groups": unit.groups,
            "is_conv": unit.kind.startswith("conv"),
            "is_linear": unit.kind == "linear",
            "is_depthwise": unit.is_depthwise,
            "is_first": index == 0,
            "is_last": index == last,
        }
        for index, unit in enumerate(units)
    ]
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def _unit(rng: np.random.Generator, index: int, out: int, inp: int, pos: int) -> Unit:
    kind = str(rng.choice(["conv2d", "linear"]))
    return Unit(
        f"u{index}", kind, out, inp, pos, macs=int(rng.integers(1, 1000)), stride=int(rng.integers(1, 3))
    )


def _sample(
    rng: np.random.Generator, order: tuple[str, ...], n_formats: int, blocks: np.ndarray, mood: str
) -> tuple[np.ndarray, ...]:
    arrays = []
    for out, inp, pos in blocks:
        sizes = {"format": n_formats, "out": int(out), "in": int(inp), "pos": int(pos)}
        arrays.append(values(rng, tuple(sizes[axis] for axis in order), mood).astype(np.float32))
    return tuple(arrays)
