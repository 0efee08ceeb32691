"""Requests and replies of the two APIs, as plain JSON: chat completions and Anthropic Messages.

Everything here is a pure function, so it is tested without a network. Sources: the chat completions
reference of OpenAI and the Messages reference of Anthropic; `structured_outputs` is vLLM's field, `grammar`
is llama.cpp's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

STRUCTURED = ("text", "json_object", "json_schema", "vllm", "gbnf", "gbnf-typed", "lark")
"""How an endpoint can be held to the form of the reply; which one it understands is the user's setting."""

TAG = "tap-llm-request-1"
"""Tag and version of the request hash: another meaning of a request gets another tag."""


@dataclass(frozen=True)
class Request:
    """One question, the same for every API."""

    system: str
    user: str
    model: str
    max_tokens: int = 4096
    temperature: float = 0.5
    structured: str = "text"
    schema: str = ""
    """JSON schema of the reply, as text; empty when the form is free."""
    grammar: str = ""
    """Grammar of the reply, in the notation that `structured` names."""
    sample: int = 0
    """Tells apart two askings of the same question."""

    @property
    def key(self) -> str:
        """Tagged SHA-256 of the canonical request: the name under which its reply is recorded.

        >>> Request("s", "u", "m").key == Request("s", "u", "m", sample=1).key
        False
        """
        canonical = json.dumps([TAG, asdict(self)], sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Reply:
    """What came back; a call that failed for good is a reply with an `error`, so that it can be stored."""

    text: str = ""
    finish: str = ""
    """Why the model stopped, in the words of the API; anything unknown is kept as it is."""
    prompt_tokens: int = 0
    reply_tokens: int = 0
    counted: bool = True
    """Whether the endpoint reported its tokens; otherwise they are estimates."""
    money: float | None = None
    """None when the price is unknown."""
    attempts: int = 1
    """Requests sent for it, the retries included; 0 when it was never sent."""
    seconds: float = 0.0
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def estimate_tokens(text: str) -> int:
    """Tokens of `text`, guessed from above for English and code at three characters each.

    >>> estimate_tokens("abcdef")
    2
    """
    return -(-len(text) // 3)


def chat_body(request: Request) -> dict[str, Any]:
    """Body of POST /chat/completions."""
    messages = [{"role": "system", "content": request.system}, {"role": "user", "content": request.user}]
    body: dict[str, Any] = {
        "model": request.model,
        "messages": messages,
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
    }
    if request.structured == "json_object":
        body["response_format"] = {"type": "json_object"}
    elif request.structured == "json_schema" and request.schema:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "candidates", "strict": True, "schema": json.loads(request.schema)},
        }
    elif request.structured == "vllm" and request.grammar:
        body["structured_outputs"] = {"grammar": request.grammar}
    elif request.structured in ("gbnf", "gbnf-typed") and request.grammar:
        body["grammar"] = request.grammar
    elif request.structured == "lark" and request.grammar:
        grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": request.grammar}}
        tool = {"name": "submit", "description": "Submit the proxy program.", "format": grammar}
        body["tools"] = [{"type": "custom", "custom": tool}]
        body["tool_choice"] = "required"
    return body


def read_chat(record: Any) -> Reply:
    """Reply of POST /chat/completions; a `ValueError` when there is no text in it."""
    choice = _first(_mapping(record).get("choices"))
    message = _mapping(choice.get("message"))
    text = _text(message.get("content"))
    for call in message.get("tool_calls") or []:
        called = _mapping(call)
        text += str(_mapping(called.get("custom") or {}).get("input") or "")
        text += str(_mapping(called.get("function") or {}).get("arguments") or "")
    usage = _mapping(_mapping(record).get("usage") or {})
    return _reply(
        text, choice.get("finish_reason"), usage.get("prompt_tokens"), usage.get("completion_tokens")
    )


def messages_body(request: Request) -> dict[str, Any]:
    """Body of POST /v1/messages; a JSON schema becomes a tool that must be used."""
    body: dict[str, Any] = {
        "model": request.model,
        "system": request.system,
        "messages": [{"role": "user", "content": request.user}],
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
    }
    if request.structured == "json_schema" and request.schema:
        tool = {
            "name": "submit",
            "description": "Submit the candidates.",
            "input_schema": json.loads(request.schema),
        }
        body["tools"] = [tool]
        body["tool_choice"] = {"type": "tool", "name": "submit"}
    return body


def read_messages(record: Any) -> Reply:
    """Reply of POST /v1/messages; a `ValueError` when there is no text in it."""
    answer = _mapping(record)
    text = ""
    for block in answer.get("content") or []:
        part = _mapping(block)
        if part.get("type") == "text":
            text += str(part.get("text") or "")
        elif part.get("type") == "tool_use":
            text += json.dumps(part.get("input"))
    usage = _mapping(answer.get("usage") or {})
    return _reply(text, answer.get("stop_reason"), usage.get("input_tokens"), usage.get("output_tokens"))


def _reply(text: str, finish: Any, prompt_tokens: Any, reply_tokens: Any) -> Reply:
    if not text.strip():
        raise ValueError("the reply holds no text")
    counted = isinstance(prompt_tokens, int) and isinstance(reply_tokens, int)
    return Reply(
        text=text,
        finish=str(finish) if finish is not None else "",
        prompt_tokens=max(0, prompt_tokens) if counted else 0,
        reply_tokens=max(0, reply_tokens) if counted else estimate_tokens(text),
        counted=counted,
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"expected an object, found {type(value).__name__}")
    return value


def _first(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, list) or not value:
        raise ValueError("the reply holds no choices")
    return _mapping(value[0])


def _text(content: Any) -> str:
    """Content is a string, or a list of parts in some servers; reasoning parts are left out."""
    if isinstance(content, list):
        parts = [_mapping(part) for part in content]
        return "".join(str(part.get("text") or "") for part in parts if part.get("type") in ("text", None))
    return str(content) if content is not None else ""
