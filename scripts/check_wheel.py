"""Checks a wheel and an sdist as a user gets them: name, size, contents, and `tap demo` without Rust.

python scripts/check_wheel.py dist              # the wheel, in an empty environment
python scripts/check_wheel.py dist --sdist      # the sdist too; that one needs a Rust toolchain
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from pathlib import Path

LIMIT = 6_000_000
"""Largest size of a wheel, in bytes."""


def one(folder: Path, pattern: str) -> Path:
    """The one file of that pattern."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        sys.exit(f"{folder} holds {len(found)} files {pattern}; one is wanted")
    return found[0]


def contents(wheel: Path) -> None:
    """Fail unless the wheel is small, fits every Python, and carries its licences and parts list."""
    size = wheel.stat().st_size
    names = zipfile.ZipFile(wheel).namelist()
    wanted = {
        "-cp310-abi3-": wheel.name,
        "LICENSE-THIRD-PARTY": " ".join(names),
        "LICENSE-MIT": " ".join(names),
        ".cyclonedx.json": " ".join(names),
        "tap/py.typed": " ".join(names),
        "tap/_core.pyi": " ".join(names),
        "tap/data/digits.safetensors": " ".join(names),
    }
    missing = [part for part, where in wanted.items() if part not in where]
    if missing:
        sys.exit(f"{wheel.name} lacks {', '.join(missing)}")
    if sys.platform == "linux" and "manylinux" not in wheel.name:
        sys.exit(f"{wheel.name} runs on no other Linux")
    if size > LIMIT:
        sys.exit(f"{wheel.name} has {size:,} bytes, more than {LIMIT:,}")
    print(f"{wheel.name}: {size:,} bytes, {len(names)} files")


def installed(package: Path, folder: Path, *, rust: bool) -> None:
    """Install into an empty environment and run the demo there, away from the sources."""
    environment = {**os.environ, "PYTHONNOUSERSITE": "1", "VIRTUAL_ENV": str(folder / "env")}
    environment.pop("PYTHONPATH", None)
    builder = venv.EnvBuilder(with_pip=True)
    builder.create(folder / "env")
    scripts = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
    if not rust:
        environment["PATH"] = os.pathsep.join([str(scripts), "/usr/bin", "/bin"])
        environment["CARGO"] = environment["RUSTC"] = "there is no Rust"
    python = str(scripts / "python")

    def run(*command: str) -> None:
        subprocess.run(command, cwd=folder, env=environment, check=True)

    run(python, "-m", "pip", "install", "--quiet", str(package.resolve()))
    started = time.perf_counter()
    run(str(scripts / "tap"), "demo", "--out", "demo-out", "--quiet")
    seconds = time.perf_counter() - started
    for name in ("plan.json", "report.html"):
        if not (folder / "demo-out" / name).stat().st_size:
            sys.exit(f"the demo wrote an empty {name}")
    run(str(scripts / "tap"), "doctor", "--quiet")
    print(f"{package.name}: installed into an empty environment, tap demo ran in {seconds:.0f} s")


def main() -> None:
    """Check what is in the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sdist", action="store_true", help="build and install the sdist too")
    options = parser.parse_args()
    wheel = one(options.folder, "*.whl")
    contents(wheel)
    with tempfile.TemporaryDirectory(prefix="tap-wheel-") as folder:
        installed(wheel, Path(folder), rust=False)
    if options.sdist:
        with tempfile.TemporaryDirectory(prefix="tap-sdist-") as folder:
            installed(one(options.folder, "*.tar.gz"), Path(folder), rust=True)


if __name__ == "__main__":
    main()
