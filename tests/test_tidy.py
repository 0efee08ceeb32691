"""The layout keeps its rules: who may import what, how long files are, and that versions agree."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "python" / "tap"
PYTHON = sorted(PACKAGE.rglob("*.py"))
RUST = sorted((ROOT / "rust").rglob("*.rs"))
FOLDERS = ("python", "rust", "tests", "benches", "examples", "fuzz")
SOURCES = sorted(
    path for folder in FOLDERS for end in ("py", "rs", "pyi") for path in (ROOT / folder).rglob(f"*.{end}")
    if "target" not in path.parts
)  # fmt: skip
MAX_LINES = 400
MAX_FUNCTION = 60

ONLY_IN: dict[str, dict[str, str]] = {
    "tap._core": {
        "__init__": "the version number",
        "proxy": "parses and runs one program",
        "limits": "names the limits of programs",
        "screen": "scores many programs",
        "agreement": "rank correlations",
        "rank": "re-exports the rank correlations",
        "allocate": "solves the knapsack",
        "frontier": "walks the trade-offs of one cost",
        "errors": "builds errors from the core's",
        "formats/scales": "searches the scales of many rows",
        "stats/gradients": "adds up the gradients of samples",
        "stats/deltas": "forms the errors of many rows",
        "quantize/compensate": "rounds rows with error compensation",
        "search/local": "varies programs",
        "search/features": "finds the statistics of a program",
        "search/prompts": "writes the operator table into prompts",
    },
    "torch": {
        "stats": "hooks and gradients of the model",
        "sensitivity": "measures quantized networks",
        "configurations": "measures quantized networks",
        "interactions": "measures quantized networks",
        "finetune": "trains a quantized model for a short while",
        "truth": "measures quantized networks, behind the two",
        "formats": "quantizes a weight, imported when it is called",
        "quantize": "puts quantizers into a model",
        "latency": "times layers",
        "demo": "trains nothing, runs the shipped network",
        "compress": "hands quantized models on",
        "export": "writes weights for one target",
        "bench/data": "makes batches of images and text",
    },
    "httpx": {"search/llm": "the one place that talks to a network"},
    "sqlite3": {"search/store": "the one place that keeps a search"},
}
"""A module or folder of the package that may import the name, and why."""

NOT_BELOW: dict[str, tuple[str, ...]] = {
    "tap.cli": ("cli", "__main__"),
    "tap.search": ("cli", "search", "demo", "report", "__init__"),
    "tap.pipeline": ("cli", "search", "bench", "demo", "report", "compress", "__init__"),
}
"""Upper floors of the package, and the modules that stand high enough to import them."""

CORE: dict[str, set[str]] = {
    "dsl": {"dsl", "math"},
    "rank": {"rank", "math"},
    "knapsack": {"knapsack", "math"},
    "math": {"math"},
    "quantize": {"quantize"},
    "stats": {"stats"},
    "screen": {"screen", "dsl", "rank", "knapsack", "math"},
}
"""Which parts of the core each part may name."""


def home(path: Path) -> str:
    """The path inside the package without suffix: search/llm/anthropic."""
    return path.relative_to(PACKAGE).with_suffix("").as_posix().removesuffix("/__init__")


def within(name: str, allowed: str) -> bool:
    """Whether a module is `allowed`, inside of it, or a helper named after it: store_schema of store."""
    return name == allowed or name.startswith((f"{allowed}/", f"{allowed}_"))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, wherever in the file, with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def names(module: str, target: str) -> bool:
    return module == target or module.startswith(f"{target}.")


@pytest.mark.parametrize("target", ONLY_IN)
def test_few_modules_import(target: str) -> None:
    strangers = [
        f"{home(path)}:{line}"
        for path in PYTHON
        for module, line in imports(path)
        if names(module, target) and not any(within(home(path), allowed) for allowed in ONLY_IN[target])
    ]
    assert not strangers, f"{target} is imported by {sorted(set(strangers))}"


@pytest.mark.parametrize("target", NOT_BELOW)
def test_lower_floors_do_not_import(target: str) -> None:
    strangers = [
        f"{home(path)}:{line}"
        for path in PYTHON
        for module, line in imports(path)
        if names(module, target) and not any(within(home(path) or "__init__", up) for up in NOT_BELOW[target])
    ]
    assert not strangers, f"{target} is imported by {sorted(set(strangers))}"


def test_only_the_binding_names_python() -> None:
    binding = ROOT / "rust" / "py"
    strangers = [
        path.relative_to(ROOT)
        for path in RUST
        if binding not in path.parents and re.search(r"\b(pyo3|numpy)::", path.read_text(encoding="utf-8"))
    ]
    assert not strangers


def test_parts_of_the_core_do_not_know_each_other() -> None:
    strangers = []
    for path in RUST:
        part = path.relative_to(ROOT / "rust").with_suffix("").parts[0]
        if part in CORE:
            named = set(re.findall(r"\bcrate::(\w+)", path.read_text(encoding="utf-8")))
            strangers += [f"{path.relative_to(ROOT)} names {other}" for other in named - CORE[part]]
    assert not strangers


def test_no_unsafe_code() -> None:
    assert "#![forbid(unsafe_code)]" in (ROOT / "rust" / "lib.rs").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_are_short_and_say_what_they_are(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_LINES
    for word in ("TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK"):
        assert not re.search(rf"\b{word}\b", text), f"{word} in {path}"
    if path.suffix == ".rs":
        assert text.startswith(("//!", "#![")), "the first line says what the file turns into what"
    else:
        assert ast.get_docstring(ast.parse(text)), "a module starts with one sentence about itself"


def long_python_functions(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            documented = isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)
            first = node.body[0].end_lineno if documented and len(node.body) > 1 else node.lineno
            length = (node.end_lineno or 0) - (first or 0)
            if length > MAX_FUNCTION:
                yield f"{path.relative_to(ROOT)}: {node.name} has {length} lines"


def long_rust_functions(path: Path) -> Iterator[str]:
    """Functions of formatted Rust end at the first brace that stands as far left as they start."""
    opened: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        indent = line[: len(line) - len(line.lstrip())]
        if match := re.match(r"\s*(?:pub(?:\([a-z]+\))? )?(?:const )?fn (\w+)", line):
            opened[indent] = (match.group(1), number)
        elif line == f"{indent}}}" and indent in opened:
            name, start = opened.pop(indent)
            if number - start > MAX_FUNCTION:
                yield f"{path.relative_to(ROOT)}: {name} has {number - start} lines"


def test_functions_are_short() -> None:
    python = [found for path in SOURCES if path.suffix == ".py" for found in long_python_functions(path)]
    rust = [found for path in SOURCES if path.suffix == ".rs" for found in long_rust_functions(path)]
    assert not python + rust


def test_importing_tap_is_light() -> None:
    heavy = "{'torch', 'httpx', 'typer', 'rich', 'scipy', 'numpy'} & set(sys.modules)"
    command = [sys.executable, "-c", f"import sys, tap; print(sorted({heavy}))"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_versions_agree() -> None:
    import tap

    cargo = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.M)
    newest = re.search(r"^## \[?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert cargo is not None
    assert newest is not None
    assert cargo.group(1) == newest.group(1) == tap.__version__
