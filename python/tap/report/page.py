"""The page around the charts: heading, facts, sections, tables and one style sheet; no script, no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Chart:
    """One section: a heading, a sentence, any number of SVG charts and a table."""

    heading: str
    text: str
    svgs: tuple[tuple[str, str], ...] = ()
    """(caption, SVG) each."""
    rows: Sequence[Mapping[str, Any]] = ()
    """A table below the charts."""
    folded: bool = False
    """The table is closed until it is clicked or opened from the keyboard."""
    marked: frozenset[str] = frozenset()
    """Values of the first column whose rows stand out."""
    code: str = ""
    """A program, shown as it is written."""


@dataclass(frozen=True)
class Page:
    """A title, a line under it, facts as (name, value), and the sections."""

    title: str
    lead: str
    facts: tuple[tuple[str, str], ...] = ()
    sections: tuple[Chart, ...] = field(default_factory=tuple)


def render(page: Page) -> str:
    """The page as HTML text that a browser opens from a file, without a network.

    >>> render(Page("A plan", "of a model")).startswith("<!doctype html>")
    True
    """
    style = (files(__package__) / "style.css").read_text(encoding="utf-8")
    facts = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in page.facts
    )
    body = "".join(_section(number, chart) for number, chart in enumerate(page.sections))
    links = "".join(
        f'<li><a href="#s{number}">{escape(chart.heading)}</a></li>'
        for number, chart in enumerate(page.sections)
    )
    nav = f'<nav aria-label="Sections"><ul>{links}</ul></nav>' if len(page.sections) > 1 else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{escape(page.title)}</title><style>{style}</style></head><body>"
        f"<header><h1>{escape(page.title)}</h1><p>{escape(page.lead)}</p>{nav}</header>"
        f"<main>{f'<dl>{facts}</dl>' if facts else ''}{body}</main></body></html>\n"
    )


def _section(number: int, chart: Chart) -> str:
    figures = "".join(
        f"<figure>{_scroll(caption, svg)}<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, svg in chart.svgs
    )
    figures = f'<div class="figures">{figures}</div>' if figures else ""
    code = f'<pre tabindex="0"><code>{escape(chart.code)}</code></pre>' if chart.code else ""
    table = _table(chart) if chart.rows else ""
    if table and chart.folded:
        table = f"<details><summary>The numbers</summary>{table}</details>"
    return (
        f'<section aria-labelledby="s{number}"><h2 id="s{number}">{escape(chart.heading)}</h2>'
        f"<p>{escape(chart.text)}</p>{figures}{code}{table}</section>"
    )


def _table(chart: Chart) -> str:
    columns = list(dict.fromkeys(key for row in chart.rows for key in row))
    numeric = {name for name in columns if any(isinstance(row.get(name), int | float) for row in chart.rows)}
    head = "".join(f'<th scope="col"{_right(name in numeric)}>{escape(name)}</th>' for name in columns)
    lines = []
    for row in chart.rows:
        first = str(row.get(columns[0]))
        cells = "".join(f"<td{_right(name in numeric)}>{_cell(row.get(name))}</td>" for name in columns[1:])
        mark = ' class="marked"' if first in chart.marked else ""
        lines.append(f'<tr{mark}><th scope="row">{escape(first)}</th>{cells}</tr>')
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return _scroll(f"{chart.heading}, table", table)


def _scroll(label: str, inner: str) -> str:
    """A box that scrolls sideways on a narrow screen, also from the keyboard."""
    name = escape(label, quote=True)
    return f'<div class="scroll" tabindex="0" role="group" aria-label="{name}">{inner}</div>'


def _right(yes: bool) -> str:
    return ' class="right"' if yes else ""


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if value.is_integer() and 1e4 <= abs(value) < 1e15:
            return f"{value:,.0f}"
        return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.3g}"
    return escape(str(value))
