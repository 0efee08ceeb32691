"""Small whole searches for tests; also run as a program that is killed after a given commit."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from search_world import net
from tap.search import start
from tap.search.config import Settings
from tap.search.recording import Mock
from tap.search.result import SearchResult
from tap.search.store import Store
from tap.search.wire import Request

SETTINGS = Settings(generations=2, calls=2, children=2, population=4, controller="dpo", local=300)
REFERENCES = {"squared error": "score = dw2", "trace": "score = trace * dw2"}
IDEAS = (
    "score = sum(g2 * square(dw))",
    "score = dw2 * numel",
    "score = trace / numel * sum(square(dw))",
    "score = summ(square(dw))",
    "score = sum(abs(dw)) * bits",
    "score = norm2(dw) / norm2(w)",
    "score = max(abs(dw)) * trace",
    "score = log(0 * bits)",
)


def answer(request: Request) -> str:
    """Two candidates that depend on the request alone; repairs give a program that compiles."""
    if "rejected by the compiler" in request.user:
        return json.dumps(
            {"candidates": [{"thought": "repaired", "code": "score = sum(square(dw)) * numel"}]}
        )
    first = int(request.key[:8], 16)
    ideas = [IDEAS[first % len(IDEAS)], IDEAS[(first // 7 + 3) % len(IDEAS)]]
    return json.dumps(
        {"candidates": [{"thought": f"idea {n}", "code": code} for n, code in enumerate(ideas)]}
    )


def run(store: Path | None, **changes: Any) -> SearchResult:
    """A search over two made-up nets with a third one held out."""
    nets, held = [net(1), net(2)], net(3)
    options: dict[str, Any] = {
        "llm": Mock(answer),
        "settings": SETTINGS,
        "references": REFERENCES,
        "held_out": [("held", held.table, held.target)],
        "store": store,
        **changes,
    }
    return start.search([one.table for one in nets], [one.target for one in nets], **options)


def content(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables of a store, without the columns that hold wall time."""
    connection = sqlite3.connect(path)
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {}
    for name in sorted(names):
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})") if row[1] != "seconds"]
        found[name] = sorted(connection.execute(f"SELECT {', '.join(columns)} FROM {name}"), key=repr)
    connection.close()
    return found


def dying(after: int) -> None:
    """From now on, kill this process right after commit number `after`, as `kill -9` would."""
    commits = 0
    transaction = Store._transaction

    @contextmanager
    def counted(self: Store) -> Any:
        nonlocal commits
        with transaction(self) as do:
            yield do
        commits += 1
        if commits == after:
            os.kill(os.getpid(), signal.SIGKILL)

    Store._transaction = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    dying(int(sys.argv[2]))
    run(Path(sys.argv[1]))
