"""Every command explains itself: examples that parse, help on each option, --json, --quiet, completion."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tap.cli.app import app, run


def commands(node: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its words."""
    for name, child in node.commands.items():
        if hasattr(child, "commands"):
            yield from commands(child, (*words, name))
        else:
            yield " ".join((*words, name)), child


ALL = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", ALL)
def test_every_option_is_explained(name: str) -> None:
    options = {option: param for param in ALL[name].params for option in param.opts}
    assert {"--json", "--quiet"} <= set(options), f"tap {name} lacks --json or --quiet"
    for option, param in options.items():
        assert getattr(param, "help", None), f"tap {name}: {option} is not explained"


@pytest.mark.parametrize("name", ALL)
def test_the_examples_parse(name: str) -> None:
    examples = re.findall(r"^\s*[A-Z][\w ,:]*: (tap .+)$", ALL[name].help or "", re.M)
    assert examples, f"tap {name} shows no example"
    for example in examples:
        words = shlex.split(example.partition(" > ")[0])
        assert " ".join(words[1:]).startswith(name)
        command = ALL[name]
        arguments = words[1 + len(name.split()) :]
        arguments = [str(Path("/tmp") / word) if after in ("-o", "--out") else word
                     for after, word in zip(["", *arguments], arguments, strict=False)]  # fmt: skip
        context = command.make_context(name, arguments)
        assert context.params


def test_a_wrong_option_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["collect", "--formatz", "int2"]) == 2
    assert "--formats" in capsys.readouterr().err


def test_doctor_tells_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json"]) == 0
    rows = {row["what"]: row for row in json.loads(capsys.readouterr().out)}
    for what in ("tap", "python", "torch", "device", "current folder", "torch hub"):
        assert any(what in name for name in rows), what
    assert rows["torch"]["ok"]


def test_doctor_names_a_folder_it_cannot_write(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    environment = {**os.environ, "TORCH_HOME": str(blocked / "torch")}
    command = [sys.executable, "-m", "tap", "doctor", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    row = next(row for row in json.loads(done.stdout) if row["what"] == "cache of torch hub")
    assert row["ok"] is False


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    def complete(**environment: str) -> str:
        command = [sys.executable, "-c", "from tap.cli import main; main()"]
        given = {**os.environ, "_TAP_COMPLETE": f"complete_{shell}", **environment}
        return subprocess.run(command, env=given, capture_output=True, text=True).stdout

    given = {"_TYPER_COMPLETE_ARGS": "tap coll", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    if shell == "bash":
        given = {"COMP_WORDS": "tap coll", "COMP_CWORD": "1"}
    assert "collect" in complete(**given)


def test_an_interrupted_command_leaves_with_130(tmp_path: Path) -> None:
    """A real SIGINT while the demo's truth is measured: one line, 130, and no half-written file."""
    script = (
        "import os, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from tap.cli import main\n"
        "import tap.configurations as c\n"
        "real = c.measure_configs\n"
        "def measured(*a, **k):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(*a, **k)\n"
        "c.measure_configs = measured\n"
        "main()\n"
    )
    arguments = [
        "measure",
        "tap.demo:model",
        "-d",
        "tap.demo:calibration",
        "--configs",
        "2",
        "-o",
        "c.safetensors",
    ]
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 130, done.stderr
    assert "interrupted" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
