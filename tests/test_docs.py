"""The documentation cannot drift: examples run, names are explained, commands have help, links lead on."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import importlib.util
import io
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tap

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/*.md", "benches/*.md", "benches/peers/*.md")
    for path in ROOT.glob(pattern)
)
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(tap.__path__, "tap.") if not module.name.endswith("_core")
)
PLAIN = {"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}
"""An environment in which help is plain text."""
OPTIONAL = {"torchao", "gguf", "timm", "transformers", "ray", "onnx", "compressed_tensors", "pyarrow"}
"""Packages of the extras: the examples of a module that needs one run only where it is installed."""


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


def test_readme_python_runs(tmp_path: Path) -> None:
    """The blocks are one story: they run after each other in one process, in an empty folder."""
    story = "\n".join(blocks(ROOT / "README.md", "python"))
    assert story, "the README shows no Python"
    command = [sys.executable, "-c", story]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=1200)
    assert result.returncode == 0, result.stderr[-2000:]


def commands() -> list[str]:
    """The commands that `tap --help` lists."""
    text = run_tap("--help")
    return re.findall(r"^[│|]?\s{1,3}([a-z][a-z-]+)\s{2,}\S", text.split("Commands", 1)[-1], re.M)


def run_tap(*arguments: str) -> str:
    """What a command prints, 120 columns wide."""
    from tap.cli.app import run

    printed, before = io.StringIO(), {name: os.environ.get(name) for name in PLAIN}
    os.environ.update(PLAIN)
    try:
        with contextlib.redirect_stdout(printed):
            assert run(arguments) == 0
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    return printed.getvalue()


def test_every_command_has_help_and_is_documented() -> None:
    listed = commands()
    assert {"demo", "collect", "measure", "score", "screen", "allocate", "search"} <= set(listed)
    prose = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    for name in listed:
        text = run_tap(name, "--help")
        assert "Usage" in text
        assert len(text.splitlines()) > 6, f"tap {name} --help says nothing"
        assert re.search(rf"\btap {name}\b", prose), f"`tap {name}` is in no page"


def test_pages_show_only_commands_that_exist() -> None:
    listed = set(commands())
    shown = {
        (page.name, found)
        for page in PAGES
        for block in blocks(page, "(?:console|sh|bash|text)")
        for found in re.findall(r"^(?:\$ )?tap ([a-z][a-z-]+)", block, re.M)
    }
    assert not {(page, name) for page, name in shown if name not in listed}


@pytest.mark.parametrize("name", [name for name in tap.__all__ if name != "__version__"])
def test_public_names_are_explained(name: str) -> None:
    thing = getattr(tap, name)
    text = thing.__doc__ or ""
    assert text.strip(), f"tap.{name} has no docstring"
    assert not text.startswith(f"{name}("), f"tap.{name} has only the docstring that dataclasses write"
    if callable(thing) and not (isinstance(thing, type) and issubclass(thing, Exception)):
        assert ">>>" in text, f"tap.{name} has no example"


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "tap.__main__":
        pytest.skip("importing it runs the command line")
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if error.name in OPTIONAL:
            pytest.skip(f"{error.name} is not installed")
        raise
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.failed == 0


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    text = re.sub(r"`[^`\n]*`", "", text)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"{page.name} links to {target}"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{page.name} links to {target}"


def test_named_files_exist() -> None:
    """Pages that name a file of the repository in backticks name one that is there."""
    missing = []
    for page in PAGES:
        if page.name == "CHANGELOG.md":
            continue
        for found in re.findall(
            r"`((?:rust|python|tests|benches|examples|docs)/[\w./-]+)`", page.read_text("utf-8")
        ):
            if not (ROOT / found).exists():
                missing.append(f"{page.name}: {found}")
    assert not missing


def test_the_page_of_commands_is_current(tmp_path: Path) -> None:
    """Write it again with `make docs`."""
    page = tmp_path / "commands.md"
    writer = ["-m", "typer", "tap.cli.app", "utils", "docs", "--name", "tap", "--title", "Commands"]
    command = [sys.executable, *writer, "--output", str(page)]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    assert page.read_text(encoding="utf-8") == (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
