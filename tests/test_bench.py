"""The benchmark: a small network end to end, resumed, from files at hand; its parts on cases made by hand."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import torch

from tap.bench import agreeing, charts, contestants, data, ranking
from tap.bench.case import Case, ready
from tap.bench.contestants import PROTECTED, UNIFORM, Ladder
from tap.bench.ranking import Bits
from tap.bench.result import Result
from tap.bench.run import Settings, run
from tap.bench.summary import overall
from tap.bench.tables import markdown
from tap.bench.truth import Given
from tap.cli.app import run as command
from tap.configurations import Configurations
from tap.errors import DataError, TableError, TapError
from tap.sensitivity import Sensitivity
from tap.stats.table import LayerTable

NETWORK = """
import torch
from nets import tiny
def model(): return tiny().eval()
def images(first, last):
    pixels = torch.randn(96, 3, 8, 8, generator=torch.Generator().manual_seed(5))[first:last]
    with torch.no_grad(): return [(pixels, model()(pixels).argmax(1))]
def calibration(): return images(0, 32)
def judged(): return images(32, 64)
def evaluation(): return images(64, 96)
"""
NAMED = {"weight_error": "score = dw2", "bits": "score = -bits", "broken": "score = log(0 * bits)"}
QUICK = Settings(configurations=6, random=3, draws=50, progress=False)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    file = tmp_path_factory.mktemp("net") / "net.py"
    file.write_text(NETWORK)
    places = {name: f"{file}:{name}" for name in ("model", "calibration", "judged", "evaluation")}
    described = {"name": "tiny", **places, "formats": ["int2", "int3", "int4"], "budgets": ["int2.5", "int3"]}
    file.with_suffix(".json").write_text(json.dumps(described))
    return ready(str(file.with_suffix(".json")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def result(case: Case, folder: Path) -> Result:
    found = {"found": "score = dw2 * bits"}
    return Result((run(case, folder, named=NAMED, discovered=found, settings=QUICK),), "0")


def test_every_contestant_has_its_row(result: Result) -> None:
    net = result.nets[0]
    names = [row.name for row in net.rows]
    assert names == [*NAMED, "found", UNIFORM, PROTECTED, "measured sensitivity"]
    assert net.full == 1.0
    assert "not finite" in net.row("broken").error
    assert net.row("broken").plans == (None, None)
    for row in net.rows:
        for plan, limit in zip(row.plans, (1, 0), strict=True):
            assert plan is None or (plan.loss > 0 and 0 <= plan.accuracy <= 1 and plan.bits < 5 - limit)
    measured = net.row("measured sensitivity").sensitivity
    assert measured is not None
    assert measured.value == pytest.approx(1)
    best = net.row("weight_error").configurations
    assert best is not None
    assert set(best.by_group) == {"int2.5", "int3"}


def test_plans_fit_their_budgets(result: Result) -> None:
    net = result.nets[0]
    uniform = net.row(UNIFORM).plans[1]
    assert uniform is not None
    assert len(set(uniform.choice)) == 1
    for row in net.rows:
        if row.name != "broken":
            assert all(plan is None or plan.bytes <= uniform.bytes for plan in row.plans)


def test_a_second_run_measures_nothing_and_says_the_same(case: Case, folder: Path, result: Result) -> None:
    before = (folder / "plans.journal").stat()
    again = run(case, folder, named=NAMED, discovered={"found": "score = dw2 * bits"}, settings=QUICK)
    after = (folder / "plans.journal").stat()
    assert after.st_size == before.st_size
    assert Result((again,), "0").text() == result.text()


def test_files_at_hand_are_used(case: Case, folder: Path, result: Result, tmp_path: Path) -> None:
    tables = [folder / "table.safetensors"]
    targets = [folder / "configurations.safetensors", folder / "sensitivity.safetensors"]
    net = run(case, tmp_path, named=NAMED, discovered={}, given=Given.load(tables, targets), settings=QUICK)
    assert not (tmp_path / "table.safetensors").exists()
    first, second = net.row("weight_error").configurations, result.nets[0].row("weight_error").configurations
    assert first is not None
    assert second is not None
    assert first.value == second.value


def test_the_folder_of_another_model_is_refused(case: Case, folder: Path, tmp_path: Path) -> None:
    table = LayerTable.load(folder / "table.safetensors")
    vars(table)["fingerprint"] = "other"
    table.save(tmp_path / "table.safetensors")
    with pytest.raises(TableError, match="another model"):
        run(case, tmp_path, named=NAMED, discovered={}, settings=QUICK)


def test_the_result_is_read_as_it_was_written(result: Result, tmp_path: Path) -> None:
    result.save(tmp_path / "result.json")
    read = Result.load(tmp_path / "result.json")
    assert read.text() == result.text()
    (tmp_path / "result.json").write_text('{"version": 9}')
    with pytest.raises(TapError, match="version 9"):
        Result.load(tmp_path / "result.json")


def test_the_page_and_the_charts_show_it(result: Result, tmp_path: Path) -> None:
    page = markdown([result.nets[0], result.nets[0]])
    assert "## All networks" in page
    assert "| **found** |" in page
    assert "- broken: the score" in page
    widths = [line.count("|") for line in page.splitlines() if line.startswith("|")]
    assert min(widths) > 3
    for path in charts.save(result.nets[0], tmp_path):
        root = ET.parse(path).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "weight_error" in path.read_text()


def test_the_summary_counts_what_is_below_uniform(result: Result) -> None:
    net = result.nets[0]
    one = next(one for one in overall([net, net]) if one.name == "weight_error")
    plans, uniform = net.row("weight_error").plans, net.row(UNIFORM).plans
    worse = sum(a.loss > b.loss for a, b in zip(plans, uniform, strict=True) if a and b)
    assert (one.below, one.compared, one.nets) == (2 * worse, 4, 2)


def truth(loss: list[float], choice: list[list[int]]) -> Configurations:
    nothing, none = np.zeros(len(loss)), np.zeros(len(loss), np.int64)
    rows = np.array(choice, np.int64)
    units = tuple("abcdefgh"[: rows.shape[1]])
    return Configurations(units, ("x", "y"), rows, np.array(loss), nothing, nothing, none, none, ceiling=0.5)


def test_agreement_of_a_perfect_an_opposite_and_a_constant_score() -> None:
    choice = [[0, 0], [0, 1], [1, 0], [1, 1]]
    right, wrong = np.array([[2.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 2.0], [0.0, 1.0]])
    found = agreeing.with_configurations([right, wrong, 0 * right], truth([3, 2, 1, 0], choice), draws=200)
    assert found.value.tolist() == [1, -1, 0]
    assert found.relative.tolist() == [2, -2, 0]
    assert found.regret.tolist() == [0, 2, 1]
    difference, p = found.against(0)
    assert difference.tolist() == [0, -2, -1]
    assert p[0] == 1
    assert p[1] < 0.05


def test_the_paired_test_needs_evidence() -> None:
    """Scores that differ by noise alone are rarely told apart; p falls evenly between 0 and 1."""
    rng = np.random.default_rng(3)
    small = 0
    for _ in range(40):
        loss, choice = rng.normal(size=30), rng.integers(0, 2, (30, 8))
        pair = [rng.normal(size=(8, 2)) for _ in range(2)]
        found = agreeing.with_configurations(pair, truth(list(loss), choice.tolist()), draws=200)
        small += bool(found.against(0)[1][1] < 0.05)
    assert small <= 8


def test_agreement_with_a_sensitivity_is_within_each_format_and_pooled() -> None:
    values = np.array([[3.0, 1.0], [5.0, 2.0], [4.0, 1.5]])
    target = Sensitivity(("a", "b", "c"), ("x", "y"), values, values, ceiling=0.5)
    found = agreeing.with_sensitivity([values, -values], target, draws=20)
    assert found.by_group.tolist() == [[1, 1], [-1, -1]]
    assert found.value.tolist() == pytest.approx([1, -1])
    assert found.relative.tolist() == [2, -2]
    assert np.isnan(found.regret).all()


def test_the_protected_plan_spends_what_is_left_from_the_input_on() -> None:
    cost = np.array([[2, 3, 4]] * 5)
    order = np.array([0, 1, 2])
    assert contestants._protected(cost, order, 16) == (2, 1, 1, 0, 2)
    assert contestants._protected(cost, order, 13) is None
    assert contestants._uniform(cost, order, 16) == (1,) * 5
    assert contestants._uniform(cost, order, 9) is None


def test_a_ladder_of_bit_operations(folder: Path, result: Result) -> None:
    table = LayerTable.load(folder / "table.safetensors")
    operations = sum(unit.macs for unit in table.units)
    rungs = contestants.ladder(table, [f"bops={operations * bits * 16}" for bits in (2, 3, 4, 8)])
    assert rungs.limits == (operations * 48,)
    found = contestants.of_scores(
        "bits", -np.tile([2.0, 3.0, 4.0], (len(table.units), 1)), rungs, kind="named"
    )
    assert found.choices[0] is not None
    spent = rungs.cost[np.arange(len(table.units)), list(found.choices[0])].sum()
    assert operations * 32 < spent <= operations * 48
    with pytest.raises(TapError, match="of one cost, not of bops and bytes"):
        contestants.ladder(table, ["int3", "bops=1G"])


def test_random_plans_are_reproducible_and_of_the_budgets_size() -> None:
    rungs = Ladder(("a", "b"), (20, 26), np.array([[2, 3, 4]] * 8))
    first, second = (contestants.random_choices(rungs, 5, 1) for _ in range(2))
    assert first == second
    assert [len(some) for some in first] == [5, 5]
    assert {sum(2 + place for place in choice) for choice in first[1]} == {26}


def test_cases_by_name_and_their_errors(tmp_path: Path) -> None:
    assert ready("timm:resnet18", data="/x").judged == "tap.bench.data:timm_judged:resnet18@/x"
    assert ready("hf:org/name", data="/x").name == "hf-org-name"
    assert ready("resnet20", data="/x").model.endswith("cifar10.py:resnet20:/x")
    with pytest.raises(TapError, match="needs data"):
        ready("hf:name")
    with pytest.raises(TapError, match="no case 'cifar'"):
        ready("cifar")
    (tmp_path / "case.json").write_text('{"name": "x", "colour": 1}')
    with pytest.raises(TapError, match="unknown 'colour'"):
        ready(str(tmp_path / "case.json"))
    (tmp_path / "case.json").write_text('{"name": "x"}')
    with pytest.raises(TapError, match="not a case"):
        ready(str(tmp_path / "case.json"))


def test_images_of_folders_take_each_class_in_turn(tmp_path: Path) -> None:
    from PIL import Image

    for name, count in (("cat", 2), ("dog", 3)):
        (tmp_path / name).mkdir()
        for place in range(count):
            Image.new("RGB", (4, 4), (place, 0, 0)).save(tmp_path / name / f"{place}.png")
    found = data.files_of(tmp_path)
    assert [label for _, label in found] == [0, 1, 0, 1, 1]

    def transform(image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float()

    parts = [data.image_batches(str(tmp_path), which, transform) for which in range(3)]
    assert sum(len(labels) for part in parts for _, labels in part) == 5
    assert parts[2][0][0].shape[1:] == (3, 4, 4)
    (tmp_path / "cat").rename(tmp_path / "7")
    (tmp_path / "dog").rename(tmp_path / "12")
    assert {label for _, label in data.files_of(tmp_path)} == {7, 12}
    with pytest.raises(DataError, match="no folder"):
        data.files_of(tmp_path / "none")


def test_text_becomes_sequences_that_are_their_own_targets() -> None:
    tokens = list(range(256 * 7 + 3))
    parts = [data.token_batches(tokens, which) for which in range(3)]
    rows = torch.cat([batch["input_ids"] for part in parts for batch in part])
    assert rows.flatten().tolist() == tokens[: 256 * 7]
    assert torch.equal(parts[0][0]["labels"], parts[0][0]["input_ids"])
    with pytest.raises(DataError, match="2 tokens"):
        data.token_batches([1, 2], 0)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.tap").write_text("score = dw2 / numel ** 0.5\n")
    words = ["bench", "digits", "--out", str(tmp_path / "out"), "-p", "weight_error", "--json", "--quiet"]
    words += ["--discovered", str(tmp_path / "mine.tap"), "-b", "int3", "--configs", "0", "--random", "0"]
    words += ["--formats", "int2,int4", "--samples", "64", "--draws", "10"]
    assert command(words) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {"weight_error", "mine", UNIFORM} <= {row["contestant"] for row in shown}
    assert Result.load(tmp_path / "out" / "result.json").nets[0].name == "digits"
    assert "# Benchmark" in (tmp_path / "out" / "result.md").read_text()
    assert command(["bench", "nothing", "--out", str(tmp_path)]) == 2


def bits() -> Bits:
    choice = ranking.draw(4, 3, 40, seed=2)
    accuracy = choice.sum(axis=1) / 8 + np.random.default_rng(0).normal(size=40) / 50
    return Bits(
        "net, 10 samples", "mark", tuple("abcd"), ("int2", "int3", "int4"), choice, accuracy, -accuracy
    )


def test_bit_configurations_are_read_as_written_and_damage_is_seen(tmp_path: Path) -> None:
    bits().save(tmp_path / "net.bits")
    read = Bits.load(tmp_path / "net.bits")
    assert read.text() == bits().text()
    assert np.array_equal(read.choice, bits().choice)
    damaged = bits().text().replace("int3,", "int2,", 1)
    with pytest.raises(TableError, match="checksum"):
        Bits.read(damaged)
    with pytest.raises(TableError, match="not a file"):
        Bits.read("3,2,4:0.5")


def test_the_correlation_is_taken_among_the_best_predicted() -> None:
    """Against SciPy on the part that is sorted and cut by hand."""
    from scipy import stats

    made = bits()
    scores = np.random.default_rng(1).normal(size=(4, 3)) - np.arange(3)
    prediction = ranking.predicted(scores, made)
    by_hand = [-sum(scores[unit, place] for unit, place in enumerate(row)) for row in made.choice]
    np.testing.assert_allclose(prediction, by_hand)
    pairs = sorted(zip(by_hand, made.accuracy, strict=True), reverse=True)
    for (rho, tau), count in zip(ranking.at_top(prediction, made.accuracy), (8, 20, 40), strict=True):
        first, second = zip(*pairs[:count], strict=True)
        assert rho == pytest.approx(stats.spearmanr(first, second).statistic)
        assert tau == pytest.approx(stats.kendalltau(first, second).statistic)


def test_drawn_configurations_differ() -> None:
    assert len({tuple(row) for row in ranking.draw(2, 3, 50).tolist()}) == 9
