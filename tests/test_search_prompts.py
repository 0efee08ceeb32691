"""Prompts: golden texts, a bounded size, and what is left out first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tap.errors import LLMError
from tap.search.prompts import Manual, Rejected, Scene, Shown, language_manual, render, render_repair

GOLDEN = Path(__file__).parent / "golden" / "prompts"
MANUAL = Manual(
    inputs="w {out,in,pos}: weight\ndw {format,out,in,pos}: quantization error",
    operators="sum(v, axes...): sum over axes\nsquare(v): v * v",
    examples=("# squared error\nscore = sum(square(dw))",),
)
PARENT = Shown(
    "Noise energy.",
    "score = sum(square(dw))",
    ("resnet20: agreement 0.61, regret 0.02", "resnet32: agreement 0.57, regret 0.03"),
    ("resnet20: conv1 is more sensitive than the program says", "resnet20: linear is less sensitive"),
)
OTHER = Shown("Fisher.", "noise = square(dw)\nscore = sum(g2 * noise)", ("resnet20: agreement 0.66",))
SCENE = Scene(
    task="Search networks: resnet20 (20 units), resnet32 (32 units); formats int2 int3 int4.",
    count=3,
    standing=("best so far: 0.66", "ceiling of the truth: 0.98"),
    tried=(Rejected("score = sum(abs(dw))", "same ranking as 7"), Rejected("score = w", "score has axes")),
)
SCENES = {
    "init": SCENE,
    "mutation": Scene(SCENE.task, 3, (PARENT,), SCENE.standing, SCENE.tried),
    "crossover": Scene(SCENE.task, 3, (PARENT, OTHER), SCENE.standing),
}


def check_golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("REGENERATE"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{name} changed; REGENERATE=1 rewrites it"


@pytest.mark.parametrize("operator", SCENES)
def test_user_prompts_are_golden(operator: str) -> None:
    check_golden(f"{operator}.md", render(operator, MANUAL, SCENES[operator]).user)


def test_repair_prompt_is_golden() -> None:
    failures = [("t", "score = summ(dw)", "unknown operator\n score = summ(dw)\n         ^^^^\nhint: sum")]
    check_golden("repair.md", render_repair(MANUAL, failures).user)


def test_whole_prompt_with_the_tables_of_the_engine_is_golden() -> None:
    rendered = render("init", language_manual(), SCENES["init"])
    check_golden("system.md", rendered.system)
    assert rendered.tokens < 4_000


def test_only_inputs_that_the_tables_hold_are_told() -> None:
    manual = language_manual({"dw2", "numel"})
    assert [line.split()[0] for line in manual.inputs.splitlines()[:2]] == ["numel", "dw2"]
    assert "trace {}" not in manual.inputs


def test_size_is_bounded_and_the_oldest_goes_first() -> None:
    tried = tuple(Rejected(f"score = {number} * sum(dw)", "twin") for number in range(2000))
    whole = render("init", MANUAL, SCENE).tokens
    rendered = render("init", MANUAL, Scene("task", 3, tried=tried), limit=whole + 500)
    assert rendered.tokens <= whole + 500
    assert "score = 0 * sum(dw)" in rendered.user
    assert "score = 1999 * sum(dw)" not in rendered.user
    small = render("mutation", MANUAL, Scene("task", 3, (PARENT,)), limit=10_000).tokens
    squeezed = render("mutation", MANUAL, Scene("task", 3, (PARENT,)), limit=small - 1)
    assert "linear is less" not in squeezed.user
    with pytest.raises(LLMError, match="allowed"):
        render("init", MANUAL, SCENE, limit=100)


def test_braces_and_dollars_in_programs_do_no_harm() -> None:
    odd = Shown("costs $5 {x}", "score = sum(dw) # $task ${y} {z}")
    text = render("mutation", MANUAL, Scene("task", 1, (odd,))).user
    assert "# $task ${y} {z}" in text
    assert "costs $5 {x}" in text


def test_grammar_endpoints_are_asked_for_one_program() -> None:
    manual = Manual(MANUAL.inputs, MANUAL.operators, program_only=True)
    assert "one program" in render("init", manual, SCENE).system
    assert "JSON" in render("init", MANUAL, SCENE).system
