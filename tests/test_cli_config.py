"""`--config run.toml`: the same as typing the options, and the line it prints can be pasted back."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from tap.cli.app import app, run
from tap.cli.config import expand
from tap.errors import TapError

ROOT = typer.main.get_command(app)


def expanded(folder: Path, text: str, *arguments: str) -> list[str]:
    """The arguments with a file of that text among them."""
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return expand([*arguments, "--config", str(path)], ROOT)


@pytest.mark.parametrize(
    ("text", "typed", "wanted"),
    [
        ("", "doctor", "doctor"),
        ("json = true\nquiet = false", "doctor", "doctor --json"),
        ('[screen]\ntable = ["a", "b c"]\ntop = 5', "screen", "screen --table=a '--table=b c' --top=5"),
        ('[screen]\ntable = ["a"]\ntop = 5', "screen -t x", "screen --top=5 -t x"),
        ("[search]\nmax_money = 0.5\nmax-calls = 3", "search", "search --max-calls=3 --max-money=0.5"),
        (
            '[collect]\nmodel = "m.py:f"\nformats = ["int2", "int4"]',
            "collect",
            "collect --formats=int2,int4 m.py:f",
        ),
        ('[collect]\nmodel = "m.py:f"', "collect n.py:g", "collect n.py:g"),
        (
            '[plan.pin]\nplan = "p.json"\nchoice = ["a=int2", "b!=int4"]',
            "plan pin",
            "plan pin p.json a=int2 'b!=int4'",
        ),
        ('command = "plan show"\njson = true', "", "plan show --json"),
        ("seed = 3\n[measure]\nseed = 4\n[search]\nlocal = 9", "measure", "measure --seed=4"),
        ("seed = 3\nlocal = 9", "measure", "measure --seed=3"),
    ],
)
def test_a_file_is_typed_for_the_user(text: str, typed: str, wanted: str, tmp_path: Path) -> None:
    assert shlex.join(expanded(tmp_path, text, *typed.split())) == wanted


@pytest.mark.parametrize(
    ("text", "typed", "says", "hint"),
    [
        ("sede = 3", "measure", "no option 'sede'", "seed"),
        ("[measure]\nlocal = 3", "measure", "tap measure has no option 'local'", ""),
        ("[maesure]\nseed = 3", "measure", "'maesure'", "measure"),
        ("seed = [1, 2]", "measure", "'seed' is a list", "one value"),
        ("json = 1", "doctor", "'json' is 1", "true or false"),
        ("seed = true", "measure", "'seed' is True", "text or a number"),
        ("[measure]\nseed = {a = 1}", "measure", "'seed' is", "a list of them"),
        ("seed = ", "measure", "is not TOML", "key = "),
        ("seed = 1", "", "none is named", "tap COMMAND"),
        ("seed = 1", "plan", "none is named", "tap COMMAND"),
    ],
)
def test_what_no_option_takes_is_refused(text: str, typed: str, says: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(TapError) as raised:
        expanded(tmp_path, text, *typed.split())
    assert says in raised.value.message
    assert hint in (raised.value.hint or "")


def test_a_missing_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--config", str(tmp_path / "none.toml")]) == 2
    assert "No such file" in capsys.readouterr().err
    assert run(["doctor", "--config"]) == 2
    assert "needs a file" in capsys.readouterr().err


def test_the_printed_line_can_be_pasted(tmp_path: Path) -> None:
    folder = tmp_path / "a folder with 'quotes' & $signs"
    folder.mkdir()
    (folder / "fine.tap").write_text("score = dw2\n")
    (folder / "run.toml").write_text('[grammar]\nformat = "lark"\njson = true\n')
    tap = [sys.executable, "-m", "tap"]
    command = [*tap, "grammar", "--config", str(folder / "run.toml")]
    first = subprocess.run(command, capture_output=True, text=True, check=True)
    line = first.stderr.strip()
    assert line.startswith("tap grammar")
    pasted = f'tap() {{ {shlex.join(tap)} "$@"; }}; {line}'
    again = subprocess.run(["bash", "-c", pasted], capture_output=True, text=True, check=True)
    assert json.loads(again.stdout) == json.loads(first.stdout)
    odd = [str(folder / "x.json"), "stem=int8"]
    assert shlex.split(shlex.join(["plan", "pin", *odd])) == ["plan", "pin", *odd]
