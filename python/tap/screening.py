"""What screening found: one entry a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tap.errors import ProxyError, TableError
from tap.proxy import Proxy
from tap.stats.table import LayerTable

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Screening:
    """What screening found: N programs, T tables with their truths.

    >>> one, table = np.ones(1), np.ones((1, 1))
    >>> found = Screening(one, one, one, one, one, one, np.ones((1, 2), int), table, table, table, ["w"], [])
    >>> len(found), str(found.hash[0])
    (1, '00000000000000010000000000000001')
    """

    kind: NDArray[np.object_]
    """[N]: why a program has no scores, as a stable code; empty when it has."""
    spearman: Floats
    """[N]: mean over tables; NaN without scores, and where scores are all equal."""
    kendall: Floats
    """[N]: the same of Kendall's tau-b."""
    regret: Floats
    """[N]: the same of the regret; NaN for a sensitivity without budgets."""
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
