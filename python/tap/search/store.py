"""One SQLite file that holds a whole search: settings, prompts, replies, candidates, scores, states.

Each method that writes is one transaction, so whenever the process dies the file stands between two steps.
One process at a time: the file is locked while it is open, and the system drops the lock of a dead process.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any

from tap.errors import StoreError
from tap.search.migrations import MIGRATIONS
from tap.search.records import Candidate, Generation, Prompt
from tap.search.wire import Reply, Request

APPLICATION_ID = 0x7461704D
"""Marks the file as a search store of tap (SQLite's application id)."""


class Store:
    """An open store; used as `with Store(path) as store`."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._connection = sqlite3.connect(
                self.path, isolation_level=None, timeout=0.0, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise StoreError(f"the store {path} cannot be opened: {error}") from error
        try:
            with self._readable():
                self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.execute("PRAGMA foreign_keys = ON")
                self._migrate()
        except StoreError:
            self._connection.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    # ---- the run

    def begin(self, settings: Mapping[str, Any], inputs: Mapping[str, Any], version: str) -> None:
        """Record the run; the store must not hold one."""
        if self.run() is not None:
            raise StoreError(f"{self.path} already holds a run", hint=f"tap search --resume {self.path}")
        with self._transaction() as do:
            row = (json.dumps(settings, sort_keys=True), json.dumps(inputs, sort_keys=True), version)
            do.execute("INSERT INTO run VALUES (1, ?, ?, ?, 'running', '')", row)

    def run(self) -> tuple[dict[str, Any], dict[str, Any], str, str] | None:
        """(settings, inputs, status, reason) of the run, or None in an empty store."""
        row = self._all("SELECT settings, inputs, status, reason FROM run")
        return (json.loads(row[0][0]), json.loads(row[0][1]), row[0][2], row[0][3]) if row else None

    def finish(self, reason: str) -> None:
        """Mark the run as ended for `reason`."""
        with self._transaction() as do:
            do.execute("UPDATE run SET status = 'finished', reason = ?", (reason,))

    def reopen(self, settings: Mapping[str, Any]) -> None:
        """Let an ended run go on, under settings with a larger budget."""
        with self._transaction() as do:
            do.execute(
                "UPDATE run SET status = 'running', reason = '', settings = ?",
                (json.dumps(settings, sort_keys=True),),
            )

    # ---- one generation, in the order of its steps

    def plan(self, number: int, prompts: Sequence[Prompt]) -> None:
        """Open generation `number` (if new) and record the prompts of a wave before any is asked."""
        with self._transaction() as do:
            do.execute(
                "INSERT OR IGNORE INTO generations VALUES (?, 0, '{}', '[]', '{}', '{}', 0.0)", (number,)
            )
            for prompt in prompts:
                _insert(
                    do,
                    "prompts",
                    generation=number,
                    wave=prompt.wave,
                    slot=prompt.slot,
                    arm=prompt.arm,
                    operator=prompt.operator,
                    parents=json.dumps(prompt.parents),
                    request_key=prompt.request.key,
                    request=json.dumps(prompt.request.as_json(), sort_keys=True),
                )

    def planned(self, number: int) -> bool:
        """Whether generation `number` has been planned."""
        return bool(self._all("SELECT 1 FROM generations WHERE number = ?", number))

    def prompts(self, number: int, wave: int) -> list[Prompt]:
        """The prompts of a wave, by slot."""
        rows = self._all(
            "SELECT id, slot, arm, operator, parents, request FROM prompts"
            " WHERE generation = ? AND wave = ? ORDER BY slot",
            number,
            wave,
        )
        return [
            Prompt(number, wave, slot, arm, operator, tuple(json.loads(parents)), _request(request), id)
            for id, slot, arm, operator, parents, request in rows
        ]

    def answer(self, prompt: int, reply: Reply) -> None:
        """Record what came back, before anything uses it."""
        with self._transaction() as do:
            _insert(do, "replies", prompt=prompt, **reply.as_json())

    def reply(self, prompt: int) -> Reply | None:
        """The recorded reply of a prompt."""
        rows = self._all(f"SELECT {_REPLY} FROM replies WHERE prompt = ?", prompt)
        return _reply(rows[0]) if rows else None

    def complete(self, generation: Generation, candidates: Sequence[Candidate]) -> None:
        """Record all candidates of a generation and the state after it."""
        with self._transaction() as do:
            do.execute(
                "INSERT OR REPLACE INTO generations VALUES (?, 1, ?, ?, ?, ?, ?)",
                (
                    generation.number,
                    json.dumps(generation.controller, sort_keys=True),
                    json.dumps(generation.population),
                    json.dumps(generation.summary, sort_keys=True),
                    json.dumps(generation.random, sort_keys=True),
                    generation.seconds,
                ),
            )
            for one in candidates:
                row = {field.name: getattr(one, field.name) for field in fields(one)}
                scores = row.pop("scores")
                _insert(do, "candidates", **{**row, "parents": json.dumps(one.parents)})
                for net, metric, value in scores:
                    _insert(do, "scores", candidate=one.id, net=net, metric=metric, value=value)

    def generations(self) -> list[Generation]:
        """All completed generations, in order."""
        rows = self._all(
            "SELECT number, controller, population, summary, random, seconds FROM generations"
            " WHERE done = 1 ORDER BY number"
        )
        return [
            Generation(
                number,
                json.loads(controller),
                tuple(tuple(island) for island in json.loads(population)),
                json.loads(summary),
                json.loads(random),
                seconds,
            )
            for number, controller, population, summary, random, seconds in rows
        ]

    def candidates(self) -> list[Candidate]:
        """All candidates of completed generations, in order."""
        scores: dict[int, list[tuple[str, str, float]]] = {}
        for candidate, net, metric, value in self._all(
            "SELECT candidate, net, metric, value FROM scores ORDER BY candidate, rowid"
        ):
            scores.setdefault(candidate, []).append((net, metric, value))
        columns = [field.name for field in fields(Candidate) if field.name != "scores"]
        found = []
        for row in self._all(f"SELECT {', '.join(columns)} FROM candidates ORDER BY id"):
            record = dict(zip(columns, row, strict=True))
            record["parents"] = tuple(json.loads(record["parents"]))
            found.append(Candidate(**record, scores=tuple(scores.get(record["id"], ()))))
        return found

    # ---- the recording

    def recording(self) -> list[tuple[Request, Reply]]:
        """Every request with its reply, in the order of asking."""
        rows = self._all(
            f"SELECT request, {_REPLY} FROM prompts JOIN replies ON replies.prompt = prompts.id"
            " ORDER BY prompts.id"
        )
        return [(_request(row[0]), _reply(row[1:])) for row in rows]

    # ---- within

    def _migrate(self) -> None:
        """Take up the steps that this file lacks, each one a transaction with its number."""
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        (mark,) = self._connection.execute("PRAGMA application_id").fetchone()
        if mark not in (0, APPLICATION_ID) or (mark == 0 and self._all("SELECT 1 FROM sqlite_master")):
            raise StoreError(
                f"{self.path} is a database of something else", hint="name a new file with --store"
            )
        if version > len(MIGRATIONS):
            raise StoreError(
                f"{self.path} has version {version}; this tap knows up to {len(MIGRATIONS)}",
                hint="use the tap that wrote it, or a newer one",
            )
        for number in range(version, len(MIGRATIONS)):
            with self._transaction() as do:
                for statement in MIGRATIONS[number].split(";"):
                    do.execute(statement)
                do.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                do.execute(f"PRAGMA user_version = {number + 1}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing."""
        with self._readable():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Turn what SQLite says into a `StoreError`."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise StoreError(
                    f"{self.path} is in use by another process",
                    hint="wait until it ends, or name another file with --store",
                ) from error
            raise StoreError(f"the store {self.path} cannot be used: {error}") from error
        except sqlite3.Error as error:
            raise StoreError(f"the store {self.path} is damaged: {error}") from error

    def _all(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._readable():
            return self._connection.execute(query, values).fetchall()


def _insert(do: sqlite3.Connection, table: str, **row: Any) -> None:
    """Insert one row; the table and column names are the program's own."""
    marks = ", ".join("?" * len(row))
    do.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


_REPLY = "text, finish, prompt_tokens, reply_tokens, counted, money, attempts, seconds, error"


def _reply(row: tuple[Any, ...]) -> Reply:
    text, finish, prompt_tokens, reply_tokens, counted, money, attempts, seconds, error = row
    return Reply(text, finish, prompt_tokens, reply_tokens, bool(counted), money, attempts, seconds, error)


def _request(text: str) -> Request:
    return Request(**json.loads(text))
