"""Writes LICENSE-THIRD-PARTY: the Rust crates of a wheel, and the texts of those linked into it.

python scripts/licences.py            # write
python scripts/licences.py --check    # fail when the file is not current, or a licence is not allowed
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "LICENSE-THIRD-PARTY"
ALLOWED = {
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "Zlib",
    "Unicode-3.0",
}
PLATFORM = "x86_64-unknown-linux-gnu"
WANTED = ("LICENSE-MIT", "LICENSE", "LICENSE.md", "LICENSE.txt", "LICENSE-APACHE")
"""Which text of a crate is copied: the first of these that it has."""


def crates() -> list[tuple[dict[str, Any], bool]]:
    """Every crate of the build, by name, and whether it is linked into the extension."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--features", "python"]
    found = subprocess.run(
        [*command, "--filter-platform", PLATFORM], cwd=ROOT, check=True, capture_output=True, text=True
    )
    document = json.loads(found.stdout)
    packages = {package["id"]: package for package in document["packages"]}
    nodes = {node["id"]: node for node in document["resolve"]["nodes"]}
    root = document["resolve"]["root"]
    every, linked = _reached(root, nodes, {None, "build"}), _reached(root, nodes, {None})
    macros = {
        id for id in linked if any("proc-macro" in target["kind"] for target in packages[id]["targets"])
    }
    linked = _reached(root, nodes, {None}, without=macros)
    listed = sorted(every - {root}, key=lambda id: (packages[id]["name"], packages[id]["version"]))
    return [(packages[id], id in linked) for id in listed]


def _reached(
    root: str,
    nodes: dict[str, Any],
    kinds: set[str | None],
    *,
    without: Collection[str] = (),
) -> set[str]:
    """The crates that are reached from the root over dependencies of those kinds."""
    seen: set[str] = set()
    waiting = [root]
    while waiting:
        id = waiting.pop()
        if id in seen or id in without:
            continue
        seen.add(id)
        waiting += [
            dependency["pkg"]
            for dependency in nodes[id]["deps"]
            if any(kind["kind"] in kinds for kind in dependency["dep_kinds"])
        ]
    return seen


def allowed(expression: str) -> bool:
    """Whether a licence expression can be met with allowed licences.

    >>> allowed("MIT/Apache-2.0"), allowed("GPL-3.0"), allowed("(MIT OR GPL-3.0) AND Unicode-3.0")
    (True, False, True)
    """
    parts = re.sub(r"[()]", "", expression).split(" AND ")
    return all(any(one.strip() in ALLOWED for one in re.split(r" OR |/", part)) for part in parts)


def text() -> str:
    """The file."""
    listed = crates()
    refused = [
        f"{crate['name']}: {crate['license']}" for crate, _ in listed if not allowed(crate["license"] or "")
    ]
    if refused:
        sys.exit(f"licences that are not allowed: {'; '.join(refused)}")
    lines = ["The compiled part of tap-mpq is built from these Rust crates.", ""]
    for crate, linked in listed:
        note = "" if linked else " (used for building only)"
        lines.append(f"{crate['name']} {crate['version']}: {crate['license']}{note}")
    for crate, linked in listed:
        folder = Path(crate["manifest_path"]).parent
        path = next((folder / name for name in WANTED if (folder / name).is_file()), None)
        if linked and path is not None:
            words = [line.rstrip() for line in path.read_text(encoding="utf-8").strip().splitlines()]
            lines += ["", "=" * 80, f"{crate['name']} {crate['version']}", "=" * 80, *words]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the file, or compare it."""
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text(), encoding="utf-8")
    elif not TARGET.is_file() or TARGET.read_text(encoding="utf-8") != text():
        sys.exit(f"{TARGET.name} is not current: python scripts/licences.py")


if __name__ == "__main__":
    main()
