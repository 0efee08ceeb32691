"""What a benchmark found, as plain data: one JSON file holds all of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tap.errors import TapError
from tap.files import write_text

VERSION = 1


@dataclass(frozen=True)
class Agreeing:
    """Agreement of one contestant with one truth."""

    value: float
    """Spearman: the mean over strata, or pooled over units and formats."""
    low: float
    """95 % interval of `value` by the bootstrap."""
    high: float
    relative: float
    """Mean over groups, over the noise ceiling."""
    by_group: Mapping[str, float]
    regret: float
    """For configurations: what picking the one ranked first gives away, 0 best, 1 no better than chance."""
    difference: float
    """`value` less that of the best named proxy."""
    p: float
    """Two-sided, of `difference`, by the paired bootstrap."""


@dataclass(frozen=True)
class Planned:
    """One plan, really quantized and measured. Accuracies are NaN without labels."""

    budget: str
    bytes: int
    bits: float
    """Stored bits a weight."""
    choice: tuple[int, ...]
    loss: float
    """KL to full precision, with lifts."""
    loss_error: float
    accuracy: float
    """Top-1, with lifts."""
    plain_loss: float
    """Without lifts."""
    plain_accuracy: float


@dataclass(frozen=True)
class Row:
    """One contestant."""

    name: str
    kind: str
    configurations: Agreeing | None = None
    sensitivity: Agreeing | None = None
    plans: tuple[Planned | None, ...] = ()
    """One a budget."""
    gain: float = math.nan
    """Mean loss over the budgets less that of the best named proxy, in nats; below 0 is better."""
    gain_p: float = math.nan
    """Two-sided, of `gain`, over paired samples."""
    error: str = ""


@dataclass(frozen=True)
class Chance:
    """Random configurations of one budget."""

    budget: str
    n: int
    loss: tuple[float, float, float]
    """Least, median, largest."""
    accuracy: tuple[float, float, float]
    """Largest, median, least."""


@dataclass(frozen=True)
class Net:
    """One case: its contestants and what they were compared on."""

    name: str
    formats: tuple[str, ...]
    budgets: tuple[str, ...]
    full: float
    """Top-1 in full precision."""
    rows: tuple[Row, ...]
    chance: tuple[Chance, ...]
    ceilings: Mapping[str, float]
    """Noise ceiling of each truth."""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def row(self, name: str) -> Row:
        """The contestant called `name`; a `KeyError` when there is none."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)


@dataclass(frozen=True)
class Result:
    """All cases of a benchmark.

    >>> Result((), "0.1.0").text()
    '{"nets": [], "tap": "0.1.0", "version": 1}'
    """

    nets: tuple[Net, ...]
    tap: str

    def text(self) -> str:
        """The JSON text; what is not finite is null."""
        nets = _plain([asdict(net) for net in self.nets])
        return json.dumps({"nets": nets, "tap": self.tap, "version": VERSION}, sort_keys=True)

    def save(self, path: str | Path) -> None:
        """Write the JSON text, whole or not at all."""
        write_text(path, self.text() + "\n")

    @staticmethod
    def load(path: str | Path) -> Result:
        """Read what `save` wrote; anything else is a `TapError`."""
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
            if found["version"] != VERSION:
                raise TapError(f"{path} has version {found['version']}", hint="run tap bench again")
            return Result(tuple(map(_net, found["nets"])), found["tap"])
        except (ValueError, KeyError, TypeError) as error:
            raise TapError(f"{path} is not a result of tap bench: {error}") from error


def _net(found: dict[str, Any]) -> Net:
    rows = tuple(_row(row) for row in found.pop("rows"))
    chance = tuple(Chance(**{k: _number(v) for k, v in one.items()}) for one in found.pop("chance"))
    lists: dict[str, Any] = {name: tuple(found.pop(name)) for name in ("formats", "budgets")}
    full = _number(found.pop("full"))
    return Net(rows=rows, chance=chance, full=full, **lists, **found)


def _row(found: dict[str, Any]) -> Row:
    plans = tuple(None if plan is None else _planned(plan) for plan in found.pop("plans"))
    truths = {name: found.pop(name) for name in ("configurations", "sensitivity")}
    agreeing: dict[str, Any] = {
        name: None if one is None else Agreeing(**{k: _number(v) for k, v in one.items()})
        for name, one in truths.items()
    }
    gains: dict[str, Any] = {name: _number(found.pop(name)) for name in ("gain", "gain_p")}
    return Row(plans=plans, **agreeing, **gains, **found)


def _planned(found: dict[str, Any]) -> Planned:
    choice = tuple(found.pop("choice"))
    return Planned(choice=choice, **{name: _number(value) for name, value in found.items()})


def _number(value: Any) -> Any:
    """NaN for null, tuples for lists."""
    if value is None:
        return math.nan
    return tuple(map(_number, value)) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
