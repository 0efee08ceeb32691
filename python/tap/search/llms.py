"""The models a search asks, as named: `openai:MODEL`, `anthropic:MODEL`, `replay:FILE` or `none`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tap.errors import LLMError
from tap.search.keys import read_key
from tap.search.llm import LLM
from tap.search.recording import read_recording

HINT = "none, openai:MODEL, openai:MODEL@http://host:port/v1, anthropic:MODEL or replay:FILE"
_OPENAI = "https://api.openai.com/v1"
_ANTHROPIC = "https://api.anthropic.com/v1"


def connect(
    llm: str | LLM | Sequence[str | LLM] | None,
    *,
    key_env: str | None = None,
    key_file: str | Path | None = None,
    concurrency: int = 4,
    timeout: float | None = None,
) -> list[LLM]:
    """The models to ask, in order; an empty list for `none`.

    The key comes from `key_file`, else from the environment variable `key_env`, which is OPENAI_API_KEY or
    ANTHROPIC_API_KEY at these companies' own addresses and nothing elsewhere. One request may take `timeout`
    seconds (300). Two models of one name are an `LLMError`.

    >>> connect("none")
    []
    """
    if llm is None:
        return []
    if timeout is not None and not 0 < timeout < float("inf"):
        raise LLMError(f"a timeout of {timeout} s", hint="give a number above 0")
    given = [llm] if isinstance(llm, str) or hasattr(llm, "ask") else list(llm)
    models: list[LLM] = []
    for one in given:
        if one == "none":
            continue
        if isinstance(one, str):
            models += _from_text(
                one, key_env=key_env, key_file=key_file, concurrency=concurrency, timeout=timeout
            )
        else:
            models.append(one)  # type: ignore[arg-type]
    names = [model.name for model in models]
    if len(set(names)) != len(names):
        raise LLMError(f"two models have the same name: {', '.join(names)}", hint="ask each model once")
    return models


def _from_text(
    text: str, *, key_env: str | None, key_file: str | Path | None, concurrency: int, timeout: float | None
) -> Sequence[LLM]:
    kind, _, rest = text.partition(":")
    if kind == "replay" and rest:
        return read_recording(rest)
    if kind not in ("openai", "anthropic") or not rest:
        raise LLMError(f"'{text}' names no model", hint=HINT)
    from tap.search.llm import Endpoint, HttpLLM

    model, _, url = rest.partition("@")
    home, variable = (_OPENAI, "OPENAI_API_KEY") if kind == "openai" else (_ANTHROPIC, "ANTHROPIC_API_KEY")
    env = key_env if key_env is not None else (variable if not url else None)
    endpoint = Endpoint(
        model=model,
        base_url=url or home,
        api="chat" if kind == "openai" else "messages",
        key=read_key(env=None if key_file is not None else env, file=key_file),
        concurrency=concurrency,
    )
    if timeout is not None:
        endpoint = replace(endpoint, read_seconds=timeout, total_seconds=timeout)
    return [HttpLLM(endpoint)]
