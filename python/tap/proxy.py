"""One proxy: a program of the proxy language, checked when it is made, that scores the units of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tap import _core
from tap.errors import ProxyError, TableError
from tap.limits import checked
from tap.stats.table import LayerTable
from tap.stats.units import Unit


class Proxy:
    """A formula that predicts how much each unit suffers in each format.

    `limits` overrides the bounds of the language: source_bytes, tokens, nesting, operators, live_bytes, work.
    `columns` names inputs of your own with their axes; a `LayerTable` stands for all that it holds.
    A program that cannot run raises `ProxyError` here; its `report` shows the place and how to repair it.

    >>> proxy = Proxy("score = trace / numel * sum(square(dw))")
    >>> proxy.inputs, proxy.axes, proxy.ops
    (('trace', 'numel', 'dw'), ('format',), 4)
    """

    def __init__(
        self,
        source: str,
        *,
        limits: Mapping[str, int] | None = None,
        columns: Mapping[str, Sequence[str]] | LayerTable | None = None,
    ) -> None:
        self.source = source
        if isinstance(columns, LayerTable):
            columns = _axes_of(columns)
        known = {name for name, _, _ in _core.inputs()}
        extra = [(name, list(axes)) for name, axes in (columns or {}).items() if name not in known]
        self._program = _core.compile(readable(source), extra, checked(limits))

    def score(self, table: LayerTable) -> NDArray[np.float64]:
        """Scores [L, F]: the loss that each unit is predicted to add in each format.

        A program whose score has no format gives the sensitivity of each unit; here, and only here, it is
        multiplied by the unit's squared quantization error `dw2` in each format.
        """
        scores = self._program.score(core_table(table))
        if "format" in self.axes:
            return scores
        if "dw2" not in table.columns:
            raise TableError(
                "the score has no format, and the table lacks the column 'dw2' to multiply it by",
                hint="collect the table with formats, or write a score that depends on the format",
            )
        with np.errstate(over="ignore", invalid="ignore"):
            scores = scores * np.asarray(table.columns["dw2"], np.float64).reshape(scores.shape[0], -1)
        if not np.isfinite(scores).all():
            unit = table.units[int(np.argwhere(~np.isfinite(scores))[0, 0])].name
            raise ProxyError(
                f"the score of unit '{unit}' times its squared error `dw2` is not finite",
                hint="keep the values in range, for example by log1p or tanh",
                kind="non-finite",
            )
        return scores

    @property
    def hash(self) -> str:
        """Identity of the formula, 32 hex digits: names, order of operands and folded constants aside."""
        return self._program.hash

    @property
    def axes(self) -> tuple[str, ...]:
        """`("format",)` for a score of each format, `()` for a sensitivity of each unit."""
        return tuple(self._program.axes)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs that the score depends on."""
        return tuple(self._program.inputs)

    @property
    def ops(self) -> int:
        """Number of operators, equal subexpressions counted once."""
        return self._program.ops

    @property
    def notes(self) -> tuple[str, ...]:
        """What was put right in the source, one line each."""
        return tuple(message for _, _, message in self._program.notes)

    def describe(self) -> str:
        """What the program reads and computes, one instruction a line."""
        axes = ", ".join(self.axes) or "none: a sensitivity, times dw2 of each format"
        head = [f"hash {self.hash}", f"inputs {', '.join(self.inputs) or 'none'}", f"axes {axes}"]
        return "\n".join([*head, *(f"note {note}" for note in self.notes), self._program.listing()])

    def __repr__(self) -> str:
        return f"Proxy({self.source!r})"


def readable(source: str) -> str:
    """The source as the core can read it: half a surrogate pair, as JSON may hold, becomes U+FFFD.

    >>> readable("score = \\ud800")
    'score = \ufffd'
    """
    try:
        source.encode("utf-8")
    except UnicodeEncodeError:
        return source.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return source


def core_table(table: LayerTable) -> _core.Table:
    """The table as the core reads it, made once for each table and kept with it."""
    kept = vars(table).get("_core_table")
    if kept is not None:
        assert isinstance(kept, _core.Table)
        return kept
    n_units = len(table.units)
    whole = np.array([(unit.out, unit.inp, unit.pos) for unit in table.units], np.int64)
    sampled = table.blocks if table.samples else np.ones((n_units, 3), np.int64)
    columns = {**_shape_columns(table.units), **table.columns}
    samples = [
        (name, list(sample.axes), _flat(sample.values)) for name, sample in sorted(table.samples.items())
    ]
    try:
        made = _core.Table(
            [unit.name for unit in table.units],
            len(table.formats),
            whole,
            np.ascontiguousarray(sampled, np.int64),
            [(name, np.asarray(column, np.float64)) for name, column in sorted(columns.items())],
            samples,
        )
    except ValueError as error:
        raise TableError(f"the table does not fit the proxy language: {error}") from error
    vars(table)["_core_table"] = made
    return made


def _flat(values: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate([np.asarray(value, np.float32).ravel() for value in values])


def _axes_of(table: LayerTable) -> dict[str, Sequence[str]]:
    """The axes of everything that a table holds."""
    columns = {name: ("format",) if column.ndim == 2 else () for name, column in table.columns.items()}
    return {**columns, **{name: sample.axes for name, sample in table.samples.items()}}


_FROM_UNITS: dict[str, Callable[[Unit], float]] = {
    "numel": lambda unit: unit.numel,
    "macs": lambda unit: unit.macs,
    "out_channels": lambda unit: unit.out,
    "in_channels": lambda unit: unit.inp,
    "kernel": lambda unit: unit.kernel,
    "stride": lambda unit: unit.stride,
    "groups": lambda unit: unit.groups,
    "is_conv": lambda unit: unit.kind.startswith("conv"),
    "is_linear": lambda unit: unit.kind == "linear",
    "is_depthwise": lambda unit: unit.is_depthwise,
}


def _shape_columns(units: Sequence[Unit]) -> dict[str, NDArray[np.float64]]:
    """The inputs that follow from the units alone."""
    index = np.arange(len(units), dtype=np.float64)
    last = len(units) - 1
    columns = {
        name: np.array([read(unit) for unit in units], np.float64) for name, read in _FROM_UNITS.items()
    }
    columns["index"] = index
    columns["depth"] = index / max(last, 1)
    columns["n_layers"] = np.full(len(units), float(len(units)))
    columns["is_first"] = (index == 0).astype(np.float64)
    columns["is_last"] = (index == last).astype(np.float64)
    return columns


GRAMMARS = ("gbnf", "lark", "json-schema")
"""Notations of `grammar`: of llama.cpp, of the Lark parser and llguidance, and of structured outputs."""


TYPED_DEPTH = 4
"""Nesting of the programs of `typed_grammar` by default: up to some 250 characters."""


def grammar(notation: str) -> str:
    """The grammar of the proxy language, from the same operator table as parser and checker.

    What it derives parses; names and axes are checked afterwards.

    >>> grammar("gbnf").startswith("root")
    True
    """
    return _core.grammar(notation)


def typed_grammar(inputs: Sequence[str], *, depth: int = TYPED_DEPTH) -> str:
    """A grammar in GBNF of programs that all compile: one expression of `inputs`, operators `depth` deep.

    Raises:
        ValueError: an unknown input, or none that a score can be made of.

    >>> '"dw2"' in typed_grammar(["dw2", "trace", "w"])
    True
    """
    return _core.typed_grammar(list(inputs), depth)
