"""Renders the prompts: init, mutation, crossover and repair, from the template files beside this one.

The three prompt kinds are the paper's; that parents show their 'genes', and several candidates a call, are
APD's; the texts, the scores and the wrong ranks shown, and the bound on the size are ours.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from string import Template

from tap import _core
from tap.errors import LLMError
from tap.proxy import typed_grammar
from tap.search.wire import estimate_tokens
from tap.stats.table import LayerTable

OPERATORS = ("init", "mutation", "crossover")
"""The three prompt kinds, in the order of the arms, with 0, 1 and 2 parents."""

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "candidates": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"thought": {"type": "string"}, "code": {"type": "string"}},
                    "required": ["thought", "code"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["candidates"],
        "additionalProperties": False,
    },
    sort_keys=True,
)
"""JSON schema of a reply."""


@dataclass(frozen=True)
class Shown:
    """A candidate as a prompt shows it."""

    thought: str
    code: str
    scores: tuple[str, ...] = ()
    """One line a net: agreement, regret, accuracy where known."""
    wrong: tuple[str, ...] = ()
    """Where it ranks wrongly, the worst first."""


@dataclass(frozen=True)
class Rejected:
    """A candidate that was tried and why it was not kept."""

    code: str
    reason: str


@dataclass(frozen=True)
class Manual:
    """What every prompt says about the language; the tables are those of the engine."""

    inputs: str
    operators: str
    examples: tuple[str, ...] = ()
    program_only: bool = False
    """Ask for one bare program (grammar-constrained endpoints) instead of JSON."""


@dataclass(frozen=True)
class Scene:
    """What a prompt says about the search as it stands."""

    task: str
    count: int = 5
    parents: tuple[Shown, ...] = ()
    standing: tuple[str, ...] = ()
    """Lines on the best candidate so far, the ceiling and the reference proxies."""
    tried: tuple[Rejected, ...] = ()
    """The latest rejections, the newest first."""


@dataclass(frozen=True)
class Rendered:
    """A prompt ready to send."""

    system: str
    user: str
    tokens: int = field(default=0)
    """Its size, estimated from above."""


class PromptTooLong(LLMError):
    """A prompt is beyond its limit with everything left out that may be."""


def render(operator: str, manual: Manual, scene: Scene, *, limit: int = 6_000) -> Rendered:
    """The prompt of that operator in at most `limit` tokens.

    What does not fit is left out in this order: what was tried, oldest first; where parents rank wrongly.

    Raises:
        PromptTooLong: the rest does not fit.
    """
    tried, wrong = len(scene.tried), 8
    while True:
        user = _fill(
            operator,
            task=scene.task,
            count=str(scene.count),
            parents="\n\n".join(_parent(parent, wrong) for parent in scene.parents),
            standing=_section("Where the search stands", scene.standing),
            tried=_section(
                "Tried and rejected (do not repeat)",
                [f"- {_one_line(one.code)}   -> {one.reason}" for one in scene.tried[:tried]],
            ),
        )
        rendered = _checked(system(manual), user, limit if tried == 0 and wrong == 0 else None)
        if rendered.tokens <= limit:
            return rendered
        if tried > 0:
            tried -= 1
        else:
            wrong -= 1


def render_repair(
    manual: Manual, failures: Sequence[tuple[str, str, str]], *, limit: int = 6_000
) -> Rendered:
    """The prompt that gives candidates back with the compiler's report: (thought, code, report) each."""
    shown = [
        f"Candidate {number}\nthought: {thought}\n```\n{code}\n```\n{report}"
        for number, (thought, code, report) in enumerate(failures, start=1)
    ]
    while True:
        user = _fill("repair", failures="\n\n".join(shown))
        rendered = _checked(system(manual), user, limit if len(shown) == 1 else None)
        if rendered.tokens <= limit:
            return rendered
        shown.pop()


def system(manual: Manual) -> str:
    """The part that all prompts share: task, contract, priors, tables, form of the reply."""
    return _fill(
        "system",
        inputs=manual.inputs,
        operators=manual.operators,
        examples="\n\n".join(manual.examples),
        form=_template("form_program" if manual.program_only else "form_json").template.strip(),
    )


def language_manual(available: Collection[str] | None = None, *, program_only: bool = False) -> Manual:
    """What prompts say about the language, from the engine's tables; only inputs in `available` are told."""
    inputs = [
        f"{name} {{{','.join(axes)}}}: {meaning}"
        for name, axes, meaning in _core.inputs()
        if available is None or name in available
    ]
    inputs += [f"{name}: {meaning}" for name, _, meaning in _core.constants()]
    operators: dict[str, list[str]] = {}
    for row in _core.operators():
        if row["call"]:
            told = f"{row['name']}({row['arguments']}): {row['doc']}"
            operators.setdefault(str(row["kind"]), []).append(told)
    groups = [f"{kind}\n" + "\n".join(f"  {line}" for line in lines) for kind, lines in operators.items()]
    return Manual("\n".join(inputs), "\n".join(groups), EXAMPLES, program_only)


def input_names(table: LayerTable) -> list[str]:
    """Names of the language's inputs that a table holds, those that follow from its units included."""
    shape = {name for name, axes, _ in _core.inputs() if not axes} - {*COLLECTED}
    return [
        name
        for name, _, _ in _core.inputs()
        if name in shape or name in table.columns or name in table.samples
    ]


COLLECTED = (
    "trace", "lambda_max", "cka_sum", "plain", "w_norm2", "act_mean", "act_absmax", "z_std",
)  # fmt: skip
"""Inputs of each unit that must be measured; the others follow from its shape and place."""


def reply_grammar(structured: str, available: Collection[str]) -> str:
    """The grammar of a reply in the notation that the endpoint reads; empty where none is asked for.

    Of a typed one, programs read the inputs in `available` and all compile.
    """
    if structured == "gbnf-typed":
        return typed_grammar(sorted(available))
    notation = {"vllm": "lark", "gbnf": "gbnf", "lark": "lark"}.get(structured)
    return "" if notation is None else _core.grammar(notation)


EXAMPLES = (
    "# squared error weighted by the mean squared gradient\nscore = sum(g2 * square(dw))",
    "# curvature per weight times squared error\nscore = trace / numel * dw2",
    "# noise relative to the signal of the layer\n"
    "noise = sum(x_sq * square(dw), in_, pos)\nscore = mean(noise / (z_var + eps))",
)


def _parent(parent: Shown, wrong: int) -> str:
    lines = [f"thought: {parent.thought}", "```", parent.code, "```", *parent.scores]
    if parent.wrong[:wrong]:
        lines += ["Ranks wrongly:", *(f"- {line}" for line in parent.wrong[:wrong])]
    return "\n".join(lines)


def _section(title: str, lines: Sequence[str]) -> str:
    return f"\n{title}\n" + "\n".join(lines) + "\n" if lines else ""


def _one_line(code: str, limit: int = 160) -> str:
    text = "; ".join(line.strip() for line in code.splitlines() if line.strip())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _checked(system: str, user: str, limit: int | None) -> Rendered:
    tokens = estimate_tokens(system) + estimate_tokens(user)
    if limit is not None and tokens > limit:
        raise PromptTooLong(
            f"the prompt has about {tokens} tokens where {limit} are allowed",
            hint="raise the limit of prompt tokens",
        )
    return Rendered(system, user, tokens)


def _fill(name: str, **values: str) -> str:
    return _template(name).substitute(values).strip() + "\n"


@cache
def _template(name: str) -> Template:
    return Template((files("tap.search") / "templates" / f"{name}.md").read_text(encoding="utf-8"))
