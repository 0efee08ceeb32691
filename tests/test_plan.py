"""Plans: what is written is read back, what was tampered with is refused, and budgets are solved again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tap.errors import BudgetError, InfeasibleError, PlanError
from tap.plan import Plan, PlanFormat
from tap.stats.units import Unit

FORMATS = (PlanFormat("int2", 2.0), PlanFormat("int4", 4.0), PlanFormat("int8", 8.0))
UNITS = (
    Unit("stem", "conv2d", out=8, inp=1, pos=9, macs=4608, kernel=3),
    Unit("q", "linear", out=16, inp=16, pos=1, macs=256),
    Unit("k", "linear", out=16, inp=16, pos=1, macs=256),
    Unit("head", "linear", out=10, inp=16, pos=1, macs=160),
)
SIZES = np.array([[u.numel * f.bits / 8 + 2 * u.out for f in FORMATS] for u in UNITS])
SCORES = np.array([[9.0, 2.0, 0.1], [1.0, 0.5, 0.01], [2.0, 0.7, 0.02], [4.0, 0.5, 0.05]])
Edit = Callable[[dict[str, Any]], None]


def a_plan(**changes: Any) -> Plan:
    options: dict[str, Any] = {
        "scores": SCORES,
        "costs": {"bytes": SIZES, "bits": np.array([[u.numel * f.bits for f in FORMATS] for u in UNITS])},
        "budgets": {"bytes": 500.0},
        "fingerprint": "f" * 32,
        "provenance": {"proxy": "sqnr", "model": "test"},
        **changes,
    }
    return Plan.solve(UNITS, FORMATS, **options)


def best_by_hand(limit: float) -> float:
    """Enumerate all choices."""
    totals = [
        sum(SCORES[range(4), choice])
        for choice in np.ndindex(3, 3, 3, 3)
        if sum(SIZES[range(4), choice]) <= limit
    ]
    return min(totals)


def test_a_plan_is_the_best_choice() -> None:
    plan = a_plan()
    assert plan.solution.objective == pytest.approx(best_by_hand(500))
    assert plan.solution.status == "optimal"
    assert plan.bytes <= 500
    assert set(plan.choices) == {"stem", "q", "k", "head"}


def test_average_bits_count_stored_bytes() -> None:
    plan = a_plan(budgets={"bytes": SIZES[:, 1].sum()}, allowed=np.array([[False, True, False]] * 4))
    assert plan.average_bits == 8 * SIZES[:, 1].sum() / sum(unit.numel for unit in plan.units)


@pytest.mark.parametrize("limit", [400.0, 450.0, 600.0, 1000.0])
def test_resolve_is_a_fresh_solution(limit: float, tmp_path: Path) -> None:
    a_plan().save(tmp_path / "plan.json")
    again = Plan.load(tmp_path / "plan.json").resolve({"bytes": limit})
    assert again.solution.objective == pytest.approx(best_by_hand(limit))
    assert again.budgets == {"bytes": limit}
    assert again.provenance["proxy"] == "sqnr"


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    allowed = np.ones((4, 3), np.bool_)
    allowed[0, 0] = False
    plan = a_plan(groups=[["q", "k"]], allowed=allowed)
    plan.save(tmp_path / "plan.json")
    again = Plan.load(tmp_path / "plan.json")
    assert again.choices == plan.choices
    assert again.choices["q"] == again.choices["k"]
    assert again.groups == (("q", "k"),)
    assert (again.allowed == allowed).all()
    assert (again.scores == plan.scores).all()
    assert again.units == plan.units
    assert again.solution == plan.solution
    again.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "plan.json").read_bytes()


def test_a_pin_holds_and_the_rest_is_solved_again() -> None:
    plan = a_plan().restrict(pin={"stem": "int2"}, forbid=[("head", "int8")])
    assert plan.choices["stem"] == "int2"
    assert plan.choices["head"] != "int8"
    assert plan.bytes <= 500
    assert plan.resolve({"bytes": 10_000}).choices == {
        "stem": "int2",
        "q": "int8",
        "k": "int8",
        "head": "int4",
    }


def test_a_pin_of_a_tied_unit_pins_its_group() -> None:
    plan = a_plan(groups=[["q", "k"]]).restrict(pin={"q": "int2"})
    assert plan.choices["k"] == "int2"


def test_wrong_names_get_the_nearest() -> None:
    with pytest.raises(PlanError, match="no unit 'sten'") as caught:
        a_plan().restrict(pin={"sten": "int2"})
    assert "stem" in str(caught.value.hint)
    with pytest.raises(PlanError, match="no format 'int5'"):
        a_plan().restrict(pin={"stem": "int5"})


def test_a_budget_that_nothing_fits() -> None:
    with pytest.raises(InfeasibleError) as caught:
        a_plan().resolve({"bytes": 10})
    assert caught.value.smallest["bytes"] == SIZES[:, 0].sum()


def test_a_budget_that_is_not_a_number() -> None:
    with pytest.raises(BudgetError):
        a_plan().resolve({"bytes": float("nan")})


def test_another_model_is_refused() -> None:
    plan = a_plan()
    plan.require_model(UNITS, "f" * 32)
    with pytest.raises(PlanError, match="is for the model ffffffffffff"):
        plan.require_model(UNITS, "e" * 32)
    with pytest.raises(PlanError, match="lacks the unit 'stem'"):
        plan.require_model(UNITS[1:], "")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"scores": SCORES[:3]}, "scores has shape"),
        ({"scores": np.where(SCORES > 8, np.nan, SCORES)}, "'stem' is not finite"),
        ({"costs": {"bits": SIZES}}, "needs the cost 'bytes'"),
        ({"budgets": {"latency": 3.0}}, "'latency' has no cost"),
        ({"groups": [["q", "v"]]}, "no unit 'v'"),
    ],
)
def test_parts_that_do_not_fit(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(PlanError, match=says):
        a_plan(**changes)


def _rename(document: dict[str, Any]) -> None:
    unit = document["units"][0]
    unit["format"] = "int2" if unit["format"] == "int8" else "int8"


TAMPERED: list[tuple[Edit, str]] = [
    (lambda d: d.update(version=2), "version 2; this tap reads version 1"),
    (lambda d: d.update(tap="table"), "not a plan"),
    (lambda d: d.update(extra=1), "unknown field 'extra'"),
    (lambda d: d["units"][0].update(colour="red"), "unknown field 'colour'"),
    (lambda d: d["formats"][0].update(scale=1), "unknown field 'scale'"),
    (lambda d: d["solution"].update(luck=1), "unknown field 'luck'"),
    (lambda d: d["solution"].pop("gap"), "lacks the field 'gap'"),
    (lambda d: d["units"][1].pop("kind"), "lacks the field 'kind'"),
    (lambda d: d["units"][1].update(format="int5"), "'q' has the format 'int5'"),
    (lambda d: d["units"][1].update(name="stem"), "'stem' occurs twice"),
    (lambda d: d["units"][1].update(out="many"), "wrong type"),
    (lambda d: d["units"][1].update(scores=[1.0]), "wrong type"),
    (lambda d: d["units"][1]["costs"].pop("bits"), "other costs"),
    (lambda d: d["budgets"].update(bytes=5), "over the budget of 5"),
    (lambda d: d["groups"].append(["q", "nobody"]), "no unit 'nobody'"),
    (lambda d: d["solution"]["used"].update(bytes=1), "bytes of the choice is"),
    (lambda d: d.update(units=[]), "no units"),
    (_rename, "bits and bytes are not those of int"),
]


@pytest.mark.parametrize(("edit", "says"), TAMPERED, ids=[says for _, says in TAMPERED])
def test_a_file_that_was_tampered_with(edit: Edit, says: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    a_plan(budgets={"bytes": 450.0}).save(path)
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))
    with pytest.raises(PlanError, match=says):
        Plan.load(path)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"tap": "plan", "version": NaN}', "\ufffd"])
def test_text_that_is_no_plan(text: str, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(PlanError, match=r"plan\.json"):
        Plan.load(tmp_path / "plan.json")


def test_a_missing_file_and_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="cannot be read"):
        Plan.load(tmp_path / "none.json")
    with pytest.raises(PlanError, match="does not exist"):
        a_plan().save(tmp_path / "no" / "plan.json")


def test_the_schema_names_the_fields_that_are_written(tmp_path: Path) -> None:
    schema_path = Path(__file__).parent.parent / "python" / "tap" / "data" / "plan.schema.json"
    schema = json.loads(schema_path.read_text())
    allowed = np.ones((4, 3), np.bool_)
    allowed[0, 0] = False
    a_plan(allowed=allowed).save(tmp_path / "plan.json")
    document = json.loads((tmp_path / "plan.json").read_text())
    assert set(document) == set(schema["required"]) == set(schema["properties"])
    unit = schema["properties"]["units"]["items"]
    assert set(document["units"][0]) == set(unit["properties"])
    assert set(document["units"][1]) == set(unit["required"])
    solution = schema["properties"]["solution"]
    assert set(document["solution"]) == set(solution["required"]) == set(solution["properties"])
    form = schema["properties"]["formats"]["items"]
    assert set(document["formats"][0]) == set(form["required"])
