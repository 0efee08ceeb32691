"""Units that a deployment target stores as one weight, and which therefore share a format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from tap.errors import ExportError
from tap.stats.units import Unit

Rule = str
"""A pattern on unit names; units whose names match it with equal groups (the place) are tied."""

_QKV: Rule = r"(.*\b)(?:q_proj|k_proj|v_proj)|(.*\b)(?:query|key|value)|(.*\b)(?:to_q|to_k|to_v)"
_GATE_UP: Rule = r"(.*\b)(?:gate_proj|up_proj)|(.*\b)(?:w1|w3)"
_EXPERTS: Rule = r"(.*\bexperts\.).+"
_DELTA: Rule = r"(.*\b)(?:in_proj_qkv|in_proj_z)|(.*\b)(?:in_proj_a|in_proj_b)"
_FUSED = (_EXPERTS, _QKV, _GATE_UP, _DELTA)

RULES: dict[str, tuple[Rule, ...]] = {
    "vllm": _FUSED,
    "sglang": _FUSED,
    "tensorrt-llm": _FUSED,
    "onnx": (_QKV,),
    "gguf": (),
    "mlx": (),
    "torchao": (),
    "residual": (r"(.*\b)(?:downsample|shortcut)(?:\.\d+)?",),
}
"""Rules of each target, the first that matches a name counts. "residual" is a rule for any target that adds
in integers: a projection shortcut shares the format of the last convolution of its block."""


def ties(units: Sequence[Unit], target: str | Sequence[Rule]) -> list[int]:
    """The group of each unit, numbered from 0 by first appearance; a unit that is not tied is alone.

    `target` is a deployment target or a list of patterns. The groups go to `tap.allocate(groups=...)`.

    Raises:
        ExportError: an unknown target or a pattern that is no regular expression.

    >>> names = ["l.0.q_proj", "l.0.k_proj", "l.0.v_proj", "l.0.o_proj", "l.1.q_proj"]
    >>> units = [Unit(name, "linear", 4, 4, 1, 16) for name in names]
    >>> ties(units, "vllm")
    [0, 0, 0, 1, 2]
    >>> ties(units, "gguf")
    [0, 1, 2, 3, 4]
    """
    rules = _compiled(target)
    keys = [_key(unit.name, rules) for unit in units]
    if target == "residual":
        keys = _with_last_convolution(units, keys)
    numbers: dict[object, int] = {}
    return [
        numbers.setdefault(("alone", index) if key is None else key, len(numbers))
        for index, key in enumerate(keys)
    ]


def _compiled(target: str | Sequence[Rule]) -> list[re.Pattern[str]]:
    """The rules of a target as regular expressions."""
    if isinstance(target, str):
        if target not in RULES:
            near = get_close_matches(target, RULES, n=1) or sorted(RULES)
            raise ExportError(f"no tie rules for the target '{target}'", hint="one of " + ", ".join(near))
        target = RULES[target]
    try:
        return [re.compile(rule) for rule in target]
    except re.error as error:
        raise ExportError(f"a tie rule is no regular expression: {error}", hint="see Python's re") from error


def _key(name: str, rules: list[re.Pattern[str]]) -> tuple[object, ...] | None:
    """What tied names have in common: the rule, the alternative of it, and the place."""
    for number, rule in enumerate(rules):
        found = rule.fullmatch(name)
        if found:
            return (number, *found.groups())
    return None


def _with_last_convolution(
    units: Sequence[Unit], keys: list[tuple[object, ...] | None]
) -> list[tuple[object, ...] | None]:
    """Give the last other convolution of a block the key of the block's shortcut."""
    keys = list(keys)
    for shortcut, key in zip(units, list(keys), strict=True):
        if key is None:
            continue
        place = str(key[1])
        block = [
            index
            for index, unit in enumerate(units)
            if unit.name.startswith(place) and keys[index] is None and unit.is_conv
        ]
        matching = [index for index in block if units[index].out == shortcut.out]
        if place and matching:
            keys[matching[-1]] = key
    return keys
