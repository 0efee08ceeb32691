"""Every code block of the pages runs: Python as one story a page, console lines in a shell."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    ROOT / "ARCHITECTURE.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
ELSEWHERE = {"commands.md", "exports.md"}
"""Usage lines, whose examples test_cli_help parses; blocks that test_export_docs runs."""
CONTEXT = {
    "quantization.md": (
        "import tap\nfrom tap import demo, proxies\nfrom tap.pipeline import make_plan\n"
        "model, calibration, training = demo.model(), demo.calibration(), demo.calibration()\n"
        "table = tap.collect(model, calibration, samples=16, for_proxies=['sqnr'], progress=False)\n"
        "plan = make_plan(table, proxies.load('sqnr'), ['3.5bits'])\n"
    )
}
"""What a page takes as given, before its first block."""


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, text) of every fenced block, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


RUN = [page for page in PAGES if page.name not in ELSEWHERE
       and any(kind in ("python", "console") for kind, _ in blocks(page))]  # fmt: skip


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path) -> None:
    script = ["set -euo pipefail", f'tap() {{ {shlex.quote(sys.executable)} -m tap "$@"; }}']
    story = CONTEXT.get(page.name, "")
    number = 0
    for kind, text in blocks(page):
        if kind == "python":
            (tmp_path / f"block{number}.py").write_text(story + text)
            script.append(f"{shlex.quote(sys.executable)} block{number}.py")
            story += text
            number += 1
        elif kind == "console":
            script += [line for line in text.splitlines() if _runs(line)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "NO_COLOR": "1"}
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)], cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, f"{done.stdout[-1000:]}\n{done.stderr[-2000:]}"


def _runs(line: str) -> bool:
    """Whether a console line is run here; what installs, or runs all tests, is looked at instead."""
    words = shlex.split(line, comments=True)
    if words[:1] == ["make"]:
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M), line
        return False
    if words[:2] == ["pip", "install"]:
        extras = re.findall(r"\[(.*)\]", words[2])
        project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        assert all(re.search(rf"^{name} = ", project, re.M) for part in extras for name in part.split(","))
        return False
    return bool(words) and "--install-completion" not in words and words[0] == "tap"
