"""Random texts of a GBNF grammar, read as llama.cpp documents it: a slow, obvious twin of a server."""

from __future__ import annotations

import random
import re
from typing import Any

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|\{\d+,\d+\}|[A-Za-z][A-Za-z0-9-]*|[()|?*+]')
MOST = 3
"""Repetitions of `*` and `+` that are tried."""


def rules_of(grammar: str) -> dict[str, Any]:
    """Rule name -> tree: ("or", ways), ("and", parts), ("times", part, least, most), text, class or name."""
    found = {}
    for line in grammar.splitlines():
        name, _, right = line.partition(" ::= ")
        tokens = TOKEN.findall(right)
        assert "".join(tokens) == re.sub(r'("(?:[^"\\]|\\.)*"|\[[^\]]*\])| ', r"\1", right), line
        tree, rest = _ways(tokens)
        assert not rest, line
        found[name] = tree
    return found


def derive(rules: dict[str, Any], tree: Any, rng: random.Random) -> str:
    """One text that `tree` derives."""
    kind, *parts = tree
    if kind == "or":
        return derive(rules, rng.choice(parts[0]), rng)
    if kind == "and":
        return "".join(derive(rules, part, rng) for part in parts[0])
    if kind == "times":
        part, least, most = parts
        return "".join(derive(rules, part, rng) for _ in range(rng.randint(least, most)))
    if kind == "text":
        return parts[0]
    if kind == "class":
        return rng.choice(parts[0])
    return derive(rules, rules[parts[0]], rng)


def _ways(tokens: list[str]) -> tuple[Any, list[str]]:
    ways = []
    parts: list[Any] = []
    while tokens and tokens[0] != ")":
        token, *tokens = tokens
        if token == "|":
            ways.append(("and", parts))
            parts = []
            continue
        if token == "(":
            part, tokens = _ways(tokens)
            assert tokens[:1] == [")"]
            tokens = tokens[1:]
        elif token[0] == '"':
            part = ("text", token[1:-1].encode().decode("unicode_escape"))
        elif token[0] == "[":
            part = ("class", _characters(token[1:-1]))
        else:
            part = ("name", token)
        if tokens and (tokens[0] in "?*+" or tokens[0][0] == "{"):
            times, *tokens = tokens
            least, most = {"?": (0, 1), "*": (0, MOST), "+": (1, MOST)}.get(times) or map(
                int, times[1:-1].split(",")
            )
            part = ("times", part, least, most)
        parts.append(part)
    return ("or", [*ways, ("and", parts)]), tokens


def _characters(text: str) -> str:
    spread = re.sub(r"(\w)-(\w)", lambda m: "".join(map(chr, range(ord(m[1]), ord(m[2]) + 1))), text)
    return spread.encode().decode("unicode_escape")
