"""The proxy language by Python's own parser and numpy: one unit after the other, no cleverness.

A value is, for each unit, an array with the four axes format, out, in, pos; an axis that the value does not
have has length one. `evaluate` may disturb every rounded result by a random relative error, so that a test
can see how well a program is conditioned before it compares two evaluations of it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from oracles.dsl_kernels import ELEMENTWISE, NETWORK, REDUCTIONS, compare, power
from tap.stats.table import LayerTable

AXES = ("format", "out", "in", "pos")
AXIS_WORDS = {"out": "out", "in_": "in", "pos": "pos", "format": "format"}
CONSTANTS = {"pi": np.pi, "e": np.e, "eps": 1e-12}
BINARY = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
COMPARISONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
EXACT = {"neg", "abs", "sign", "where", "relu", "min", "max", "clip", "count", "rank", "prev", "next"} | set(
    COMPARISONS.values()
)
SIGNLESS = {"min", "max", "clip", "relu", "sign"} | set(REDUCTIONS) | set(NETWORK) - {"prev", "next"}
"""Operators that may return either zero."""

Disturbance = Callable[[np.ndarray, bool, bool], np.ndarray]
"""Takes a result, whether it was rounded, and whether the sign of its zeros is open; returns it disturbed."""


class Rejected(Exception):
    """The program is not part of the language or not well typed."""


@dataclass
class Value:
    """One array of four axes a unit."""

    axes: frozenset[str]
    data: list[np.ndarray]


@dataclass
class Outcome:
    """Scores [L, F] of a program, the score's axes, and where finite turned into non-finite."""

    scores: np.ndarray
    axes: frozenset[str]
    culprits: list[tuple[str, int]]
    largest: float
    """The largest finite magnitude seen anywhere."""
    doubtful: bool
    """Whether something was divided by the spread of numbers that are equal but for rounding."""


@dataclass
class Machine:
    """What one evaluation knows: the table, the names bound so far, the disturbance."""

    table: LayerTable
    disturb: Disturbance | None = None
    names: dict[str, Value] = field(default_factory=dict)
    culprits: list[tuple[str, int]] = field(default_factory=list)
    largest: float = 0.0
    doubtful: bool = False

    @property
    def n_units(self) -> int:
        return len(self.table.units)

    def scale(self, unit: int, axis: str) -> float:
        """Whole size over sampled size."""
        if axis == "format":
            return 1.0
        whole = self.table.units[unit]
        place = {"out": 0, "in": 1, "pos": 2}[axis]
        return (whole.out, whole.inp, whole.pos)[place] / float(self.table.blocks[unit][place])

    def look(self, op: str, rows: list[np.ndarray]) -> None:
        """Note whether an operator that divides by a spread meets a row of nearly equal numbers."""
        for row in rows if op in {"kurtosis", "zscore", "minmax"} else []:
            finite = row[np.isfinite(row)]
            if len(row) > 1 and finite.size and np.ptp(finite) <= 1e-11 * np.abs(finite).max():
                self.doubtful = True

    def finish(self, op: str, axes: frozenset[str], data: list[np.ndarray], inputs: list[Value]) -> Value:
        """Note what the operator did and disturb its result."""
        for unit, array in enumerate(data):
            finite = array[np.isfinite(array)]
            if finite.size:
                self.largest = max(self.largest, float(np.abs(finite).max()))
            network = op in NETWORK
            read = [v.data[u] for v in inputs for u in (range(self.n_units) if network else [unit])]
            if not np.isfinite(array).all() and all(np.isfinite(a).all() for a in read):
                self.culprits.append((op, unit))
        if self.disturb is not None:
            data = [self.disturb(array, op not in EXACT, op in SIGNLESS) for array in data]
        return Value(axes, data)


def evaluate(source: str, table: LayerTable, *, disturb: Disturbance | None = None) -> Outcome:
    """Run a program that is also valid Python; `Rejected` when the language does not have it."""
    machine = Machine(table, disturb)
    last = None
    with np.errstate(all="ignore"):
        for statement in ast.parse(source).body:
            if isinstance(statement, ast.Assign):
                (target,) = statement.targets
                machine.names[target.id] = _visit(machine, statement.value)
            elif isinstance(statement, ast.Expr):
                last = _visit(machine, statement.value)
            else:
                raise Rejected(f"{type(statement).__name__} is not part of the language")
    result = machine.names.get("score", last)
    if result is None:
        raise Rejected("no score")
    if not result.axes <= {"format"}:
        raise Rejected(f"the score has axes {sorted(result.axes)}")
    shape = (1, len(table.formats))
    rows = [np.broadcast_to(array.reshape(1, -1), shape) for array in result.data]
    return Outcome(np.concatenate(rows), result.axes, machine.culprits, machine.largest, machine.doubtful)


def _visit(machine: Machine, node: ast.expr) -> Value:
    """The value of an expression."""
    match node:
        case ast.Constant(value=bool()) | ast.Constant(value=str()):
            raise Rejected("only numbers")
        case ast.Constant(value=number):
            return _literal(machine, float(number))
        case ast.Name(id=name):
            return _name(machine, name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _elementwise(machine, "neg", [_visit(machine, operand)])
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _visit(machine, operand)
        case ast.BinOp(op=ast.Pow(), left=left, right=right):
            return _power(machine, left, right)
        case ast.BinOp(op=op, left=left, right=right) if type(op) in BINARY:
            operands = [_visit(machine, left), _visit(machine, right)]
            return _elementwise(machine, BINARY[type(op)], operands)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARISONS:
            operands = [_visit(machine, left), _visit(machine, right)]
            return _elementwise(machine, COMPARISONS[type(op)], operands)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return _call(machine, name, arguments)
    raise Rejected(f"{ast.unparse(node)} is not part of the language")


def _literal(machine: Machine, number: float) -> Value:
    return Value(frozenset(), [np.full((1, 1, 1, 1), number) for _ in range(machine.n_units)])


def _name(machine: Machine, name: str) -> Value:
    """A bound name, else an input of the table, else a constant."""
    table = machine.table
    if name in machine.names:
        return machine.names[name]
    if name in table.columns:
        column = table.columns[name]
        axes = frozenset(["format"] if column.ndim == 2 else [])
        return Value(axes, [np.asarray(row, np.float64).reshape(-1, 1, 1, 1) for row in column])
    if name in table.samples:
        sample = table.samples[name]
        return Value(frozenset(sample.axes), [_four_axes(v, sample.axes) for v in sample.values])
    if name in CONSTANTS:
        return _literal(machine, CONSTANTS[name])
    raise Rejected(f"unknown name {name}")


def _four_axes(array: np.ndarray, axes: tuple[str, ...]) -> np.ndarray:
    sizes = dict(zip(axes, array.shape, strict=True))
    return array.astype(np.float64).reshape([sizes.get(axis, 1) for axis in AXES])


def _power(machine: Machine, left: ast.expr, right: ast.expr) -> Value:
    """`**`, which means multiplication or a root where the exponent is such a literal."""
    base, exponent = _visit(machine, left), _visit(machine, right)
    try:
        number = float(ast.literal_eval(right))
    except ValueError:
        return _elementwise(machine, "pow", [base, exponent])
    data = [power(array, number) for array in base.data]
    return machine.finish("pow", base.axes, data, [base])


def _elementwise(machine: Machine, op: str, operands: list[Value]) -> Value:
    """Apply unit by unit with numpy's broadcasting; the axes are the union."""
    axes = frozenset().union(*(v.axes for v in operands))
    data = []
    for unit in range(machine.n_units):
        arrays = [v.data[unit] for v in operands]
        kernel = ELEMENTWISE[op] if op in ELEMENTWISE else compare(op)
        data.append(np.asarray(kernel(*arrays), np.float64))
    return machine.finish(op, axes, data, operands)


def _call(machine: Machine, name: str, arguments: list[ast.expr]) -> Value:
    """A call: which kind it is depends on the name and, for min and max, on the number of values."""
    words = []
    while arguments and isinstance(arguments[-1], ast.Name) and arguments[-1].id in AXIS_WORDS:
        words.insert(0, AXIS_WORDS[arguments[-1].id])
        arguments = arguments[:-1]
    values = [_visit(machine, argument) for argument in arguments]
    if not values:
        raise Rejected(f"{name} needs a value")
    if name == "pow" and len(values) == 2:
        return _power(machine, *arguments)
    if name in REDUCTIONS and not (name in ("min", "max") and len(values) > 1):
        return _reduce(machine, name, values, words)
    if words:
        raise Rejected(f"{name} takes no axis")
    if name in NETWORK and len(values) == 1:
        return _network(machine, name, values[0])
    if name in ELEMENTWISE and name.isidentifier() and len(values) in _ARITY.get(name, (1,)):
        return _elementwise(machine, name, values)
    raise Rejected(f"unknown call {name} of {len(values)} values")


_ARITY = {"where": (3,), "clip": (3,), "pow": (2,), "min": range(2, 99), "max": range(2, 99)}


def _reduce(machine: Machine, name: str, values: list[Value], words: list[str]) -> Value:
    """Remove the named axes, or out, in and pos."""
    value, *parameters = values
    if len(parameters) != (1 if name == "quantile" else 0):
        raise Rejected(f"{name} has too many values or too few")
    removed = frozenset(words) if words else value.axes & {"out", "in", "pos"}
    if not removed or not removed <= value.axes or len(words) != len(set(words)):
        raise Rejected(f"{name} cannot remove {words} of {sorted(value.axes)}")
    places = tuple(place for place, axis in enumerate(AXES) if axis in removed)
    data = []
    for unit in range(machine.n_units):
        array = _full(machine, value, unit)
        scale = float(np.prod([machine.scale(unit, axis) for axis in removed]))
        if machine.disturb is not None and name not in EXACT:
            array = machine.disturb(array, True, False)
        extra = [float(p.data[unit].item()) for p in parameters]
        machine.look(name, _rows(array, places))
        data.append(_over(REDUCTIONS[name], array, places, scale, extra))
    return machine.finish(name, value.axes - removed, data, [value])


def _full(machine: Machine, value: Value, unit: int) -> np.ndarray:
    """The value with its own axes at their true sizes."""
    sizes = (len(machine.table.formats), *(int(s) for s in machine.table.blocks[unit]))
    shape = [size if axis in value.axes else 1 for axis, size in zip(AXES, sizes, strict=True)]
    return np.broadcast_to(value.data[unit], shape)


def _over(
    kernel: Callable[..., float], array: np.ndarray, places: tuple[int, ...], scale: float, extra: list[float]
) -> np.ndarray:
    """Call the kernel on one flat vector for each place that stays."""
    flat = np.array([kernel(row, scale, *extra) for row in _rows(array, places)], np.float64)
    return flat.reshape([1 if place in places else array.shape[place] for place in range(4)])


def _rows(array: np.ndarray, places: tuple[int, ...]) -> list[np.ndarray]:
    """The values over the removed axes, one flat vector for each place that stays."""
    stays = [place for place in range(4) if place not in places]
    moved = np.transpose(array, (*stays, *places))
    rows = moved.reshape(int(np.prod([array.shape[place] for place in stays])), -1)
    return [np.ascontiguousarray(row) for row in rows]


def _network(machine: Machine, name: str, value: Value) -> Value:
    """Apply to the vector over units, each format for itself."""
    if not value.axes <= {"format"}:
        raise Rejected(f"{name} works on values without out, in, pos")
    columns = np.concatenate([array.reshape(1, -1) for array in value.data])
    if machine.disturb is not None and name not in EXACT:
        columns = machine.disturb(columns, True, False)
    machine.look(name, list(columns.T))
    result = np.stack([NETWORK[name](column) for column in columns.T], axis=1)
    return machine.finish(name, value.axes, [row.reshape(-1, 1, 1, 1) for row in result], [value])


def chained(source: str) -> bool:
    """Whether a comparison has more than two sides, which the language refuses."""
    compares = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Compare)]
    return any(len(list(pairwise([node.left, *node.comparators]))) > 1 for node in compares)
