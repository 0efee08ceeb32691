"""What a package promises: licences of its Rust parts, a light import, documented public names."""

from __future__ import annotations

import doctest
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import tap

ROOT = Path(__file__).parent.parent
LIMIT = 0.150
"""Seconds of processor time that `import tap` may take; wall time is longer where the machine is busy."""
MEASURED = "import time; start = time.process_time(); import tap; print(time.process_time() - start)"


def script(name: str) -> ModuleType:
    """A script of the repository as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_import_is_fast() -> None:
    """The least of five; other work on the machine does not count as time of this process."""
    runs = [
        subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True)
        for _ in range(5)
    ]
    assert min(float(run.stdout) for run in runs) < LIMIT


@pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not installed")
def test_the_licences_of_rust_parts_are_current_and_allowed() -> None:
    licences = script("licences")
    assert licences.TARGET.read_text(encoding="utf-8") == licences.text(), "python scripts/licences.py"
    assert doctest.testmod(licences).failed == 0


def test_a_wheel_that_lacks_something_is_refused(tmp_path: Path) -> None:
    check = script("check_wheel")
    wheel = tmp_path / "tap_mpq-0.1.0-cp310-abi3-linux_x86_64.whl"
    import zipfile

    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tap/py.typed", "")
    with pytest.raises(SystemExit, match=r"lacks .*LICENSE-THIRD-PARTY"):
        check.contents(check.one(tmp_path, "*.whl"))
    with pytest.raises(SystemExit, match="0 files"):
        check.one(tmp_path, "*.tar.gz")


def test_workflows_build_for_every_platform() -> None:
    folder = ROOT / ".github" / "workflows"
    wheels = (folder / "wheels.yml").read_text(encoding="utf-8")
    for part in ("macos-", "windows-", "ubuntu-24.04-arm", "3.13t", "sdist"):
        assert part in wheels
    targets = re.findall(r"run: make (\w+)", (folder / "ci.yml").read_text(encoding="utf-8"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in targets)


@pytest.mark.skipif(importlib.util.find_spec("pdoc") is None, reason="pdoc is not installed")
def test_the_api_reference_builds_without_warnings(tmp_path: Path) -> None:
    modules = ["tap.allocate", "tap.plan", "tap.proxy", "tap.errors", "tap.costs", "tap.configurations"]
    options = ["--docformat", "google", "--output-directory", str(tmp_path)]
    command = [sys.executable, "-m", "pdoc", *options, *modules]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr.lower(), done.stderr
    for name, home in tap._HOME.items():
        if home in modules:
            page = (tmp_path / f"{home.replace('.', '/')}.html").read_text(encoding="utf-8")
            assert f'id="{name}"' in page, f"tap.{name} is not in the reference"
