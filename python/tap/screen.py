"""Screening: many programs run on tables and judged by the truth, in one call or as a stream."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tap import _core
from tap.agreement import truth_of
from tap.errors import ProxyError, TableError
from tap.proxy import Proxy, core_table
from tap.stats.table import LayerTable

Floats = NDArray[np.float64]
_KINDS = np.array(["", *_core.error_kinds()], dtype=object)


@dataclass(frozen=True)
class Screening:
    """What screening found: N programs, T tables with their truths.

    >>> found = screen(["score = dw2", "x = dw2 + 1", "score = lgo(dw2)"], *_example())
    >>> len(found), found.kind.tolist()
    (3, ['', 'no-score', 'unknown-operator'])
    """

    kind: NDArray[np.object_]
    """[N]: why a program has no scores, as a stable code; empty when it has."""
    spearman: Floats
    """[N]: mean over tables; NaN without scores, and where scores are all equal."""
    kendall: Floats
    """[N]: the same of Kendall's tau-b."""
    regret: Floats
    """[N]: the same of the regret; NaN when no budgets were given."""
    ops: NDArray[np.uint32]
    """[N]: operators, equal subexpressions counted once."""
    signature: NDArray[np.uint64]
    """[N]: equal for programs that rank everything alike (behavioural twins); 0 without scores."""
    key: NDArray[np.uint64]
    """[N, 2]: the canonical identity as two words; `hash` shows it as text."""
    spearman_by_table: Floats
    """[T, N]."""
    kendall_by_table: Floats
    """[T, N]."""
    regret_by_table: Floats
    """[T, N]."""
    sources: Sequence[str] = field(repr=False)
    tables: Sequence[LayerTable] = field(repr=False)
    limits: Mapping[str, int] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        """Number of programs."""
        return len(self.kind)

    @cached_property
    def ok(self) -> NDArray[np.bool_]:
        """[N]: whether the program has finite scores on every table."""
        return np.asarray(self.kind == "", np.bool_)

    @cached_property
    def hash(self) -> NDArray[np.str_]:
        """[N]: the canonical identity, 32 hex digits as `Proxy.hash`; zeros where it does not compile."""
        digits = [f"{high:016x}{low:016x}" for high, low in self.key.tolist()]
        return np.array(digits, dtype="<U32")

    @cached_property
    def error(self) -> NDArray[np.object_]:
        """[N]: what is wrong with each program, empty when nothing is; found again for those that failed."""
        texts = np.full(len(self), "", dtype=object)
        for place in np.flatnonzero(~self.ok):
            texts[place] = explain(self.sources[int(place)], self.tables, limits=self.limits)
        return texts


def screen(
    sources: str | Sequence[str],
    tables: LayerTable | Sequence[LayerTable],
    targets: Any,
    *,
    threads: int | None = None,
    limits: Mapping[str, int] | None = None,
) -> Screening:
    """Run programs on tables and compare their scores with the truth.

    `targets` holds a `Sensitivity` or `Configurations` for each of `tables`. Scores are those of
    `Proxy.score`. With a sensitivity, agreement is over all units and formats at once; with configurations
    a program predicts the loss of each as the sum of its units' scores, and agreement is within each
    stratum, averaged. Over several tables the mean is taken. `threads` is all cores by default; `limits` as
    for `Proxy`. Results do not depend on `threads`.

    Raises:
        TableError: a target that does not belong to its table.

    >>> found = screen(["dw2", "numel * bits", "log(0 * bits)"], *_example())
    >>> found.ok.tolist(), found.spearman[:2].tolist(), str(found.kind[2])
    ([True, True, False], [1.0, -0.5], 'non-finite')
    """
    programs = [sources] if isinstance(sources, str) else sources
    all_tables = [tables] if isinstance(tables, LayerTable) else list(tables)
    all_targets = list(targets) if isinstance(targets, (list, tuple)) else [targets]
    if not all_tables or len(all_tables) != len(all_targets):
        raise TableError(
            f"{len(all_tables)} tables and {len(all_targets)} targets", hint="give one target for each table"
        )
    pairs = [
        (core_table(table), truth_of(target, table))
        for table, target in zip(all_tables, all_targets, strict=True)
    ]
    found = _core.screen_programs(
        programs, pairs, threads or os.cpu_count() or 1, None if limits is None else dict(limits)
    )
    return Screening(
        kind=_KINDS[found["kind"]],
        spearman=found["spearman"].mean(axis=0),
        kendall=found["kendall"].mean(axis=0),
        regret=found["regret"].mean(axis=0),
        ops=found["ops"],
        signature=found["signature"],
        key=found["key"],
        spearman_by_table=found["spearman"],
        kendall_by_table=found["kendall"],
        regret_by_table=found["regret"],
        sources=programs,
        tables=all_tables,
        limits=limits,
    )


def explain(source: str, tables: Sequence[LayerTable], *, limits: Mapping[str, int] | None = None) -> str:
    """Why a program has no scores on the tables, as one line; empty when it has.

    >>> explain("score = lgo(w)", [])
    ''
    """
    try:
        for table in tables:
            Proxy(source, limits=limits, columns=table).score(table)
    except (ProxyError, TableError) as error:
        return error.message
    return ""


def _example() -> tuple[LayerTable, Any]:
    """A table of three units and its truth, for the examples of this page."""
    from types import SimpleNamespace

    from tap.stats.units import Unit

    units = tuple(
        Unit(name, "linear", size, 4, 1, 4 * size) for name, size in zip("abc", (2, 4, 8), strict=True)
    )
    columns = {"bits": np.full((3, 1), 2.0), "dw2": np.array([[0.5], [0.9], [0.1]])}
    truth = SimpleNamespace(
        units="abc", formats=("int2",), values=np.array([[0.2], [0.4], [0.1]]), fingerprint=""
    )
    return LayerTable(units, ("int2",), columns), truth
