"""`tap search`: from files to programs on disk, resumed, and refused with a hint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from search_world import table, truth
from tap.cli.app import run
from tap.sensitivity import Sensitivity


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
    rest = ["--store", store, "--out", str(out), "--held-out", f"{held},{last}", "--json"]
    assert run([*command, *sizes, *rest]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert "agreement net3" in rows[0]
    assert (out / "best-1.tap").is_file()
    assert run([*command, *sizes, "--store", store]) == 2
    assert run([*command, "--resume", store, "--quiet"]) == 0
    assert run([*command, "--llm", "gpt"]) == 1
    assert "error" in capsys.readouterr().err
