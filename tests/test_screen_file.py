"""A file of programs through the command line: stopped by a signal, odd lines, long lines, no pyarrow."""

from __future__ import annotations

import builtins
import csv
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tap
from oracles.dsl_random import Generator
from tap import _core
from tap.errors import DataError, MissingExtraError
from tap.proxy import readable
from tap.rows import COLUMNS, read_programs
from tap.screen import screen_file
from tap.sensitivity import Sensitivity
from tap.stats.table import LayerTable
from tap.stats.units import Unit


def pair(size: int = 54) -> tuple[LayerTable, Sensitivity]:
    """A table of columns and its truth."""
    rng = np.random.default_rng(0)
    units = tuple(Unit(f"u{place}", "linear", 8, 8, 1, 64) for place in range(size))
    inputs = [name for name, axes, _ in _core.inputs() if set(axes) <= {"format"}]
    axes = {name: words for name, words, _ in _core.inputs()}
    shape = {"format": (size, 3)}
    columns = {name: rng.random(shape["format"] if axes[name] else (size,)) for name in inputs}
    table = LayerTable(units, ("int2", "int3", "int4"), columns, fingerprint="f" * 32)
    names = tuple(unit.name for unit in units)
    values = rng.random((size, 3))
    truth = Sensitivity(
        names, table.formats, values, values / 10, 0.9, "f" * 32, {}, np.stack([values, values])
    )
    return table, truth


def saved(folder: Path) -> list[str]:
    """The pair as files, as arguments of the command."""
    table, truth = pair()
    table.save(folder / "table.safetensors")
    truth.save(folder / "truth.safetensors")
    return ["--table", str(folder / "table.safetensors"), "--target", str(folder / "truth.safetensors")]


def programs(count: int) -> list[str]:
    """Programs of columns, all different."""
    columns = [name for name, axes, _ in _core.inputs() if set(axes) <= {"format"}]
    return _core.random_programs(1, count, 14, columns)


def start(arguments: list[str]) -> subprocess.Popen[str]:
    """`tap` in a process that Ctrl-C reaches, whatever started this one."""
    return subprocess.Popen(
        [sys.executable, "-m", "tap", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )


@pytest.mark.parametrize("end", ["csv", "jsonl"])
def test_a_signal_leaves_whole_rows(tmp_path: Path, end: str) -> None:
    few = programs(2000)
    count = 400_000
    with (tmp_path / "in.jsonl").open("w") as file:
        file.writelines(f"{json.dumps(few[place % 2000] + f' + {place}')}\n" for place in range(count))
    out = tmp_path / f"out.{end}"
    process = start(["screen", str(tmp_path / "in.jsonl"), *saved(tmp_path), "-o", str(out)])
    until = time.monotonic() + 240
    while time.monotonic() < until and process.poll() is None:
        if sum(part.stat().st_size for part in tmp_path.glob(".out.*.part")) > 200_000:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=240)
    assert process.returncode == 2, complaint
    assert "stopped by Ctrl-C" in complaint
    text = out.read_text()
    assert text.endswith("\n")
    if end == "csv":
        rows: list[dict[str, Any]] = list(csv.DictReader(text.splitlines()))
        assert tuple(rows[0]) == COLUMNS
    else:
        rows = [json.loads(line) for line in text.splitlines()]
    assert 0 < len(rows) < count
    assert [int(row["line"]) for row in rows] == list(range(1, len(rows) + 1))
    assert all(tuple(row) == COLUMNS for row in rows)
    assert not list(tmp_path.glob(".out.*"))


HELD = """
import resource, sys
from tap.screen import screen_file
from tap.sensitivity import Sensitivity
from tap.stats.table import LayerTable

table, truth = LayerTable.load("table.safetensors"), Sensitivity.load("truth.safetensors")
screen_file(sys.argv[1], table, truth, out="out.csv", chunk=2000, progress=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
"""What one screening has held at most, in kB."""


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Ten times the programs; the figure of a million of them is in benches/README.md."""
    saved(tmp_path)
    lines, held = "".join(f"{json.dumps(text)}\n" for text in programs(2000)), []
    for count in (20_000, 200_000):
        (tmp_path / "in.jsonl").write_text(lines * (count // 2000))
        command = [sys.executable, "-c", HELD, "in.jsonl"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
        held.append(int(done.stdout) << 10)
    assert held[1] - held[0] < 16 << 20, held


def test_programs_are_screened_once_each_whatever_the_pace(tmp_path: Path) -> None:
    table, truth = pair(5)
    sources = [Generator(random.Random(seed)).program(depth=3) for seed in range(90)]
    (tmp_path / "in.jsonl").write_text("".join(f"{json.dumps(source)}\n" for source in sources))
    texts = []
    for chunk in (1, 7, 1000):
        screen_file(
            tmp_path / "in.jsonl", table, truth, out=tmp_path / "out.csv", chunk=chunk, progress=False
        )
        texts.append((tmp_path / "out.csv").read_text())
    assert texts[0] == texts[1] == texts[2]


def test_odd_lines(tmp_path: Path) -> None:
    """Nothing that JSON can hold spoils a row: line ends, NUL, quotes, half surrogates, 10^7 digits."""
    table, truth = pair(5)
    odd = ["a\r\nb", "a\rb", "\0", '"', "\ud800", "é, \u2028", "=1+1", "", "9" * 10_000_000, "score = bits"]
    (tmp_path / "in.jsonl").write_text("".join(f"{json.dumps(text)}\n" for text in odd))
    done = screen_file(tmp_path / "in.jsonl", table, truth, out=tmp_path / "out.jsonl", progress=False)
    assert (done.rows, done.ok) == (len(odd), 1)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["source"] for row in rows] == [readable(text) for text in odd]
    assert [row["ok"] for row in rows] == [False] * 9 + [True]
    assert all(row["error"] for row in rows[:-1])
    screen_file(tmp_path / "in.jsonl", table, truth, out=tmp_path / "out.csv", progress=False)
    csv.field_size_limit(1 << 25)
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        assert [row["source"] for row in csv.DictReader(file)] == [readable(text) for text in odd]


def test_a_line_without_an_end_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b'"' + b"1" * ((1 << 24) + 10))
    with pytest.raises(DataError, match="line 1 has more than"):
        list(read_programs(tmp_path / "in.jsonl", chunk=10))


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None if name == "pyarrow" else builtins)
    (tmp_path / "in.jsonl").write_text('"bits"\n')
    table, truth = pair(5)
    with pytest.raises(MissingExtraError, match="pyarrow") as caught:
        screen_file(tmp_path / "in.jsonl", table, truth, out=tmp_path / "out.parquet", progress=False)
    assert caught.value.hint == "pip install 'tap-mpq[parquet]'"
    assert not list(tmp_path.glob("*out*"))


def test_tables_that_hold_no_numbers_are_refused_or_judged() -> None:
    """NaN and infinity in a table are a verdict on the programs that read them, and on no other."""
    table, truth = pair(5)
    for odd in (np.nan, np.inf, -np.inf):
        columns = {**table.columns, "trace": np.full(5, odd)}
        found = tap.screen(
            ["trace * bits", "bits", "1 / (1 / trace) * bits"],
            LayerTable(table.units, table.formats, columns),
            truth,
        )
        assert found.kind.tolist() == ["non-finite", "", "non-finite"]
        assert "trace" in found.error[0]
