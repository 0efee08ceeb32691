"""The store: what is written is read again, one process at a time, old and foreign files."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tap.errors import StoreError
from tap.search.migrations import MIGRATIONS
from tap.search.records import Candidate, Generation, Prompt
from tap.search.store import Store
from tap.search.wire import Reply, Request


def prompt(slot: int) -> Prompt:
    return Prompt(1, 0, slot, 2, "crossover", (3, 4), Request("system", f"user {slot}", "m"))


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    generation = Generation(1, {"theta": [0.25, 1.0]}, ((1, 2), (3,)), {"best": 0.5}, {"seed": 7}, 1.5)
    candidates = [
        Candidate(1, 1, "init", (), "thought", "score = sum(dw)", "h", "s", "kept", "", 0.5, 3, None)
    ]
    scored = Candidate(2, 1, "local", (1,), "", "x", fitness=None, scores=(("a", "agreement", 0.25),))
    with Store(path) as store:
        store.begin({"seed": 1}, {"nets": ["a"]}, "0.1.0")
        store.plan(1, [prompt(0), prompt(1)])
        first, second = store.prompts(1, 0)
        assert (first.parents, first.request) == ((3, 4), prompt(0).request)
        assert store.reply(first.id) is None
        store.answer(second.id, Reply("text", "stop", 10, 20, True, None, 2, 0.5))
        store.complete(generation, [*candidates, scored])
        store.finish("generations")
    with Store(path) as store:
        assert store.run() == ({"seed": 1}, {"nets": ["a"]}, "finished", "generations")
        assert store.reply(second.id) == Reply("text", "stop", 10, 20, True, None, 2, 0.5)
        assert store.recording() == [(prompt(1).request, Reply("text", "stop", 10, 20, True, None, 2, 0.5))]
        assert store.generations() == [generation]
        assert store.candidates() == [*candidates, scored]
        assert store.candidates()[1].score("a", "agreement") == 0.25


def test_an_unfinished_step_leaves_no_trace(tmp_path: Path) -> None:
    with Store(tmp_path / "run.db") as store:
        store.begin({}, {}, "0")
        with pytest.raises(StoreError):
            store.plan(1, [prompt(0), prompt(0)])
        assert not store.planned(1)
        assert store.prompts(1, 0) == []


def test_a_reply_is_stored_once(tmp_path: Path) -> None:
    with Store(tmp_path / "run.db") as store:
        store.plan(1, [prompt(0)])
        (only,) = store.prompts(1, 0)
        store.answer(only.id, Reply("first"))
        with pytest.raises(StoreError):
            store.answer(only.id, Reply("second"))
        assert store.reply(only.id) == Reply("first")


def test_second_run_in_a_store_is_refused(tmp_path: Path) -> None:
    with Store(tmp_path / "run.db") as store:
        store.begin({}, {}, "0")
        with pytest.raises(StoreError, match="already holds a run"):
            store.begin({}, {}, "0")


def test_second_process_is_told(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    program = f"from tap.search.store import Store; Store({str(path)!r})"
    with Store(path):
        with pytest.raises(StoreError, match="in use by another process"):
            Store(path)
        other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert other.returncode != 0
        assert "is in use by another process" in other.stderr
    Store(path).close()


def test_foreign_and_newer_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database, but long enough to look at" * 40)
    with pytest.raises(StoreError, match="damaged"):
        Store(tmp_path / "text.db")
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE t (x)")
    other.close()
    with pytest.raises(StoreError, match="something else"):
        Store(tmp_path / "other.db")
    Store(tmp_path / "new.db").close()
    newer = sqlite3.connect(tmp_path / "new.db")
    newer.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    newer.close()
    with pytest.raises(StoreError, match="newer"):
        Store(tmp_path / "new.db")
    with pytest.raises(StoreError):
        Store(tmp_path / "no" / "folder.db")


def test_damage_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with Store(path) as store:
        store.begin({"x": "y" * 20_000}, {}, "0")
    content = bytearray(path.read_bytes())
    content[4096:] = b"\x07" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StoreError), Store(path) as store:
        store.run()
