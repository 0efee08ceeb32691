"""The command line: help, JSON, and one line with a hint for every kind of bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tap import proxies
from tap.cli.app import run

COMMANDS = [
    "demo",
    "collect",
    "measure",
    "score",
    "screen",
    "allocate",
    "frontier",
    "proxies",
    "report",
    "doctor",
]
MODEL, DATA = "tap.demo:model", "tap.demo:calibration"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table and a plan of the demo's network."""
    place = tmp_path_factory.mktemp("cli")
    arguments = [
        "collect",
        MODEL,
        "-d",
        DATA,
        "-n",
        "32",
        "--for",
        "sqnr",
        "--for",
        "weight_error",
        "--for",
        "modelopt",
    ]
    assert run([*arguments, "-o", str(place / "table.safetensors"), "--quiet"]) == 0
    table = str(place / "table.safetensors")
    assert run(["allocate", "-t", table, "-b", "3.5bits", "-o", str(place / "plan.json"), "--quiet"]) == 0
    return place


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    assert "Usage: tap" in capsys.readouterr().out


def test_proxies_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["proxies", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == list(proxies.names())


def test_scores_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["score", "weight_error", "-t", str(folder / "table.safetensors"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 16
    assert rows[0]["int2"] > rows[0]["int8"] > 0


def test_a_plan_is_solved_again_without_the_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    smaller = folder / "smaller.json"
    assert (
        run(["allocate", "--plan", str(folder / "plan.json"), "-b", "3bits", "-o", str(smaller), "-q"]) == 0
    )
    assert run(["plan", "diff", str(folder / "plan.json"), str(smaller), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_quantize_measures_plans_beside_uniform_and_full_precision(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = str(folder / "plan.json")
    command = ["quantize", MODEL, "-d", DATA, "-e", "tap.demo:evaluation", "-p", plan, "--uniform", "int2"]
    assert run([*command, "--json", "-q"]) == 0
    ours, uniform, full = json.loads(capsys.readouterr().out)
    assert [ours["plan"], uniform["plan"], full["plan"]] == [plan, "uniform int2", "full precision"]
    assert full["top-1"] == 795 / 800
    assert full["loss"] == 0 < ours["loss"] < uniform["loss"]
    assert uniform["bytes"] < ours["bytes"] < full["bytes"]


def test_finetune_raises_the_accuracy_at_two_bits_and_repeats_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tuned.safetensors"
    command = ["finetune", MODEL, "-d", "tap.demo:training", "-e", "tap.demo:evaluation", "--uniform", "int2"]
    command += ["--epochs", "10", "--lr", "0.003", "--json", "-q"]
    assert run([*command, "-o", str(out)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in rows] == ["quantized", "fine-tuned", "full precision"]
    before, after, full = rows
    assert before["top-1"] + 0.003 < after["top-1"] <= full["top-1"] == 795 / 800
    assert full["loss"] == 0 < after["loss"] < before["loss"]
    assert out.is_file()
    assert run(command) == 0
    assert json.loads(capsys.readouterr().out) == rows


def test_a_pin_on_the_command_line(folder: Path) -> None:
    out = folder / "pinned.json"
    assert run(["plan", "pin", str(folder / "plan.json"), "stem=int8", "-o", str(out), "-q"]) == 0
    units = json.loads(out.read_text())["units"]
    assert next(unit["format"] for unit in units if unit["name"] == "stem") == "int8"


def test_a_report_is_one_page_without_links(folder: Path) -> None:
    out = folder / "report.html"
    assert run(["report", str(folder / "plan.json"), "-o", str(out), "-q"]) == 0
    text = out.read_text()
    assert text.count("<svg") >= 3
    assert "http" not in text
    assert "<script" not in text


BAD = [
    (["collect", "nowhere.py:model", "-d", DATA, "-o", "{out}"], "there is no file nowhere.py"),
    (["collect", "{file}:missing", "-d", DATA, "-o", "{out}"], "has no function 'missing'"),
    (["collect", "{file}:nan", "-d", DATA, "-o", "{out}"], "not finite"),
    (["collect", MODEL, "-d", "{file}:empty", "-o", "{out}"], "batches are empty"),
    (["collect", MODEL, "-d", "{file}:wrong", "-o", "{out}"], "does not run on batch 0"),
    (["collect", MODEL, "-d", DATA, "-f", "int99", "-o", "{out}"], "int99"),
    (["collect", MODEL, "-d", DATA], "--out"),
    (["finetune", MODEL, "-d", DATA], "either --plan or --uniform"),
    (["finetune", MODEL, "-d", DATA, "--uniform", "int2", "--lr", "1e30"], "lower the learning rate"),
    (["allocate", "-t", "{table}", "-b", "1bits", "-o", "{out}"], "no plan fits"),
    (["allocate", "-t", "{table}", "-b", "3parsecs", "-o", "{out}"], "parsecs"),
    (["allocate", "-t", "{table}", "-o", "{out}"], "at least one --budget"),
    (["allocate", "-t", "{file}", "-b", "3bits", "-o", "{out}"], "cannot be read"),
    (["allocate", "-t", "{table}", "-p", "hawqv2", "-b", "3bits", "-o", "{out}"], "no proxy called 'hawqv2'"),
    (["allocate", "-b", "3bits", "-o", "{out}"], "either --table or --plan"),
    (["plan", "show", "{file}"], "not valid JSON"),
    (["plan", "pin", "{plan}", "nobody=int4", "-o", "{out}"], "no unit 'nobody'"),
    (["plan", "pin", "{plan}", "stem", "-o", "{out}"], "is not UNIT=FORMAT"),
    (["score", "none.tap", "-t", "{table}"], "cannot be read"),
]
FILE = """
import torch
def nan():
    model = torch.nn.Linear(2, 2)
    model.weight.data[0, 0] = float("nan")
    return model
def empty(): return []
def wrong(): return [torch.zeros(2, 3, 8, 8)]
"""


@pytest.mark.parametrize(("arguments", "says"), BAD, ids=[says for _, says in BAD])
def test_bad_input(
    arguments: list[str], says: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models.py").write_text(FILE)
    names = {"file": tmp_path / "models.py", "out": tmp_path / "out", "table": folder / "table.safetensors"}
    names["plan"] = folder / "plan.json"
    assert run([argument.format(**names) for argument in arguments]) == 2
    printed = capsys.readouterr()
    assert says in printed.err
    assert "hint: " in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["models.py"]


def test_a_broken_program_shows_where(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.tap").write_text("score = sum(dv2)\n")
    assert run(["score", str(tmp_path / "bad.tap"), "-t", str(folder / "table.safetensors")]) == 2
    printed = capsys.readouterr().err
    assert "^" in printed
    assert "dw2" in printed


def test_an_interrupt_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tap.proxies.names", interrupt)
    assert run(["proxies"]) == 130
    assert "interrupted" in capsys.readouterr().err
