"""Candidates out of whatever a model wrote."""

from __future__ import annotations

import json
import time

import pytest

from tap.search.reply import MAX_DRAFTS, drafts

ONE = {"thought": "noise", "code": "score = sum(square(dw))"}
TWO = {"thought": "more\nlines", "code": "a = square(dw)\nscore = sum(g2 * a)"}


def codes(text: str) -> list[str]:
    return [draft.code for draft in drafts(text)]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"candidates": [ONE, TWO]}),
        json.dumps([ONE, TWO]),
        "Here they are:\n```json\n" + json.dumps([ONE, TWO], indent=2) + "\n```\nHope this helps {not json}",
        json.dumps(ONE) + "\n" + json.dumps(TWO),
        json.dumps({"answer": {"proxies": [ONE, TWO]}}),
        json.dumps(
            {"candidates": [{"idea": "x", "program": ONE["code"]}, {"code": TWO["code"].split("\n")}]}
        ),
        json.dumps({"candidates": [{"code": f"```python\n{ONE['code']}\n```"}, TWO]}),
        f"First:\n```python\n{ONE['code']}\n```\nSecond:\n```\n{TWO['code']}\n```",
        f"# noise\n{ONE['code']}\n---\n# more\n{TWO['code']}\n",
        '{"candidates": [' + json.dumps(ONE) + ", " + json.dumps(TWO) + ', {"thought": "cut he',
        "[1, 2] and {} then " + json.dumps([ONE, ONE, TWO]),
    ],
)
def test_every_form_gives_both(text: str) -> None:
    assert codes(text) == [ONE["code"], TWO["code"]]


@pytest.mark.parametrize(
    "text", ["", "I cannot help with that.", "{}", "[]", '{"code": 7}', "null", "```\nls -l\n```"]
)
def test_nothing_useful_gives_nothing(text: str) -> None:
    assert drafts(text) == []


def test_raw_newlines_inside_json_strings_are_taken() -> None:
    assert codes('{"thought": "t", "code": "a = dw\nscore = sum(a)"}') == ["a = dw\nscore = sum(a)"]


def test_thought_is_one_bounded_paragraph() -> None:
    (draft,) = drafts(json.dumps({"thought": "word \n" * 1000, "code": "score = sum(dw)"}))
    assert len(draft.thought) <= 600
    assert "\n" not in draft.thought


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"a":' * 100_000,
        '{"' * 200_000,
        '["' + "x" * 5_000_000,
        "```\n" * 100_000,
        "a = b\n" * 500_000,
    ],
)
def test_hostile_text_ends_soon(text: str) -> None:
    started = time.process_time()
    drafts(text)
    assert time.process_time() - started < 5.0


def test_number_of_candidates_is_bounded() -> None:
    many = [{"thought": "", "code": f"score = {number} * sum(dw)"} for number in range(1000)]
    assert len(drafts(json.dumps(many))) == MAX_DRAFTS
