"""Replies without a network: recorded ones, read by the hash of the request, and made-up ones for tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tap.errors import LLMError
from tap.files import write_text
from tap.search.wire import Reply, Request, estimate_tokens


class _Offline:
    """An `LLM` that needs no connection."""

    name = "offline"

    async def __aenter__(self) -> _Offline:
        return self

    async def __aexit__(self, *exception: object) -> None:
        return None

    async def ask(self, request: Request, attempt: Callable[[], bool]) -> Reply:
        raise NotImplementedError


class Replay(_Offline):
    """Answers with what was recorded; a request that is not in the recording is an `LLMError`."""

    def __init__(self, replies: Mapping[str, Reply], *, name: str, source: str = "the recording") -> None:
        self.name = name
        self.source = source
        self.replies = dict(replies)

    async def ask(self, request: Request, attempt: Callable[[], bool]) -> Reply:
        """The recorded reply of this very request."""
        reply = self.replies.get(request.key)
        if reply is None:
            raise LLMError(
                f"{self.source} has no reply to this request (key {request.key[:12]}...)",
                hint="replay with the settings, seed, tables and version of tap of the recorded run",
            )
        return reply


class Mock(_Offline):
    """Answers with `answer(request)`, or with the given texts in turn; tokens are estimates."""

    def __init__(self, answer: Callable[[Request], str] | Iterable[str], *, name: str = "mock") -> None:
        self.name = name
        self._answer = answer if callable(answer) else _taking(iter(answer))

    async def ask(self, request: Request, attempt: Callable[[], bool]) -> Reply:
        """The made-up reply."""
        if not attempt():
            return Reply(error="not sent", attempts=0)
        text = self._answer(request)
        prompt = estimate_tokens(request.system + request.user)
        return Reply(
            text=text,
            finish="stop",
            prompt_tokens=prompt,
            reply_tokens=estimate_tokens(text),
            counted=False,
        )


def write_recording(
    path: str | Path, replies: Iterable[tuple[Request, Reply]], *, models: Sequence[str]
) -> None:
    """Write the models, then one JSON line a reply: its key, the request and the reply; never an API key."""
    lines = [json.dumps({"recording": 1, "models": list(models)})]
    lines += [
        json.dumps(
            {"key": request.key, "request": request.as_json(), "reply": reply.as_json()}, sort_keys=True
        )
        for request, reply in replies
    ]
    write_text(path, "".join(line + "\n" for line in lines))


def read_recording(path: str | Path) -> list[Replay]:
    """Read what `write_recording` wrote: one `Replay` a model, in the order of the recorded run."""
    path = Path(path)
    replies: dict[str, Reply] = {}
    models: list[str] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LLMError(f"the recording {path} cannot be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        try:
            record: dict[str, Any] = json.loads(line)
            if number == 1:
                models = [str(model) for model in record["models"]]
            else:
                replies[str(record["key"])] = Reply(**record["reply"])
        except (ValueError, KeyError, TypeError) as error:
            raise LLMError(f"line {number} of {path} is not a recorded reply: {error!r}") from error
    return [Replay(replies, name=model, source=str(path)) for model in models]


def _taking(texts: Iterator[str]) -> Callable[[Request], str]:
    def answer(request: Request) -> str:
        text = next(texts, None)
        if text is None:
            raise LLMError("the mock has no more replies")
        return text

    return answer
