"""The documentation cannot drift: examples run, names are explained, links lead on."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
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
OPTIONAL = {"torchao", "gguf", "timm", "transformers", "ray", "onnx", "compressed_tensors", "pyarrow"}
"""Packages of the extras: the examples of a module that needs one run only where it is installed."""


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
