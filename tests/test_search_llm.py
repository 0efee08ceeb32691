"""The LLM client: both APIs, retries, limits, keys, recordings; against a transport and a real bad server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import httpx
import pytest

from servers import misbehaving as bad
from tap.errors import LLMError
from tap.search.keys import Key, read_key
from tap.search.llm import Endpoint, HttpLLM, retry_after
from tap.search.llms import connect
from tap.search.recording import Mock, read_recording, write_recording
from tap.search.wire import Reply, Request, chat_body, messages_body, read_chat, read_messages

SECRET = "sk-verysecret-123"
REQUEST = Request("system text", "user text", "m", max_tokens=100, temperature=0.5)


async def no_sleep(seconds: float) -> None:
    return None


def ask(llm: Any, request: Request = REQUEST, attempt: Callable[[], bool] = lambda: True) -> Reply:
    async def go() -> Reply:
        async with llm:
            return await llm.ask(request, attempt)

    return asyncio.run(go())


def client(handler: Callable[[httpx.Request], httpx.Response], **endpoint: Any) -> HttpLLM:
    return HttpLLM(
        Endpoint("m", base_url="http://host/v1", key=Key(SECRET), **endpoint),
        transport=httpx.MockTransport(handler),
        sleep=no_sleep,
    )


def ok(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=bad.completion("hello"))


# ---- wire


def test_chat_request_and_reply() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return ok(request)

    reply = ask(client(handler))
    assert (reply.text, reply.finish, reply.prompt_tokens, reply.reply_tokens) == ("hello", "stop", 100, 50)
    assert str(seen[0].url) == "http://host/v1/chat/completions"
    assert seen[0].headers["authorization"] == f"Bearer {SECRET}"
    sent = json.loads(seen[0].content)
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert (sent["model"], sent["max_tokens"]) == ("m", 100)


def test_messages_request_and_reply() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        content = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "hello"}]
        usage = {"input_tokens": 7, "output_tokens": 3}
        return httpx.Response(200, json={"content": content, "stop_reason": "end_turn", "usage": usage})

    reply = ask(client(handler, api="messages"))
    assert (reply.text, reply.finish, reply.prompt_tokens, reply.reply_tokens) == ("hello", "end_turn", 7, 3)
    assert seen[0].url.path == "/v1/messages"
    assert seen[0].headers["x-api-key"] == SECRET
    assert seen[0].headers["anthropic-version"]
    assert json.loads(seen[0].content)["system"] == "system text"


@pytest.mark.parametrize(
    ("structured", "field"),
    [
        ("json_object", "response_format"),
        ("json_schema", "response_format"),
        ("vllm", "structured_outputs"),
        ("gbnf", "grammar"),
        ("lark", "tools"),
        ("text", None),
    ],
)
def test_structured_output_by_capability(structured: str, field: str | None) -> None:
    body = chat_body(Request("s", "u", "m", structured=structured, schema='{"type": "object"}', grammar="g"))
    assert set(body) - {"model", "messages", "max_tokens", "temperature", "tool_choice"} == (
        {field} if field else set()
    )
    json.dumps(body)


def test_structured_replies_are_read() -> None:
    tool = {"tool_calls": [{"type": "custom", "custom": {"name": "submit", "input": "score = 1"}}]}
    assert read_chat({"choices": [{"message": tool}]}).text == "score = 1"
    parts = [{"type": "text", "text": "a"}, {"type": "reasoning", "text": "b"}]
    assert read_chat({"choices": [{"message": {"content": parts}}]}).text == "a"
    body = messages_body(Request("s", "u", "m", structured="json_schema", schema='{"type": "object"}'))
    assert body["tool_choice"] == {"type": "tool", "name": "submit"}
    assert read_messages({"content": [{"type": "tool_use", "input": {"code": "x"}}]}).text == '{"code": "x"}'


def test_missing_usage_is_estimated_and_said() -> None:
    reply = read_chat({"choices": [{"message": {"content": "abcdef"}}]})
    assert (reply.reply_tokens, reply.counted) == (2, False)
    whole = ask(
        client(lambda request: httpx.Response(200, json={"choices": [{"message": {"content": "abc"}}]}))
    )
    assert whole.prompt_tokens > 0


# ---- failures


@pytest.mark.parametrize("code", [408, 409, 429, 500, 502, 503, 504, 529])
def test_passing_failures_are_retried(code: int) -> None:
    answers = [
        httpx.Response(code),
        httpx.Response(code),
        httpx.Response(200, content=bad.completion("hello")),
    ]
    reply = ask(client(lambda request: answers.pop(0)))
    assert (reply.text, reply.attempts, reply.error) == ("hello", 3, "")


@pytest.mark.parametrize("code", [400, 413, 422, 302, 307])
def test_lasting_failures_are_not_retried(code: int) -> None:
    reply = ask(client(lambda request: httpx.Response(code, headers={"location": "http://elsewhere/"})))
    assert reply.attempts == 1
    assert f"status {code}" in reply.error


@pytest.mark.parametrize("code", [401, 403, 404])
def test_hopeless_failures_stop_everything(code: int) -> None:
    with pytest.raises(LLMError, match=f"status {code}"):
        ask(client(lambda request: httpx.Response(code)))


def test_retries_end_and_are_refusable() -> None:
    always = client(lambda request: httpx.Response(500), retries=3)
    assert ask(always).attempts == 4
    allowed = [True, True]
    assert ask(always, attempt=lambda: bool(allowed and allowed.pop())).attempts == 2
    assert ask(always, attempt=lambda: False) == Reply(error="not sent", attempts=0, seconds=ANY)


def test_waits_as_long_as_the_server_says() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    answers = [
        httpx.Response(429, headers={"retry-after": "7"}),
        httpx.Response(200, content=bad.completion("hello")),
    ]
    llm = HttpLLM(
        Endpoint("m", base_url="http://host"),
        transport=httpx.MockTransport(lambda request: answers.pop(0)),
        sleep=sleep,
    )
    assert ask(llm).text == "hello"
    assert any(7.0 <= wait <= 7.7 for wait in waits)
    too_long = client(lambda request: httpx.Response(429, headers={"retry-after": "86400"}))
    assert ask(too_long).attempts == 1


def test_retry_after_forms() -> None:
    assert retry_after("3") == 3.0
    assert retry_after("-3") == 0.0
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert [retry_after(text) for text in ("nan", "inf", "never", "")] == [None] * 4


def test_concurrency_is_bounded() -> None:
    now, most = 0, 0

    async def handler(request: httpx.Request) -> httpx.Response:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        return ok(request)

    async def go() -> None:
        llm = HttpLLM(
            Endpoint("m", base_url="http://host", concurrency=3), transport=httpx.MockTransport(handler)
        )
        async with llm:
            await asyncio.gather(*(llm.ask(REQUEST, lambda: True) for _ in range(12)))

    asyncio.run(go())
    assert most == 3


# ---- a real server


def endpoint(server: bad.Server, **more: Any) -> Endpoint:
    settings: dict[str, Any] = {"read_seconds": 2.0, "total_seconds": 1.0, "retries": 1, "key": Key(SECRET)}
    return Endpoint("m", base_url=server.url, **{**settings, **more})


@pytest.mark.parametrize(
    ("act", "attempts"),
    [
        (bad.status(429, retry_after="0.01"), 2),
        (bad.status(429), 2),
        (bad.status(500), 2),
        (bad.status(503, retry_after="0"), 2),
        (bad.cut(), 2),
        (bad.hang_up, 2),
        (bad.drip(1.5), 2),
        (bad.body(b'{"choices": [{"mess'), 2),
        (bad.body(b"<html>busy</html>", content_type="text/html"), 2),
        (bad.body(b"[" * 200_000), 2),
        (bad.body(b"\xff\xfe\x00"), 2),
        (bad.body(b'{"choices": []}'), 2),
        (bad.body(bad.completion("")), 2),
        (bad.body(bad.completion("hello"), content_type="image/png"), 1),
        (bad.body(bad.completion("hello", finish="sun_exploded")), 1),
        (bad.body(bad.completion("hello", finish=None)), 1),
    ],
)
def test_bad_server_is_survived(act: bad.Act, attempts: int) -> None:
    with bad.Server([act]) as server:
        reply = ask(HttpLLM(endpoint(server)))
        assert (reply.text, reply.attempts, reply.error) == ("hello", attempts, "")


def test_bad_server_that_stays_bad_is_a_failed_call() -> None:
    with bad.Server([bad.body(b"x" * 10_000_000), bad.status(301, location="http://127.0.0.1:1/")]) as server:
        llm = HttpLLM(endpoint(server))
        assert "longer than" in ask(llm).error
        assert "redirects are not followed" in ask(llm).error
        assert ask(llm).text == "hello"


def test_nobody_listens() -> None:
    with bad.Server() as server:
        gone = server.url
    reply = ask(HttpLLM(Endpoint("m", base_url=gone, retries=0)))
    assert "Connect" in reply.error
    with pytest.raises(LLMError):
        ask(HttpLLM(Endpoint("m", base_url="no-scheme/v1")))


# ---- keys


def test_key_shows_nowhere() -> None:
    echo = client(lambda request: httpx.Response(400, text=f"bad key {request.headers['authorization']}"))
    assert SECRET not in ask(echo).error
    assert SECRET not in repr(echo.endpoint)
    assert SECRET not in str(echo.endpoint.key)
    with pytest.raises(LLMError) as caught:
        ask(client(lambda request: httpx.Response(401, text=f"bad key {SECRET}")))
    assert SECRET not in str(caught.value)
    said = client(lambda request: httpx.Response(200, content=bad.completion(f"your key is {SECRET}")))
    assert SECRET not in ask(said).text


def test_key_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", SECRET)
    assert read_key(env="SOME_KEY", file=None).secret == SECRET
    (tmp_path / "key").write_text(f"{SECRET}\n")
    assert read_key(env=None, file=tmp_path / "key").secret == SECRET
    assert read_key(env=None, file=None).secret == ""
    monkeypatch.delenv("SOME_KEY")
    with pytest.raises(LLMError, match="SOME_KEY"):
        read_key(env="SOME_KEY", file=None)
    with pytest.raises(LLMError):
        read_key(env=None, file=tmp_path / "none")


# ---- offline


def test_request_key_is_stable() -> None:
    assert REQUEST.key == "b41e7e45d7382690e4e6b304e6261843be0a2b301ea80f43457d4aeccdfdfbdd"


def test_recording_round_trip(tmp_path: Path) -> None:
    pairs = [(Request("s", f"u{n}", "m"), Reply(f"t{n}", "stop", 1, 2, True, None, 3, 0.5)) for n in range(3)]
    write_recording(tmp_path / "r.jsonl", pairs, models=["m", "n"])
    replay, second = read_recording(tmp_path / "r.jsonl")
    assert (replay.name, second.name) == ("m", "n")
    assert [ask(replay, request) for request, _ in pairs] == [reply for _, reply in pairs]
    with pytest.raises(LLMError, match="no reply to this request"):
        ask(replay, Request("s", "other", "m"))
    (tmp_path / "bad.jsonl").write_text('{"recording": 1}\n')
    with pytest.raises(LLMError, match="line 1"):
        read_recording(tmp_path / "bad.jsonl")


def test_mock_answers_in_turn() -> None:
    mock = Mock(["a", "b"])
    assert [ask(mock).text, ask(mock).text] == ["a", "b"]
    with pytest.raises(LLMError, match="no more replies"):
        ask(mock)


def test_a_timeout_holds_for_silence_and_for_the_whole_request() -> None:
    (llm,) = connect("openai:m@http://host/v1", timeout=7.0)
    assert isinstance(llm, HttpLLM)
    assert (llm.endpoint.read_seconds, llm.endpoint.total_seconds) == (7.0, 7.0)
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(LLMError, match="timeout"):
            connect("openai:m@http://host/v1", timeout=wrong)
