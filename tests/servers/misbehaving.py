"""A local chat-completions server that misbehaves on schedule: one act a request, then it behaves."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Act = Callable[["Handler"], None]


def completion(text: str, finish: str | None = "stop", **extra: Any) -> bytes:
    """A well-formed chat completion."""
    message = {"role": "assistant", "content": text}
    record = {
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 50},
        **extra,
    }
    return json.dumps(record).encode()


class Handler(BaseHTTPRequestHandler):
    """Plays the next act of the server's schedule."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        act = self.server.next_act(json.loads(body), dict(self.headers))
        act(self)

    def give(self, status: int, body: bytes, *, length: int | None = None, **headers: str) -> None:
        """Send a response whose announced length may be a lie."""
        self.send_response(status)
        headers.setdefault("content_type", "application/json")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Keep quiet."""


class Server(ThreadingHTTPServer):
    """Use as `with Server(acts, answer=...) as server`, then ask `server.url`."""

    daemon_threads = True

    def __init__(
        self, acts: Sequence[Act] = (), *, answer: Callable[[Any], str] = lambda body: "hello"
    ) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.acts = list(acts)
        self.answer = answer
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def __enter__(self) -> Server:
        self.thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()
        self.server_close()
        self.thread.join()

    def next_act(self, body: Any, headers: dict[str, str]) -> Act:
        with self.lock:
            self.bodies.append(body)
            self.headers.append(headers)
            if self.acts:
                return self.acts.pop(0)
        return lambda handler: handler.give(200, completion(self.answer(body)))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the play."""


def status(code: int, body: bytes = b"{}", **headers: str) -> Act:
    """Answer with that status."""
    return lambda handler: handler.give(code, body, **headers)


def body(content: bytes, **headers: str) -> Act:
    """Answer 200 with that body, whatever it is."""
    return lambda handler: handler.give(200, content, **headers)


def cut(content: bytes = b'{"choices": [') -> Act:
    """Announce more than is sent, then hang up."""

    def act(handler: Handler) -> None:
        handler.give(200, content, length=len(content) + 1000)
        handler.close_connection = True

    return act


def hang_up(handler: Handler) -> None:
    """Close without a word."""
    handler.close_connection = True


def drip(seconds: float) -> Act:
    """Send one byte every 20 ms for that long."""

    def act(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", "1000000")
        handler.end_headers()
        until = time.monotonic() + seconds
        try:
            while time.monotonic() < until:
                handler.wfile.write(b" ")
                time.sleep(0.02)
        except OSError:
            pass
        handler.close_connection = True

    return act
