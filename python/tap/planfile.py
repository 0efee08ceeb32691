"""The JSON form of a plan: one line a unit, nothing unknown accepted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tap.errors import PlanError, TableError
from tap.files import write_text
from tap.stats.units import Unit

if TYPE_CHECKING:
    from tap.plan import Plan

VERSION = 1
_UNIT = set(Unit.__dataclass_fields__)
_TYPES = {
    name: {"str": str, "bool": bool}.get(str(f.type), int) for name, f in Unit.__dataclass_fields__.items()
}
_CHOICE = {"format", "bits", "bytes", "scores", "costs"}
_FIELDS = {
    "plan": {
        "tap",
        "version",
        "fingerprint",
        "formats",
        "units",
        "groups",
        "budgets",
        "solution",
        "provenance",
    },
    "format": {"name", "bits", "act_bits"},
    "unit": _UNIT | _CHOICE,
    "solution": {"objective", "bound", "gap", "status", "used", "prices"},
}
_OPTIONAL = {"allowed"}


def write(plan: Plan, path: str | Path) -> None:
    """Write `plan` as JSON that a person can read and compare line by line."""
    try:
        write_text(path, as_text(plan))
    except TableError as error:
        raise PlanError(error.message, hint=error.hint) from None


def as_text(plan: Plan) -> str:
    """The JSON text of a plan: one line for each format and unit."""
    names = [form.name for form in plan.formats]
    units = []
    for row, (unit, index) in enumerate(zip(plan.units, plan.choice, strict=True)):
        record = {
            "name": unit.name,
            "format": names[index],
            "bits": plan.formats[index].bits,
            "bytes": _number(plan.costs["bytes"][row, index]),
            "scores": [float(value) for value in plan.scores[row]],
            "costs": {name: [_number(value) for value in cost[row]] for name, cost in plan.costs.items()},
            **{key: value for key, value in unit.as_json().items() if key != "name"},
        }
        if plan.allowed is not None and not plan.allowed[row].all():
            record["allowed"] = [name for name, ok in zip(names, plan.allowed[row], strict=True) if ok]
        units.append(record)
    solution = plan.solution
    document: dict[str, Any] = {
        "tap": "plan",
        "version": VERSION,
        "fingerprint": plan.fingerprint,
        "budgets": {name: _number(limit) for name, limit in plan.budgets.items()},
        "solution": {
            "objective": solution.objective,
            "bound": solution.bound,
            "gap": solution.gap,
            "status": solution.status,
            "used": {name: _number(value) for name, value in solution.used.items()},
            "prices": dict(solution.prices),
        },
        "formats": [{"name": f.name, "bits": f.bits, "act_bits": f.act_bits} for f in plan.formats],
        "units": units,
        "groups": [list(group) for group in plan.groups],
        "provenance": dict(plan.provenance),
    }
    lines = [f"  {json.dumps(key)}: {_block(value)}" for key, value in document.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def read(path: str | Path) -> Plan:
    """Read a plan and check all of it; a `PlanError` says where it is wrong."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"{path} cannot be read: {error}", hint="write one with tap allocate") from error
    try:
        return from_text(text)
    except PlanError as error:
        raise PlanError(f"{path}: {error.message}", hint=error.hint) from None


def from_text(text: str) -> Plan:
    """Read the JSON text of a plan."""
    try:
        document = json.loads(text, parse_constant=_refuse)
    except ValueError as error:
        raise PlanError(f"not valid JSON: {error}", hint="write it again with tap allocate") from error
    if not isinstance(document, dict) or document.get("tap") != "plan":
        raise PlanError("this is not a plan of tap", hint="write one with tap allocate")
    version = document.get("version")
    if version != VERSION:
        raise PlanError(
            f"the plan has version {version!r}; this tap reads version {VERSION}", hint="update tap-mpq"
        )
    _fields(document, "plan", "the plan")
    try:
        return _plan(document)
    except (TypeError, ValueError, KeyError, AttributeError, TableError) as error:
        raise PlanError(
            f"a value has the wrong type: {error}", hint="compare with plan.schema.json"
        ) from error


def _plan(document: Mapping[str, Any]) -> Plan:
    from tap.plan import Plan, PlanFormat, Solution, check_parts

    for record in document["formats"]:
        _fields(record, "format", f"format {record.get('name')!r}")
    formats = tuple(
        PlanFormat(str(r["name"]), float(r["bits"]), float(r["act_bits"])) for r in document["formats"]
    )
    names = [form.name for form in formats]
    records = document["units"]
    for record in records:
        _fields(record, "unit", f"unit {record.get('name')!r}")
        if record["format"] not in names:
            raise PlanError(
                f"unit '{record['name']}' has the format '{record['format']}', not one of the plan's"
            )
    for record in records:
        wrong = [key for key in _UNIT if not isinstance(record[key], _TYPES[key])]
        if wrong:
            raise PlanError(f"unit {record['name']!r}: '{min(wrong)}' has the wrong type")
    units = tuple(Unit.from_json({key: record[key] for key in _UNIT}) for record in records)
    unit_names = [unit.name for unit in units]
    twice = {name for name in unit_names if unit_names.count(name) > 1} or {
        name for name in names if names.count(name) > 1
    }
    if twice or not units or not formats:
        raise PlanError(f"'{min(twice)}' occurs twice" if twice else "the plan has no units or no formats")
    cost_names = list(records[0]["costs"])
    for record in records:
        if list(record["costs"]) != cost_names:
            raise PlanError(f"unit '{record['name']}' has other costs than '{unit_names[0]}'")
    scores = np.array([record["scores"] for record in records], np.float64)
    costs = {name: np.array([r["costs"][name] for r in records], np.float64) for name in cost_names}
    groups = tuple(tuple(group) for group in document["groups"])
    budgets = {name: float(limit) for name, limit in document["budgets"].items()}
    check_parts(unit_names, len(formats), scores, costs, budgets, groups)
    allowed = None
    if any("allowed" in record for record in records):
        allowed = np.array(
            [[name in record.get("allowed", names) for name in names] for record in records], np.bool_
        )
    _fields(document["solution"], "solution", "the solution")
    plan = Plan(
        units=units,
        formats=formats,
        choice=tuple(names.index(record["format"]) for record in records),
        scores=scores,
        costs=costs,
        budgets=budgets,
        solution=Solution(**document["solution"]),
        fingerprint=str(document["fingerprint"]),
        groups=groups,
        allowed=allowed,
        provenance=dict(document["provenance"]),
    )
    _verify(plan, records)
    return plan


def _verify(plan: Plan, records: list[dict[str, Any]]) -> None:
    """Add up again what the file says about the choice; a file edited by hand is found out here."""
    from tap.plan import total_costs

    hint = "change choices with tap plan pin, which solves the rest again"
    for row, (unit, index, record) in enumerate(zip(plan.units, plan.choice, records, strict=True)):
        form = plan.formats[index]
        if record["bits"] != form.bits or record["bytes"] != plan.costs["bytes"][row, index]:
            raise PlanError(f"unit '{unit.name}': bits and bytes are not those of {form.name}", hint=hint)
        if plan.allowed is not None and not plan.allowed[row, index]:
            raise PlanError(f"unit '{unit.name}': {form.name} is not allowed", hint=hint)
    for group in plan.groups:
        if len({plan.choice[plan.unit_index(name)] for name in group}) > 1:
            raise PlanError(f"the tied units {', '.join(group)} have different formats", hint=hint)
    rows = np.arange(len(plan.units))
    totals = {
        **total_costs(plan.costs, plan.choice),
        "objective": float(plan.scores[rows, plan.choice].sum()),
    }
    said = {**plan.solution.used, "objective": plan.solution.objective}
    for name, total in totals.items():
        if not np.isclose(said.get(name, np.nan), total, rtol=1e-9, atol=1e-12):
            raise PlanError(f"{name} of the choice is {total:g}, the file says {said.get(name)}", hint=hint)
    for name, limit in plan.budgets.items():
        if totals[name] > limit * (1 + 1e-12):
            raise PlanError(
                f"the choice needs {totals[name]:g} {name}, over the budget of {limit:g}", hint=hint
            )


def _fields(record: Any, kind: str, where: str) -> None:
    """Raise `PlanError` unless `record` has the fields of its kind and no others."""
    if not isinstance(record, dict):
        raise PlanError(f"{where} is not an object")
    unknown = set(record) - _FIELDS[kind] - (_OPTIONAL if kind == "unit" else set())
    missing = _FIELDS[kind] - set(record)
    if unknown:
        raise PlanError(
            f"{where} has the unknown field '{min(unknown)}'",
            hint="known: " + ", ".join(sorted(_FIELDS[kind])),
        )
    if missing:
        raise PlanError(f"{where} lacks the field '{min(missing)}'", hint="compare with plan.schema.json")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number of JSON")


def _number(value: float) -> int | float:
    return int(value) if float(value).is_integer() else float(value)


def _block(value: Any) -> str:
    """JSON of one field: a list of records gets one line a record."""
    if isinstance(value, list) and value:
        inner = ",\n    ".join(json.dumps(item, allow_nan=False) for item in value)
        return f"[\n    {inner}\n  ]"
    return json.dumps(value, allow_nan=False)
