"""The table and the two truths of a case: given, kept from before, or measured now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap import costs
from tap.bench.case import Case
from tap.configurations import Configurations, measure_configs
from tap.errors import TableError
from tap.pipeline import load_target
from tap.sensitivity import Sensitivity, measure
from tap.stats.table import LayerTable

if TYPE_CHECKING:
    from tap.bench.run import Settings
    from tap.stats.batches import Batches

Truth = Sensitivity | Configurations


@dataclass(frozen=True)
class Given:
    """Files measured before; each is used for the case whose model it is of."""

    tables: tuple[LayerTable, ...] = ()
    targets: tuple[Truth, ...] = ()

    @staticmethod
    def load(tables: Sequence[Path], targets: Sequence[Path]) -> Given:
        """Read what `tap collect` and `tap measure` wrote."""
        return Given(tuple(map(LayerTable.load, tables)), tuple(map(load_target, targets)))


@dataclass(frozen=True)
class Truths:
    """What contestants read and are judged by."""

    table: LayerTable
    configurations: Configurations | None
    sensitivity: Sensitivity | None

    def items(self) -> Iterator[tuple[str, Truth]]:
        """The truths at hand, by name."""
        if self.configurations is not None:
            yield "configurations", self.configurations
        if self.sensitivity is not None:
            yield "sensitivity", self.sensitivity


def gather(case: Case, model: Any, calibration: Batches, folder: Path, given: Given, how: Settings) -> Truths:
    """The table and truths of a case.

    With a given table, its formats are those of the benchmark, and a truth that is not given is left out
    when the other is. Everything measured is in `folder` at once, and resumed from there.

    Raises:
        TableError: a given target without its table, or files in `folder` that are of another model.
    """
    from tap.stats.batches import Batches
    from tap.stats.sources import load_batches

    table = _table(case, model, calibration, folder, given, how)
    mine = [target for target in given.targets if target.fingerprint == table.fingerprint]
    configurations = next((one for one in mine if isinstance(one, Configurations)), None)
    sensitivity = next((one for one in mine if isinstance(one, Sensitivity)), None)
    if mine or not how.truth:
        return Truths(table, configurations, sensitivity)
    judged = Batches(load_batches(case.judged))
    place = folder / "sensitivity.safetensors"
    if place.is_file():
        sensitivity = Sensitivity.load(place)
    else:
        journal = folder / "sensitivity.journal"
        sensitivity = measure(
            model, judged, formats=table.formats, seed=how.seed, resume=journal, progress=how.progress
        )
        sensitivity.save(place)
    place = folder / "configurations.safetensors"
    if place.is_file():
        configurations = Configurations.load(place)
    elif how.configurations and (sizes := _between(case.budgets, table)):
        configurations = measure_configs(
            model,
            judged,
            budgets=sizes,
            n=how.configurations,
            formats=table.formats,
            calibration=calibration,
            seed=how.seed,
            resume=folder / "configurations.journal",
            progress=how.progress,
        )
        configurations.save(place)
    for truth in (configurations, sensitivity):
        if truth is not None and truth.fingerprint != table.fingerprint:
            raise TableError(f"{folder} holds the truth of another model", hint="choose another folder")
    return Truths(table, configurations, sensitivity)


def _table(
    case: Case, model: Any, calibration: Batches, folder: Path, given: Given, how: Settings
) -> LayerTable:
    from tap.stats.collect import collect
    from tap.stats.layers import discover, fingerprint

    identity = fingerprint(model, discover(model, calibration))
    for table in given.tables:
        if table.fingerprint == identity:
            return table
    place = folder / "table.safetensors"
    if place.is_file():
        table = LayerTable.load(place)
        if table.fingerprint != identity or table.formats != case.formats:
            raise TableError(
                f"{place} is of another model or other formats", hint="delete it, or choose another folder"
            )
        return table
    table = collect(
        model,
        calibration,
        formats=case.formats,
        samples=case.samples,
        seed=how.seed,
        progress=how.progress,
    )
    table.save(place)
    return table


def _between(budgets: Sequence[str], table: LayerTable) -> list[str]:
    """Those budgets of bytes that leave a choice."""
    cost = costs.bytes(table.units, table.formats)
    low, high = int(cost.min(axis=1).sum()), int(cost.max(axis=1).sum())
    parsed = {name: costs.Budget.parse(name) for name in budgets}
    sizes = {name: budget.limit(table.units) for name, budget in parsed.items() if budget.cost == "bytes"}
    return [name for name, limit in sizes.items() if low < limit < high]
