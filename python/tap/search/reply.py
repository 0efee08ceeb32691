"""Reads candidates out of whatever a model wrote: JSON, fenced JSON, fenced programs, or a bare program."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAX_DRAFTS = 32
"""Candidates taken from one reply; the rest is ignored."""
MAX_TEXT = 200_000
"""Characters of a reply that are looked at."""
MAX_CODE = 16_384
"""Characters of one program; the language's own limit is smaller."""


@dataclass(frozen=True)
class Draft:
    """One candidate as the model wrote it, not yet compiled."""

    thought: str
    code: str


def drafts(text: str) -> list[Draft]:
    """All candidates in `text`, in order, without repeats; prose alone gives none.

    >>> drafts('Sure! ```json\\n[{"thought": "t", "code": "score = sum(dw)"}]\\n```')
    [Draft(thought='t', code='score = sum(dw)')]
    >>> drafts("An idea:\\n```python\\nscore = sum(dw)\\n```")
    [Draft(thought='An idea:', code='score = sum(dw)')]
    """
    text = text[:MAX_TEXT]
    found = list(_from_json(text)) or list(_from_fences(text)) or list(_from_programs(text))
    kept: dict[str, Draft] = {}
    for draft in found:
        if draft.code and len(draft.code) <= MAX_CODE:
            kept.setdefault(draft.code, draft)
    return list(kept.values())[:MAX_DRAFTS]


def _from_json(text: str) -> Iterator[Draft]:
    """Every complete object with a `code`, wherever it stands; a truncated list keeps its whole members."""
    decoder = json.JSONDecoder(strict=False)
    position, tried = 0, 0
    while (position := _next_bracket(text, position)) >= 0 and tried < 1_024:
        tried += 1
        try:
            value, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            position += 1
            continue
        members = list(_members(value))
        yield from members
        position = end if members or text[position] == "{" else position + 1


def _members(value: Any, depth: int = 0) -> Iterator[Draft]:
    """Objects with a `code` inside `value`."""
    if depth > 4:
        return
    if isinstance(value, dict):
        code = next((value[name] for name in ("code", "program", "proxy") if name in value), None)
        if isinstance(code, list) and all(isinstance(line, str) for line in code):
            code = "\n".join(code)
        if isinstance(code, str):
            thought = value.get("thought", value.get("idea", ""))
            yield Draft(_tidy(str(thought)), _unfenced(code))
        else:
            for inner in value.values():
                yield from _members(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _members(inner, depth + 1)


def _from_fences(text: str) -> Iterator[Draft]:
    """Every fenced block, with the prose before it as the thought; an open last fence counts."""
    start = 0
    for match in re.finditer(r"```[^\n`]*\n(.*?)(?:```|\Z)", text, re.DOTALL):
        if _is_program(match.group(1)):
            yield Draft(_tidy(text[start : match.start()]), match.group(1).strip())
        start = match.end()


def _from_programs(text: str) -> Iterator[Draft]:
    """Bare programs parted by lines of dashes, comments before the first binding being the thought."""
    for part in re.split(r"^-{3,}\s*$", text, flags=re.MULTILINE):
        lines = part.strip().splitlines()
        first = next((index for index, line in enumerate(lines) if _BINDING.match(line)), None)
        if first is not None:
            thought = " ".join(line.lstrip("# ").strip() for line in lines[:first])
            yield Draft(_tidy(thought), "\n".join(lines[first:]).strip())


_BINDING = re.compile(r"\s*[A-Za-z_][A-Za-z0-9_]*\s*=[^=]")


def _is_program(text: str) -> bool:
    return any(_BINDING.match(line) for line in text.splitlines()) or bool(re.match(r"\s*\w+\(", text))


def _next_bracket(text: str, start: int) -> int:
    match = re.compile(r"[\[{]").search(text, start)
    return match.start() if match else -1


def _unfenced(code: str) -> str:
    match = re.fullmatch(r"\s*```[^\n`]*\n(.*?)\n?```\s*", code, re.DOTALL)
    return (match.group(1) if match else code).strip()


def _tidy(text: str, limit: int = 600) -> str:
    """One paragraph of at most `limit` characters."""
    words = " ".join(text.replace("`", "").split())
    return words if len(words) <= limit else words[: limit - 1] + "…"
