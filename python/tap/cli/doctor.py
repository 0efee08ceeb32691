"""`tap doctor`: versions, devices, extras and writable places, for a report of what does not work."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

import typer

from tap.cli import options as o
from tap.cli.console import show


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(doctor)


def doctor(as_json: o.Json = False, quiet: o.Quiet = False) -> None:
    """Show versions, devices, installed extras, and which folders and caches can be written.

    Leaves with 1 when something is missing that every command needs.

    Example: tap doctor --json
    """
    import tap

    rows: list[dict[str, Any]] = [
        _row("tap", True, str(tap.__version__)),
        _row("python", True, f"{platform.python_version()} on {platform.platform()}, {os.cpu_count()} cores"),
    ]
    rows += [_package(name, "") for name in ("torch", "numpy", "safetensors", "httpx", "typer", "rich")]
    rows.append(_device())
    rows += [_package(name, extra) for extra, name in sorted(_extras().items())]
    rows += [
        _writable("current folder", Path.cwd()),
        _writable("temporary folder", Path(tempfile.gettempdir())),
        *(_writable(f"cache of {what}", place, needed=False) for what, place in _caches().items()),
    ]
    show(rows, as_json=as_json, quiet=quiet)
    if any(row["ok"] is False and row["needed"] for row in rows):
        sys.exit(1)


def _row(what: str, ok: bool, detail: str, *, needed: bool = True) -> dict[str, Any]:
    return {"what": what, "ok": ok, "needed": needed, "detail": detail}


def _package(name: str, extra: str) -> dict[str, Any]:
    """One package: its version, or how to install it."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        hint = f"pip install 'tap-mpq[{extra}]'" if extra else f"pip install {name}"
        return _row(name, False, hint, needed=not extra)
    return _row(name, True, version, needed=not extra)


def _extras() -> dict[str, str]:
    """First package of each extra, by the extra's name, from the installed metadata."""
    found: dict[str, str] = {}
    for line in importlib.metadata.metadata("tap-mpq").get_all("Requires-Dist") or []:
        requirement, _, marker = line.partition(";")
        extra = marker.replace("'", '"').partition('extra == "')[2].partition('"')[0]
        if extra:
            name = "".join(c if c.isalnum() or c in "-_." else " " for c in requirement).split()[0]
            found.setdefault(extra, name)
    return found


def _device() -> dict[str, Any]:
    """The accelerator, asked of torch in a way that does not fail without one."""
    if importlib.util.find_spec("torch") is None:
        return _row("device", False, "pip install torch")
    torch = importlib.import_module("torch")
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        return _row("device", True, f"cuda: {names}")
    return _row("device", True, f"cpu, {torch.get_num_threads()} threads")


def _caches() -> dict[str, Path]:
    """Where models named hf:NAME and timm:NAME are kept by the libraries that load them."""
    home = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    hub = os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME", home / "huggingface")) / "hub"
    torch = Path(os.environ.get("TORCH_HOME", home / "torch")) / "hub"
    return {"hf:NAME and timm:NAME": Path(hub).expanduser(), "torch hub": torch.expanduser()}


def _writable(what: str, folder: Path, *, needed: bool = True) -> dict[str, Any]:
    """Whether a file can be written in the folder, or the folder be made."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    made = "" if place == folder else ", to be made"
    try:
        with tempfile.TemporaryFile(dir=place):
            return _row(what, True, f"{folder}{made}", needed=needed)
    except OSError as error:
        return _row(what, False, f"{folder}: {error.strerror}", needed=needed)
