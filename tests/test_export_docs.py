"""The page on exports: its table is the registry, its code and commands run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tap.cli.app import run
from tap.export import TARGETS
from tap.export.targets import ALIASES

TEXT = (Path(__file__).parent.parent / "docs" / "exports.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.M | re.S)


def test_the_table_has_every_target() -> None:
    rows = re.findall(r"^\| `([\w-]+)`(?: \(([^)]*)\))? \|", TEXT, re.M)
    assert [name for name, _ in rows] == list(TARGETS)
    named = {alias for _, aliases in rows for alias in re.findall(r"[\w.-]+", aliases)}
    assert named <= set(ALIASES)
    written = {name: row for row in TEXT.splitlines() for name in TARGETS if row.startswith(f"| `{name}`")}
    for name, target in TARGETS.items():
        said = written[name].rsplit("|", 2)[1].strip()
        assert (said == "none") == (target.ties in (None, "torchao", "gguf", "mlx"))


def test_the_code_runs_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("torchao", "compressed_tensors", "transformers", "gguf", "onnx"):
        pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {}
    for block in blocks("python"):
        exec(block, space)
    files = {path.name for path in tmp_path.iterdir()}
    assert {"out", "packed.safetensors", "for-vllm", "model.gguf", "model.onnx", "for-mlx"} <= files


def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for line in blocks("sh")[0].splitlines():
        assert run([*shlex.split(line)[1:], "--quiet"]) == 0
    assert (tmp_path / "packed.safetensors").is_file()
