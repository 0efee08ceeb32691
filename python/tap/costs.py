"""What a plan costs: bytes on disk, average bits, bit operations, latency, memory; and budgets as text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tap.errors import BudgetError, FormatError, TableError
from tap.formats import Format, parse
from tap.stats.units import Unit

FULL_BITS = 16
"""Bits of a weight in the model as it is: what a budget in percent is relative to."""

_SI = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
_BYTES = {
    **{f"{prefix}B": factor for prefix, factor in _SI.items()},
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGT", 1)},
}
_MILLISECONDS = {"ms": 1.0, "s": 1e3, "us": 1e-3, "µs": 1e-3, "ns": 1e-6}
_NUMBER = re.compile(r"([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-zµ%]*)")


def bytes(units: Sequence[Unit], formats: Sequence[Format | str]) -> NDArray[np.int64]:
    """Exact bytes [L, F] of each weight on disk: codes, scales, zero points, padding, as the format has it.

    >>> unit = Unit("fc", "linear", out=4, inp=32, pos=1, macs=128)
    >>> bytes([unit], ["int4", "int8"]).tolist()
    [[80, 144]]
    """
    parsed = _formats(formats)
    return np.array([[form.stored_bytes(unit) for form in parsed] for unit in units], np.int64)


def average_bits(total_bytes: float, units: Iterable[Unit]) -> float:
    """Bits a weight: stored bytes times 8, over all weight elements of the given units.

    Scales, zero points and padding are in the numerator; biases, norms and units left out are in neither.

    >>> average_bits(72, [Unit("fc", "linear", out=4, inp=32, pos=1, macs=128)])
    4.5
    """
    return 8 * total_bytes / sum(unit.numel for unit in units)


def bops(units: Sequence[Unit], formats: Sequence[Format | str]) -> NDArray[np.int64]:
    """Bit operations [L, F] of one sample: multiply-accumulates times weight bits times activation bits.

    Weight bits that are not whole (block formats) count rounded up.

    >>> bops([Unit("fc", "linear", out=4, inp=32, pos=1, macs=128)], ["int4", "int4+a8"]).tolist()
    [[8192, 4096]]
    """
    parsed = _formats(formats)
    return np.array(
        [[unit.macs * math.ceil(form.bits) * form.act_bits for form in parsed] for unit in units], np.int64
    )


def memory(
    sizes: ArrayLike, live: Sequence[Iterable[int]], *, resident: ArrayLike | None = None
) -> dict[str, NDArray[np.int64]]:
    """Peak memory as one cost for each set of tensors that are alive together.

    Give every cost the same budget: the peak is the largest of the sums.

    Args:
        sizes: bytes [L, F] of the activation of each unit when the unit is in each format.
        live: for each moment the units whose activations are alive.
        resident: bytes [L, F] that are always there, for example the weights.

    >>> costs = memory([[4, 8], [2, 4], [1, 2]], live=[(0, 1), (1, 2)])
    >>> {name: cost[:, 1].tolist() for name, cost in costs.items()}
    {'memory[0]': [8, 4, 0], 'memory[1]': [0, 4, 2]}
    """
    table = np.asarray(sizes)
    if table.ndim != 2:
        raise TableError(f"sizes has shape {table.shape}; it must be [units, formats]")
    always = np.zeros_like(table) if resident is None else np.asarray(resident)
    if always.shape != table.shape:
        raise TableError(f"resident has shape {always.shape}, not {table.shape} as sizes")
    costs = {}
    for at, units in enumerate(live):
        members = np.zeros(len(table), np.bool_)
        for unit in units:
            if not 0 <= unit < len(table):
                raise TableError(f"live set {at} names unit {unit}; units run from 0 to {len(table) - 1}")
            members[unit] = True
        costs[f"memory[{at}]"] = (np.where(members[:, None], table, 0) + always).astype(np.int64)
    return costs


def activation_bytes(units: Sequence[Unit], formats: Sequence[Format | str]) -> NDArray[np.int64]:
    """Bytes [L, F] of each unit's input for one sample, in the activation bits of each format.

    >>> unit = Unit("fc", "linear", out=4, inp=32, pos=1, macs=128, activations=32)
    >>> activation_bytes([unit], ["int4", "int4+a8"]).tolist()
    [[64, 32]]
    """
    parsed = _formats(formats)
    return np.array(
        [[-(-unit.activations * form.act_bits // 8) for form in parsed] for unit in units], np.int64
    )


def tables(
    names: Iterable[str],
    units: Sequence[Unit],
    formats: Sequence[Format | str],
    *,
    latency: ArrayLike | None = None,
) -> dict[str, NDArray[np.int64] | NDArray[np.float64]]:
    """The costs of the given names, as `tap.allocate` takes them; `latency` is milliseconds [L, F].

    >>> unit = Unit("fc", "linear", out=4, inp=32, pos=1, macs=128)
    >>> sorted(tables(["bytes", "bops"], [unit], ["int4"]))
    ['bops', 'bytes']
    """
    found: dict[str, NDArray[np.int64] | NDArray[np.float64]] = {}
    for name in names:
        if name == "bytes":
            found[name] = bytes(units, formats)
        elif name == "bops":
            found[name] = bops(units, formats)
        elif name == "latency":
            if latency is None:
                raise BudgetError(
                    "a latency budget needs a latency table", hint="measure one with tap.latency.measure"
                )
            found[name] = np.asarray(latency, np.float64)
        else:
            raise BudgetError(f"there is no cost model '{name}'", hint="known: bytes, bops, latency")
    return found


@dataclass(frozen=True)
class Budget:
    """One budget as the user wrote it.

    >>> Budget.parse("4.25bits"), Budget.parse("bops=40G").amount
    (Budget(cost='bytes', amount=4.25, kind='bits', format=''), 40000000000.0)
    """

    cost: str
    """`bytes`, `bops` or `latency`."""
    amount: float
    kind: str
    """`bits` a weight, `percent` of the bytes at 16 bits a weight, `uniform` (the bytes of all units in one
    format), or `total` (bytes, operations, ms)."""
    format: str = ""
    """The format of a `uniform` budget; `int2.5` is half way between two."""

    @staticmethod
    def parse(text: str) -> Budget:
        """Read `4.25bits`, `12MB`, `12MiB`, `35%`, `int3`, `bops=40G`, `latency=3.2ms`; else a `BudgetError`.

        `int3` is the size of the model with every unit in that format, which is what a uniform plan takes;
        `int2.5` lies half way between those of `int2` and `int3`.
        """
        name, separator, value = text.strip().rpartition("=")
        name = name.strip().lower() if separator else "bytes"
        if name == "bytes" and (found_format := _uniform(value.strip())) is not None:
            return Budget("bytes", found_format[0], "uniform", found_format[1])
        found = _NUMBER.fullmatch(value.strip())
        if found is None:
            raise BudgetError(f"cannot read the budget '{text}'", hint=_FORMS)
        amount, suffix = float(found[1]), found[2]
        if not math.isfinite(amount):
            raise BudgetError(f"the budget '{text}' is not finite", hint=_FORMS)
        if name in ("bytes", "size", "bits"):
            if suffix.lower() in ("bit", "bits") or (name == "bits" and not suffix):
                return Budget("bytes", amount, "bits")
            if suffix == "%":
                return Budget("bytes", amount, "percent")
            if (factor := _lookup(_BYTES, suffix)) is not None and name != "bits":
                return Budget("bytes", amount * factor, "total")
        elif name == "bops" and (factor := _lookup(_SI, suffix)) is not None:
            return Budget("bops", amount * factor, "total")
        elif name == "latency" and (scale := _MILLISECONDS.get(suffix or "ms")) is not None:
            return Budget("latency", amount * scale, "total")
        elif name not in ("bops", "latency"):
            raise BudgetError(f"there is no cost '{name}' to budget", hint=_FORMS)
        raise BudgetError(f"the budget '{text}' has an unknown unit '{suffix}'", hint=_FORMS)

    def limit(self, units: Iterable[Unit]) -> float:
        """The largest total of the cost over the units: an `int` for bytes and operations, rounded down.

        >>> Budget.parse("4.5bits").limit([Unit("fc", "linear", out=4, inp=32, pos=1, macs=128)])
        72
        """
        if self.cost == "latency":
            return self.amount
        if self.kind == "uniform":
            ends = _BETWEEN.fullmatch(self.format)
            below, part = (int(ends[1]), float(ends[2])) if ends else (0, 0.0)
            names = [f"int{below}{ends[3]}", f"int{below + 1}{ends[3]}"] if ends else [self.format] * 2
            low, high = map(int, bytes(list(units), names).sum(axis=0))
            return math.floor(low + part * (high - low))
        weights = sum(unit.numel for unit in units)
        bits = {"bits": self.amount, "percent": self.amount / 100 * FULL_BITS}.get(self.kind)
        return math.floor(self.amount if bits is None else round(bits * weights / 8, 6))


def limits(budgets: Iterable[str | Budget], units: Sequence[Unit]) -> dict[str, float]:
    """The budgets as `tap.allocate` takes them; two on one cost are a `BudgetError`.

    >>> limits(["64B", "bops=40G"], [Unit("fc", "linear", out=4, inp=32, pos=1, macs=128)])
    {'bytes': 64, 'bops': 40000000000}
    """
    found: dict[str, float] = {}
    for text in budgets:
        budget = Budget.parse(text) if isinstance(text, str) else text
        if budget.cost in found:
            raise BudgetError(f"there are two budgets for {budget.cost}", hint="give one budget a cost")
        found[budget.cost] = budget.limit(units)
    return found


_FORMS = "write 4.25bits, 12MB, 35%, int4, bops=40G or latency=3.2ms"


_BETWEEN = re.compile(r"int([2-7])(\.[0-9]+)(.*)")
"""A size between those of two integer formats."""


def _uniform(text: str) -> tuple[float, str] | None:
    """Bits and name of the format that the text names, or of the size between two; None for other text."""
    if not text[:1].isalpha():
        return None
    between = _BETWEEN.fullmatch(text)
    try:
        form = parse(f"int{between[1]}{between[3]}" if between else text)
    except FormatError:
        return None
    return form.bits + (float(between[2]) if between else 0.0), text if between else form.name


def _lookup(factors: Mapping[str, int], suffix: str) -> int | None:
    """The factor of a suffix, whatever its case: 12mb is 12MB."""
    return {name.lower(): factor for name, factor in factors.items()}.get(suffix.lower())


def _formats(formats: Sequence[Format | str]) -> tuple[Format, ...]:
    return tuple(parse(form) if isinstance(form, str) else form for form in formats)
