"""`tap plan`: choices are shown, compared, pinned, forbidden, freed and edited; the rest is solved again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tap.cli.app import run
from tap.plan import Plan
from test_plan import UNITS, a_plan, best_by_hand


@pytest.fixture
def plan(tmp_path: Path) -> str:
    path = tmp_path / "plan.json"
    a_plan(groups=[["q", "k"]]).save(path)
    return str(path)


def pinned(plan: str, *changes: str) -> Plan:
    out = str(Path(plan).with_name("out.json"))
    assert run(["plan", "pin", plan, *changes, "-o", out, "-q"]) == 0
    return Plan.load(out)


def test_pins_by_name_bits_and_pattern(plan: str) -> None:
    assert pinned(plan, "stem=int8").choices["stem"] == "int8"
    assert pinned(plan, "head=2").choices["head"] == "int2"
    changed = pinned(plan, "[qk]=int2", "stem!=int2")
    assert changed.choices["q"] == changed.choices["k"] == "int2"
    assert changed.choices["stem"] != "int2"
    assert changed.bytes <= 500


def test_a_pin_is_freed_again(plan: str) -> None:
    first = pinned(plan, "stem=8", "head=2")
    first.save(plan)
    again = pinned(plan, "*=any")
    assert again.solution.objective == pytest.approx(a_plan(groups=[["q", "k"]]).solution.objective)
    assert again.solution.objective >= best_by_hand(500)


def test_a_pin_with_another_budget(plan: str) -> None:
    out = str(Path(plan).with_name("out.json"))
    assert run(["plan", "pin", plan, "stem=int8", "--budget", "700B", "-o", out, "-q"]) == 0
    assert Plan.load(out).budgets == {"bytes": 700}


@pytest.mark.parametrize(
    ("change", "words"),
    [("stme=int8", "stem"), ("stem=int5", "int4"), ("stem=5", "no format has 5 bits"),
     ("stem", "UNIT=FORMAT"), ("conv.*=int8", "no unit"), ("*=int8", "needs at least")],
)  # fmt: skip
def test_wrong_pins(plan: str, change: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = Path(plan).with_name("out.json")
    assert run(["plan", "pin", plan, change, "-o", str(out), "-q"]) == 2
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_an_editor_changes_choices(plan: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = str(Path(plan).with_name("out.json"))
    monkeypatch.setenv("EDITOR", "sed -i -e s/^head=.*/head=int2/ -e s/^stem=.*/stem!=int8/")
    assert run(["plan", "edit", plan, "-o", out, "-q"]) == 0
    assert Plan.load(plan).choices["head"] != "int2"
    assert Plan.load(out).choices["head"] == "int2"
    assert Plan.load(out).choices["stem"] != "int8"
    monkeypatch.setenv("EDITOR", "true")
    assert run(["plan", "edit", plan, "-o", out, "-q"]) == 2


def test_a_plan_is_shown_with_pins_and_ties(plan: str, capsys: pytest.CaptureFixture[str]) -> None:
    pinned(plan, "stem=int8").save(plan)
    assert run(["plan", "show", plan, "--json"]) == 0
    captured = capsys.readouterr()
    rows = json.loads(captured.out)
    assert [row["unit"] for row in rows] == [unit.name for unit in UNITS]
    assert [row["pinned"] for row in rows] == [True, False, False, False]
    assert [row["tied to"] for row in rows] == [None, None, "q", None]
    assert "of 500 used" in captured.err


def test_plans_are_compared(plan: str, capsys: pytest.CaptureFixture[str]) -> None:
    other = str(Path(plan).with_name("out.json"))
    before, after = Plan.load(plan), pinned(plan, "head=int8", "stem=int2")
    assert run(["plan", "diff", plan, other, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert sum(row["bytes"] for row in rows) == after.bytes - before.bytes
    assert sum(row["score"] for row in rows) == pytest.approx(
        after.solution.objective - before.solution.objective
    )
