"""The report: one page without scripts, a mark for every value, and charts that a browser really shows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import browser
import search_runs
from tap.cli.app import run
from tap.configurations import Configurations
from tap.errors import TapError
from tap.plan import Plan
from tap.report import Chart, Page, read, render, report_page
from tap.report.colors import PAPER, TINTS, blend, cell_classes, contrast
from tap.report.judged import predict, wrong_ranks
from tap.report.search import Run
from tap.report.shapes import Node, funnel, tree
from tap.report.svg import Bar, Series, bars, heat_map, plot
from tap.search.config import Settings
from tap.sensitivity import Sensitivity

STYLE = Path(__file__).parent.parent / "python" / "tap" / "report" / "style.css"
NET = {
    "name": "digits",
    "formats": ["int2", "int4"],
    "budgets": ["3bits"],
    "full": 0.99,
    "ceilings": {"configurations": 0.9},
    "chance": [{"budget": "3bits", "n": 3, "loss": [0.1, 0.2, 0.3], "accuracy": [0.9, 0.8, 0.7]}],
    "settings": {},
}
AGREED = {
    "value": 0.5, "low": 0.4, "high": 0.6, "relative": 0.55, "by_group": {}, "regret": 0.1,
    "difference": 0.0, "p": None,
}  # fmt: skip
PLANNED = {
    "budget": "3bits", "bytes": 100, "bits": 3.0, "choice": [0], "loss": 0.1, "loss_error": 0.01,
    "accuracy": 0.95, "plain_loss": 0.2, "plain_accuracy": 0.9,
}  # fmt: skip


def contestant(name: str, kind: str, **changes: object) -> dict[str, object]:
    """One row of a benchmark."""
    row = {"name": name, "kind": kind, "configurations": AGREED, "sensitivity": None, "plans": [PLANNED]}
    return {**row, "gain": None, "gain_p": None, "error": "", **changes}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One file of every kind, of the demo's network where it has one."""
    place = tmp_path_factory.mktemp("report")
    model, data = "tap.demo:model", ["-d", "tap.demo:calibration", "-n", "32"]
    names = ("table", "sensitivity", "configurations")
    found = {name: place / f"{name}.safetensors" for name in names} | {"plan": place / "plan.json"}
    few = ["-f", "int2,int3,int4", "-q", "-o"]
    assert run(["collect", model, *data, *few, str(found["table"])]) == 0
    assert run(["measure", model, *data, *few, str(found["sensitivity"])]) == 0
    whole = ["--configs", "8", "-b", "int3"]
    assert run(["measure", model, *data, *whole, *few, str(found["configurations"])]) == 0
    assert run(["allocate", "-t", str(found["table"]), "-b", "int3", "-q", "-o", str(found["plan"])]) == 0
    found["run"] = place / "run.db"
    search_runs.run(
        found["run"], settings=Settings(generations=3, calls=3, children=2, controller="dpo", local=50)
    )
    found["bench"] = place / "result.json"
    rows = [contestant("sqnr", "named"), contestant("plain", "named", plans=[{**PLANNED, "accuracy": 0.9}])]
    rows += [contestant("uniform", "baseline", configurations=None), contestant("bad", "named", plans=[None])]
    found["bench"].write_text(json.dumps({"version": 1, "tap": "0.1.0", "nets": [{**NET, "rows": rows}]}))
    return found


def test_every_value_has_a_mark_and_a_tooltip() -> None:
    drawn = bars([Bar("a", 2.0, "b2", "a: int2"), Bar("b", 8.0, "b8", "b: int8")], label="bits", unit="bits")
    assert drawn.count("<rect") == drawn.count("<title>") == 2
    drawn = heat_map(["a", "b"], ["int2"], np.array([[1.0], [0.0]]), label="heat", errors=np.ones((2, 1)))
    assert drawn.count("<rect") == 2
    drawn = plot([Series("s", [1.0, 2.0], [0.1, float("nan")])], label="p", x_name="x", y_name="y")
    assert drawn.count("<circle") == 1
    drawn = plot(
        [Series("s", [1.0, -1.0, 0.0], [0.1, 0.2, 0.3])], label="p", x_name="x", y_name="y", log_x=True
    )
    assert drawn.count("<circle") == 1
    nodes = [Node(1, 1.0, 0.5, (), 0, "first", True), Node(2, 2.0, 0.6, (1, 7), 1, "second", True)]
    drawn = tree(nodes, label="t", x_name="x", y_name="y", styles={0: "init", 1: "mutation"})
    assert drawn.count('class="kin"') == 1
    assert "(−3)" in funnel([("written", 5), ("compile", 2)], label="f")


def test_text_is_escaped_and_nothing_is_loaded() -> None:
    page = render(
        Page("<b>", "&", sections=(Chart("c", "t", rows=[{"x": "<i>", "n": float("nan")}], code="<u>"),))
    )
    assert not re.search("<[biu]>", page)
    assert "<script" not in page
    assert "http" not in page


def test_text_on_every_tint_can_be_read() -> None:
    """WCAG 2.1 AA asks for 4.5 of text; of marks and lines 3."""
    for theme in TINTS:
        for opacity in np.linspace(0, 0.95, 96):
            for negative in (False, True):
                white = f"{theme[0]}w" in cell_classes(float(opacity), negative=negative).split()
                words = "#ffffff" if white else "#000000"
                assert contrast(words, blend(theme, float(opacity), negative)) >= 4.5
    light, dark = STYLE.read_text().split("@media (prefers-color-scheme: dark)")[:2]
    for sheet, theme in ((light, "light"), (dark, "dark")):
        colors = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", sheet))
        assert colors["paper"] == PAPER[theme]
        assert (colors["blue"], colors["rust"]) == TINTS[theme]
        for name in ("ink", "soft", "blue"):
            for under in ("paper", "panel", "mark"):
                assert contrast(colors[name], colors[under]) >= 4.5, (theme, name, under)
        for name in ("b1", "b2", "b3", "b4", "b5", "b6", "b8"):
            assert contrast(colors[name], colors["paper"]) >= 3, (theme, name)


def test_a_proxy_that_trusts_one_unit_too_much_is_shown_to() -> None:
    rng = np.random.default_rng(0)
    choice = rng.integers(0, 2, (60, 3))
    bits = np.array([2.0, 4.0])[choice]
    loss = 10 - bits @ np.array([0.1, 1.0, 1.0])
    zeros = np.zeros(60)
    truth = Configurations(
        ("a", "b", "c"),
        ("int2", "int4"),
        choice,
        loss,
        zeros,
        zeros,
        np.zeros(60, int),
        zeros.astype(int),
        1.0,
    )
    scores = -np.outer([3.0, 1.0, 1.0], [2.0, 4.0])
    missed = wrong_ranks(scores, truth)
    assert predict(scores, truth).shape == (60,)
    assert missed[0] > 0.3 > 0 > missed[1:].max()
    values = np.array([[3.0, 1.0], [2.0, 0.5], [1.0, 0.1]])
    alone = Sensitivity(("a", "b", "c"), ("int2", "int4"), values, np.zeros((3, 2)), 1.0)
    assert wrong_ranks(values[::-1], alone).tolist() == [-2.0, 0.0, 2.0]


def test_every_kind_of_file_is_recognised(files: dict[str, Path]) -> None:
    found = read(files.values())
    counts = [len(found.plans), len(found.tables), len(found.targets), len(found.runs), len(found.benches)]
    assert counts == [1, 1, 2, 1, 1]
    headings = [chart.heading for chart in report_page(found).sections]
    assert headings[:5] == ["Bits by depth", "Frontier", "Marginal prices", "Scores", "Sensitivity"]
    for name in ("Lineage", "Controller", "Rejected, by reason", "Costs", "digits: accuracy and size"):
        assert name in headings


def test_the_funnel_adds_up(files: dict[str, Path]) -> None:
    found = Run.load(files["run"])
    assert found is not None
    chart = next(c for c in report_page(read([files["run"]])).sections if c.heading.startswith("Rejected"))
    written = sum(int(row["written"]) for row in chart.rows)
    assert written == len(found.candidates) > 0
    for row in chart.rows:
        assert row["written"] == sum(value for key, value in row.items() if key not in ("origin", "written"))


def test_a_pinned_plan_keeps_its_frontier(files: dict[str, Path], tmp_path: Path) -> None:
    plan = Plan.load(files["plan"]).restrict(pin={"stem": "int4"}, forbid=[("classifier", "int2")])
    plan.save(tmp_path / "pinned.json")
    sections = report_page(read([tmp_path / "pinned.json"])).sections
    sizes = [row["bytes"] for row in next(c for c in sections if c.heading == "Frontier").rows]
    assert plan.bytes in sizes


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cannot be read"),
        (b'{"tap": 1}', "JSON of something else"),
        (b"{", "not valid JSON"),
        (b'{"nets": [{"name": "x"}]}', "lacks 'rows'"),
        (b"SQLite format 3\0 and nothing", "the store"),
    ],
)
def test_other_files_are_refused(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(TapError, match=says):
        report_page(read([path]))


def test_a_truth_of_another_model_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    other = Sensitivity(("a",), ("int2",), np.ones((1, 1)), np.ones((1, 1)), 1.0, fingerprint="other")
    other.save(tmp_path / "other.safetensors")
    with pytest.raises(TapError, match="different models"):
        report_page(read([files["table"], tmp_path / "other.safetensors"]))


@pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium is installed; TAP_CHROMIUM names one")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
def test_a_browser_shows_every_chart(files: dict[str, Path], tmp_path: Path, width: int, dark: bool) -> None:
    page = tmp_path / "report.html"
    assert run(["report", *map(str, files.values()), "-o", str(page), "-q"]) == 0
    seen = browser.look(page, tmp_path, width=width, dark=dark)
    assert (seen.probe["errors"], seen.console) == ([], [])
    assert seen.probe["width"] == width
    assert seen.probe["overflow"] <= 0, "the page itself scrolls sideways"
    assert seen.probe["dark"] == dark
    assert seen.probe["unnamed"] == 0
    charts = seen.probe["charts"]
    assert len(charts) >= 20
    for chart in charts:
        assert chart["width"] > 200, chart
        assert chart["height"] > 50, chart
        assert chart["seen"] == chart["marks"] > 0, chart
        assert chart["outside"] == 0, chart
        assert chart["smallest"] > 8, chart
    browser.picture(page, tmp_path / "page.png", width=width)
    assert (tmp_path / "page.png").stat().st_size > 20_000
