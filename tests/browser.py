"""A headless Chromium for tests: what a page looks like once it is laid out, and what its console said."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM = os.environ.get("TAP_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)

PROBE = """
<script>
const errors = [];
addEventListener("error", event => errors.push(String(event.message)));
addEventListener("load", () => {
  const seen = mark => {
    const box = mark.getBoundingClientRect(), style = getComputedStyle(mark);
    const colors = [style.fill, style.stroke];
    const painted = colors.some(color => color !== "none" && !/^rgba.*, 0\\)$/.test(color));
    return (box.width > 0 || box.height > 0) && painted;
  };
  const charts = [...document.querySelectorAll("svg")].map(svg => {
    const box = svg.getBoundingClientRect();
    const marks = [...svg.querySelectorAll("g :is(rect, circle, polygon, polyline)")];
    const words = [...svg.querySelectorAll("text")].map(text => text.getBoundingClientRect());
    return {
      label: svg.getAttribute("aria-label"), width: box.width, height: box.height, marks: marks.length,
      seen: marks.filter(seen).length,
      outside: marks.map(mark => mark.getBoundingClientRect()).filter(mark =>
        mark.left < box.left - 1 || mark.right > box.right + 1 || mark.top < box.top - 1
        || mark.bottom > box.bottom + 1).length,
      smallest: Math.min(...words.filter(word => word.height > 0).map(word => word.height)),
    };
  });
  const focusable = [...document.querySelectorAll("a[href], summary, [tabindex='0']")];
  const unnamed = focusable.filter(one => !(one.getAttribute("aria-label") || one.textContent.trim()));
  const result = {
    errors, charts, width: innerWidth, overflow: document.documentElement.scrollWidth - innerWidth,
    background: getComputedStyle(document.body).backgroundColor, unnamed: unnamed.length,
    dark: matchMedia("(prefers-color-scheme: dark)").matches, focusable: focusable.length,
  };
  parent.postMessage(JSON.stringify(result), "*");
});
</script>
"""

FRAME = """<!doctype html><link rel="icon" href="data:,"><meta name="color-scheme" content="light dark">
<script>
addEventListener("message", event => document.documentElement.setAttribute("data-probe", event.data));
</script>
<iframe src="{page}" style="width: {width}px; height: 1200px; border: 0"></iframe>
"""
"""A window has a least width, a frame has none."""


@dataclass(frozen=True)
class Seen:
    """A page as the browser has it."""

    probe: dict[str, Any]
    """What the probe measured: charts, errors, width, overflow."""
    console: list[str]
    """Lines of the console."""


def look(page: Path, folder: Path, *, width: int, dark: bool = False) -> Seen:
    """Open a copy of the page with a probe inside, `width` pixels wide."""
    copy = folder / f"{page.stem}-{width}{'-dark' if dark else ''}.html"
    copy.write_text(page.read_text(encoding="utf-8").replace("<head>", f"<head>{PROBE}"), encoding="utf-8")
    frame = folder / f"frame-{copy.name}"
    frame.write_text(FRAME.format(page=copy.name, width=width), encoding="utf-8")
    options = [
        "--dump-dom",
        "--virtual-time-budget=5000",
        *(["--blink-settings=preferredColorScheme=0"] * dark),
    ]
    done = _run([*options, f"--window-size={width + 50},1300", frame.as_uri()], folder)
    found = re.search(r'data-probe="([^"]*)"', done.stdout)
    assert found, f"the page was not laid out: {done.stderr[-1000:]}"
    return Seen(json.loads(unescape(found.group(1))), re.findall(r"CONSOLE.*", done.stderr))


def picture(page: Path, target: Path, *, width: int, height: int = 1600) -> None:
    """Write a PNG of the page."""
    done = _run([f"--window-size={width},{height}", f"--screenshot={target}", page.as_uri()], target.parent)
    assert target.is_file(), done.stderr[-1000:]


def _run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    fixed = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"]
    command = [CHROMIUM, *fixed, f"--user-data-dir={folder / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)
