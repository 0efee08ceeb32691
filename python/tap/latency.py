"""Latency of each unit in each format, in milliseconds: read from a file, written, or measured here."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tap.errors import TableError
from tap.files import write_text

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class LatencyTable:
    """Milliseconds of one call of each unit in each format.

    >>> table = LatencyTable(("fc",), ("int4", "int8"), np.array([[0.5, 0.75]]))
    >>> table.pick(["fc"], ["int8"]).tolist()
    [[0.75]]
    """

    units: tuple[str, ...]
    formats: tuple[str, ...]
    milliseconds: NDArray[np.float64]
    """[L, F], finite, at least 0."""

    def __post_init__(self) -> None:
        """Check shape and values."""
        shape = (len(self.units), len(self.formats))
        if self.milliseconds.shape != shape:
            raise TableError(f"latencies have shape {self.milliseconds.shape}, not {shape}")
        bad = ~np.isfinite(self.milliseconds) | (self.milliseconds < 0)
        if bad.any():
            unit, column = np.argwhere(bad)[0]
            raise TableError(
                f"the latency of '{self.units[unit]}' in {self.formats[column]} is "
                f"{self.milliseconds[unit, column]}, not a number of at least 0"
            )

    def pick(self, units: Sequence[str], formats: Sequence[str]) -> NDArray[np.float64]:
        """The table [L, F] of the given units and formats; a missing one is a `TableError`."""
        rows, columns = {n: i for i, n in enumerate(self.units)}, {n: i for i, n in enumerate(self.formats)}
        for what, known, wanted in (("unit", rows, units), ("format", columns, formats)):
            missing = [name for name in wanted if name not in known]
            if missing:
                raise TableError(f"the latency table has no {what} {', '.join(map(repr, missing[:5]))}")
        return self.milliseconds[np.ix_([rows[n] for n in units], [columns[n] for n in formats])]

    def save(self, path: str | Path) -> None:
        """Write CSV (columns unit, format, ms) or JSON ({unit: {format: ms}}), by the suffix."""
        if Path(path).suffix == ".json":
            rows = {
                unit: dict(zip(self.formats, map(float, row), strict=True))
                for unit, row in zip(self.units, self.milliseconds, strict=True)
            }
            write_text(path, json.dumps(rows, indent=1) + "\n")
            return
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["unit", "format", "ms"])
        for unit, row in zip(self.units, self.milliseconds, strict=True):
            writer.writerows(
                [unit, name, repr(float(ms))] for name, ms in zip(self.formats, row, strict=True)
            )
        write_text(path, text.getvalue())

    @staticmethod
    def load(path: str | Path) -> LatencyTable:
        """Read what `save` writes; every unit must have every format, once."""
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
            entries = _from_json(text) if path.suffix == ".json" else _from_csv(text)
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise TableError(
                f"{path} is not a latency table: {error}",
                hint="CSV with columns unit, format, ms; or JSON {unit: {format: ms}}",
            ) from error
        units = tuple(dict.fromkeys(unit for unit, _, _ in entries))
        formats = tuple(dict.fromkeys(name for _, name, _ in entries))
        cells = {(unit, name): ms for unit, name, ms in entries}
        if len(cells) != len(entries) or len(cells) != len(units) * len(formats) or not cells:
            raise TableError(f"{path} does not have every unit in every format exactly once")
        values = np.array([[cells[unit, name] for name in formats] for unit in units], np.float64)
        return LatencyTable(units, formats, values)


def measure(
    layers: Sequence[tuple[str, nn.Module, Tensor]],
    formats: Sequence[str],
    *,
    prepare: Callable[[nn.Module, str], nn.Module] | None = None,
    repeats: int = 30,
    warmup: int = 5,
    device: str = "cpu",
) -> LatencyTable:
    """Time each layer on its own input, in each format, on this machine: the median of `repeats` calls.

    `prepare(layer, format)` returns the layer as the deployment runs it in that format (a packed kernel of
    the serving stack, for instance). Without it a layer is timed as it is, the same for all formats.

    Args:
        layers: (unit name, layer, one input) for each unit.
        formats: names of the formats.

    >>> import torch
    >>> table = measure([("fc", torch.nn.Linear(8, 8), torch.ones(1, 8))], ["int8"], repeats=3)
    >>> bool(table.milliseconds[0, 0] > 0)
    True
    """
    values = np.empty((len(layers), len(formats)))
    for row, (_, layer, example) in enumerate(layers):
        for column, name in enumerate(formats):
            ready = layer if prepare is None else prepare(layer, name)
            values[row, column] = _median_ms(ready, example, device, repeats, warmup)
    return LatencyTable(tuple(name for name, _, _ in layers), tuple(formats), values)


def _median_ms(layer: nn.Module, example: Tensor, device: str, repeats: int, warmup: int) -> float:
    import torch

    layer, example = layer.to(device), example.to(device)
    on_gpu = torch.device(device).type == "cuda"

    def wait() -> None:
        if on_gpu:
            torch.cuda.synchronize()

    times = []
    with torch.inference_mode():
        for round_ in range(warmup + repeats):
            wait()
            started = time.perf_counter()
            layer(example)
            wait()
            if round_ >= warmup:
                times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1e3


def _from_csv(text: str) -> list[tuple[str, str, float]]:
    reader = csv.DictReader(io.StringIO(text))
    return [(row["unit"], row["format"], float(row["ms"])) for row in reader]


def _from_json(text: str) -> list[tuple[str, str, float]]:
    rows = json.loads(text)
    return [(unit, name, float(ms)) for unit, row in rows.items() for name, ms in row.items()]
