"""Asks an LLM over HTTP: one bounded, patient client for chat completions and Anthropic Messages.

A call ends in one of three ways: a `Reply` with text, a `Reply` with an `error` (it failed for good, and the
search goes on without it), or an `LLMError` when no call can succeed (a refused key, an unknown model).
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

import httpx

from tap.errors import LLMError
from tap.search.keys import Key
from tap.search.wire import (
    Reply,
    Request,
    chat_body,
    estimate_tokens,
    messages_body,
    read_chat,
    read_messages,
)

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
FATAL = {401: "refused the key", 402: "asks for payment", 403: "refused the key", 404: "does not know this"}


class LLM(Protocol):
    """What the search needs of a model; used as `async with`."""

    name: str

    async def ask(self, request: Request, attempt: Callable[[], bool]) -> Reply:
        """The reply to `request`; `attempt` is asked each time before it is sent."""
        ...

    async def __aenter__(self) -> Any: ...

    async def __aexit__(self, *exception: object) -> None: ...


@dataclass(frozen=True)
class Endpoint:
    """Where and how to ask."""

    model: str
    base_url: str = "https://api.openai.com/v1"
    api: str = "chat"
    """`chat` for OpenAI-compatible chat completions, `messages` for Anthropic Messages."""
    key: Key = field(default_factory=lambda: Key(""))
    concurrency: int = 4
    retries: int = 4
    """Requests sent again after the first one failed in a way that may pass."""
    connect_seconds: float = 10.0
    read_seconds: float = 300.0
    """Longest silence; a reply that is not streamed is silent until it is whole."""
    total_seconds: float = 300.0
    """Longest time of one request; a slow drip ends here."""
    longest_wait: float = 120.0
    """A `Retry-After` beyond this counts as a failure."""
    max_bytes: int = 4_000_000


class HttpLLM:
    """An `LLM` behind HTTP; `transport` and `sleep` are the seams for tests."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        if endpoint.api not in ("chat", "messages"):
            raise LLMError(f"there is no API '{endpoint.api}'", hint="chat or messages")
        self.name = endpoint.model
        self.endpoint = endpoint
        self._transport = transport
        self._sleep = sleep
        self._jitter = random.Random(endpoint.model)
        self._not_before = 0.0
        self._client: httpx.AsyncClient | None = None
        self._gate: asyncio.Semaphore | None = None

    async def __aenter__(self) -> HttpLLM:
        seconds = self.endpoint
        timeout = httpx.Timeout(
            seconds.read_seconds, connect=seconds.connect_seconds, pool=seconds.total_seconds
        )
        try:
            self._client = httpx.AsyncClient(
                timeout=timeout, transport=self._transport, http2=True, follow_redirects=False
            )
        except ValueError as error:
            raise LLMError(f"the HTTP client cannot be set up: {error}") from error
        self._gate = asyncio.Semaphore(self.endpoint.concurrency)
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._client is not None:
            await self._client.aclose()
        self._client = None

    async def ask(self, request: Request, attempt: Callable[[], bool]) -> Reply:
        """Send `request`, again after failures that may pass; see the three endings above."""
        if self._client is None or self._gate is None:
            raise LLMError("the LLM client is used outside its `async with` block")
        started = time.monotonic()
        async with self._gate:
            tries, failure = 0, _Failure("not sent")
            while True:
                await self._sleep(max(0.0, self._not_before - time.monotonic()))
                if not attempt():
                    break
                tries += 1
                answer = await self._send(self._client, request)
                if isinstance(answer, Reply):
                    return self._accounted(request, answer, tries, time.monotonic() - started)
                failure = answer
                if failure.passes is False or tries > self.endpoint.retries:
                    break
                if not await self._waited(failure, tries):
                    break
        return Reply(error=failure.message, attempts=tries, seconds=time.monotonic() - started)

    async def _send(self, client: httpx.AsyncClient, request: Request) -> Reply | _Failure:
        """One request, read to its end or to a limit."""
        end = self.endpoint
        path = "/chat/completions" if end.api == "chat" else "/messages"
        body = chat_body(request) if end.api == "chat" else messages_body(request)
        try:
            return await asyncio.wait_for(
                self._exchange(client, end.base_url.rstrip("/") + path, body), end.total_seconds
            )
        except asyncio.TimeoutError:
            return _Failure(f"no whole reply within {end.total_seconds:g} s")
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise LLMError(f"the base URL {end.base_url} cannot be used: {error}") from error
        except httpx.HTTPError as error:
            return _Failure(end.key.redact(f"{type(error).__name__}: {error}"))

    async def _exchange(self, client: httpx.AsyncClient, url: str, body: dict[str, Any]) -> Reply | _Failure:
        async with client.stream("POST", url, json=body, headers=self._headers()) as response:
            content = bytearray()
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > self.endpoint.max_bytes:
                    return _Failure(f"the reply is longer than {self.endpoint.max_bytes} bytes", passes=False)
        if response.status_code != 200:
            return self._refusal(response, bytes(content))
        try:
            record = json.loads(bytes(content).decode("utf-8", errors="replace"))
            return read_chat(record) if self.endpoint.api == "chat" else read_messages(record)
        except (ValueError, TypeError, RecursionError) as error:
            return _Failure(f"the reply cannot be read: {error}")

    def _refusal(self, response: httpx.Response, content: bytes) -> _Failure:
        """What a status other than 200 means."""
        status = response.status_code
        said = self.endpoint.key.redact(content[:300].decode("utf-8", errors="replace")).strip()
        message = f"status {status}: {said}" if said else f"status {status}"
        if status in FATAL:
            raise LLMError(
                f"{self.endpoint.base_url} {FATAL[status]} (model {self.endpoint.model}): {message}",
                hint="check the model's name, the base URL and the key",
            )
        if 300 <= status < 400:
            return _Failure(f"{message} (redirects are not followed; correct the base URL)", passes=False)
        wait = retry_after(response.headers.get("retry-after"))
        return _Failure(message, passes=status in RETRIED, wait=wait, all_wait=status in (429, 503, 529))

    async def _waited(self, failure: _Failure, tries: int) -> bool:
        """Wait before the next try: as long as the server says, else doubling with jitter."""
        if failure.wait is not None and failure.wait > self.endpoint.longest_wait:
            return False
        backoff = min(30.0, 0.5 * 2.0**tries) * self._jitter.uniform(0.5, 1.0)
        wait = failure.wait if failure.wait is not None else backoff
        if failure.all_wait:
            self._not_before = max(self._not_before, time.monotonic() + wait)
        await self._sleep(wait + self._jitter.uniform(0.0, 0.1) * wait)
        return True

    def _headers(self) -> dict[str, str]:
        secret = self.endpoint.key.secret
        if self.endpoint.api == "messages":
            return {"anthropic-version": "2023-06-01", **({"x-api-key": secret} if secret else {})}
        return {"authorization": f"Bearer {secret}"} if secret else {}

    def _accounted(self, request: Request, reply: Reply, tries: int, seconds: float) -> Reply:
        """The reply with its tokens (estimated where the server gives none), tries and time."""
        if not reply.counted:
            reply = replace(reply, prompt_tokens=estimate_tokens(request.system + request.user))
        return replace(reply, text=self.endpoint.key.redact(reply.text), attempts=tries, seconds=seconds)


@dataclass(frozen=True)
class _Failure:
    """Why one request gave nothing."""

    message: str
    passes: bool = True
    """Whether asking again may help."""
    wait: float | None = None
    """Seconds the server asks to wait."""
    all_wait: bool = False
    """Whether the other calls should wait as well."""


def retry_after(header: str | None) -> float | None:
    """Seconds of a `Retry-After` header, which is a number or a date; None when it says nothing.

    >>> retry_after("2.5"), retry_after("soon"), retry_after(None)
    (2.5, None, None)
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            moment = parsedate_to_datetime(header)
        except (TypeError, ValueError):
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        seconds = (moment - datetime.now(timezone.utc)).total_seconds()
    return max(0.0, seconds) if seconds == seconds and seconds != float("inf") else None
