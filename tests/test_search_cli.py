"""`tap search`: from files to programs on disk, resumed, and refused with a hint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from search_world import table, truth
from servers.misbehaving import Server
from tap.cli.app import run
from tap.sensitivity import Sensitivity


def served(request: dict) -> str:
    """Candidates that depend on the prompt alone."""
    size = len(request["messages"][-1]["content"]) % 7 + 1
    code = f"score = sum(g2 * square(dw)) * numel ** {size / 10}"
    return json.dumps({"candidates": [{"thought": "weighted error", "code": code}]})


def files(folder: Path, seed: int) -> tuple[str, str]:
    """A table and a sensitivity of a made-up network."""
    world = table(seed)
    values = truth(world)
    names = tuple(unit.name for unit in world.units)
    target = Sensitivity(names, world.formats, values, np.zeros_like(values), 0.99, world.fingerprint)
    world.save(folder / f"net{seed}.safetensors")
    target.save(folder / f"truth{seed}.safetensors")
    return str(folder / f"net{seed}.safetensors"), str(folder / f"truth{seed}.safetensors")


def test_search_writes_programs_and_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (one, first), (two, second), (held, last) = (files(tmp_path, seed) for seed in (1, 2, 3))
    command = ["search", "-t", one, "-t", two, "--target", first, "--target", second, "--seed", "1"]
    sizes = ["--generations", "1", "--local", "300"]
    store, out = str(tmp_path / "run.db"), tmp_path / "found"
    rest = ["--store", store, "--out", str(out), "--held-out", f"{held},{last}", "--json",
            "--validation", ",".join(files(tmp_path, 4))]  # fmt: skip
    assert run([*command, *sizes, *rest]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"agreement net3", "agreement net4"} <= rows[0].keys()
    assert (out / "best-1.tap").is_file()
    assert run([*command, *sizes, "--store", store]) == 2
    assert run([*command, "--resume", store, "--held-out", f"{held},{last}", "--quiet"]) == 0
    capsys.readouterr()
    assert run(["search", "--resume", store, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == rows
    assert run(["search", "--resume", store, "--json", "--generations", "2"]) == 0
    assert run(["search", "--resume", str(tmp_path / "none.db")]) == 2
    assert run(["search"]) == 2
    assert run([*command, "--llm", "gpt"]) == 1
    assert "error" in capsys.readouterr().err


def test_a_recorded_run_replays_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, first = files(tmp_path, 1)
    command = ["search", "-t", one, "--target", first, "--seed", "1", "--local", "300", "--generations", "2"]
    recording, bests = str(tmp_path / "run.jsonl"), []
    with Server([], answer=served) as server:
        models = ["--llm", f"openai:m@{server.url}", "--record", recording]
        assert run([*command, *models, "--out", str(tmp_path / "a"), "--quiet"]) == 0
        assert server.bodies
    assert run([*command, "--llm", f"replay:{recording}", "--out", str(tmp_path / "b"), "--quiet"]) == 0
    for folder in "ab":
        bests.append((tmp_path / folder / "best-1.tap").read_text())
    assert bests[0] == bests[1]
    lineage = json.loads((tmp_path / "b" / "lineage.json").read_text())
    assert lineage
    assert run([*command[:-1], "3", "--llm", f"replay:{recording}", "--seed", "8"]) == 1
    assert "no reply" in capsys.readouterr().err
