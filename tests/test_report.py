"""The report: one page without scripts, and charts that hold a mark for every value."""

from __future__ import annotations

import numpy as np

from tap.report import Chart, Page, render
from tap.report.svg import Bar, Series, bars, heat_map, plot


def test_every_value_has_a_mark_and_a_tooltip() -> None:
    drawn = bars([Bar("a", 2.0, "b2", "a: int2"), Bar("b", 8.0, "b8", "b: int8")], label="bits", unit="bits")
    assert drawn.count("<rect") == drawn.count("<title>") == 2
    drawn = heat_map(["a", "b"], ["int2"], np.array([[1.0], [0.0]]), label="heat", errors=np.ones((2, 1)))
    assert drawn.count("<rect") == 2
    drawn = plot([Series("s", [1.0, 2.0], [0.1, float("nan")])], label="p", x_name="x", y_name="y")
    assert drawn.count("<circle") == 1


def test_text_is_escaped_and_nothing_is_loaded() -> None:
    page = render(Page("<b>", "&", sections=(Chart("c", "t", rows=[{"x": "<i>", "n": float("nan")}]),)))
    assert "<b>" not in page
    assert "<i>" not in page
    assert "<script" not in page
    assert "http" not in page
