"""One proxy over one table: scores, identity, notes, errors, limits."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from oracles.gbnf import derive, rules_of
from tap import _core
from tap.errors import ProxyError, TableError
from tap.proxy import Proxy, core_table, typed_grammar
from tap.stats.table import LayerTable, Sample
from tap.stats.units import Unit


@pytest.fixture
def table() -> LayerTable:
    """Two units whose samples are 2x2x1 of 4x2x1 and 1x2x1 of 1x2x1, in two formats."""
    units = (Unit("a", "conv2d", 4, 2, 1, macs=80), Unit("b", "linear", 1, 2, 1, macs=20))
    weights = (np.float32([[[1], [-2]], [[3], [4]]]), np.float32([[[5], [6]]]))
    errors = tuple(np.stack([weight / 10, weight / 100]).astype(np.float32) for weight in weights)
    return LayerTable(
        units,
        ("int2", "int4"),
        {
            "trace": np.array([8.0, 2.0]),
            "dw2": np.array([[3.0, 0.3], [1.0, 0.1]]),
            "mine": np.array([1.0, 2.0]),
        },
        {"w": Sample(("out", "in", "pos"), weights), "dw": Sample(("format", "out", "in", "pos"), errors)},
        np.array([[2, 2, 1], [1, 2, 1]]),
    )


def test_a_score_with_formats_is_what_the_formula_says(table: LayerTable) -> None:
    scores = Proxy("score = trace / numel * sum(square(dw))").score(table)
    sums = [2 * (1 + 4 + 9 + 16), 25 + 36]
    expected = [
        [8 / 8 * sums[0] / 100, 8 / 8 * sums[0] / 1e4],
        [2 / 2 * sums[1] / 100, 2 / 2 * sums[1] / 1e4],
    ]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_a_score_without_formats_is_multiplied_by_the_squared_error(table: LayerTable) -> None:
    proxy = Proxy("trace / numel")
    assert proxy.axes == ()
    np.testing.assert_allclose(proxy.score(table), [[3.0, 0.3], [1.0, 0.1]])


def test_a_column_of_the_user_is_an_input(table: LayerTable) -> None:
    with pytest.raises(ProxyError, match="mine"):
        Proxy("score = mine * bits")
    proxy = Proxy("score = mine * dw2", columns=table)
    np.testing.assert_allclose(proxy.score(table), [[3.0, 0.3], [2.0, 0.2]])


def test_hashes_name_formulas_and_not_texts() -> None:
    same = ["score = a2 + w_norm2 * 3", "x = a2\nscore = (1 + 2) * w_norm2 + x", "a2 + w_norm2 * 3.0  # c"]
    hashes = {Proxy(text.replace("a2", "trace")).hash for text in same}
    assert len(hashes) == 1
    assert Proxy("score = trace + w_norm2 * 2").hash not in hashes


def test_slips_are_put_right_with_notes() -> None:
    proxy = Proxy("```python\ndef f(w, dw):\n    return np.log(w.abs().mean() ^ 2);\n```")
    assert proxy.hash == Proxy("score = log(mean(abs(w)) ** 2)").hash
    assert len(proxy.notes) == 9


def test_an_error_shows_where_and_how_to_repair() -> None:
    with pytest.raises(ProxyError) as caught:
        Proxy("x = trace\nscore = x * mena(w)")
    error = caught.value
    assert (error.kind, error.span) == ("unknown-operator", (22, 26))
    assert error.report.splitlines() == [
        "error[unknown-operator]: `mena` is not an operator",
        "  |",
        "2 | score = x * mena(w)",
        "  |             ^^^^",
        f"hint: {error.hint}",
    ]
    text = _core.error_json("x = trace\nscore = x * mena(w)", error.kind, error.span, error.message, "h")
    assert json.loads(text) == {
        "kind": error.kind,
        "message": error.message,
        "hint": "h",
        "span": [22, 26],
        "line": 2,
        "column": 13,
        "report": error.report.replace(str(error.hint), "h"),
    }


def test_a_score_that_is_not_finite_names_unit_and_operator(table: LayerTable) -> None:
    with pytest.raises(ProxyError, match=r"unit 'b' is not finite: `log`") as caught:
        Proxy("x = log(trace - 2)\nscore = x + numel").score(table)
    assert (caught.value.kind, caught.value.span) == ("non-finite", (4, 18))


def test_an_infinity_that_disappears_is_no_error(table: LayerTable) -> None:
    scores = Proxy("score = where(trace > 2, dw2, 1 / (1 / (trace - 2)))").score(table)
    np.testing.assert_array_equal(scores, [[3.0, 0.3], [0.0, 0.0]])


def test_a_missing_input_is_named(table: LayerTable) -> None:
    with pytest.raises(ProxyError, match="does not hold `lambda_max`") as caught:
        Proxy("score = lambda_max * dw2").score(table)
    assert caught.value.kind == "missing-input"


def test_a_score_without_formats_needs_the_squared_error(table: LayerTable) -> None:
    bare = LayerTable(table.units, table.formats, {"trace": table.columns["trace"]})
    with pytest.raises(TableError, match="dw2"):
        Proxy("trace").score(bare)


@pytest.mark.parametrize(
    ("limit", "value", "source"),
    [
        ("source_bytes", 10, "score = trace + 1"),
        ("tokens", 3, "score = trace + 1"),
        ("nesting", 2, "score = ((abs(trace)))"),
        ("operators", 1, "score = abs(trace) + 1"),
    ],
)
def test_limits_refuse_a_program(limit: str, value: int, source: str) -> None:
    code = {"source_bytes": "limit-source", "operators": "limit-operators"}.get(limit, f"limit-{limit}")
    with pytest.raises(ProxyError) as caught:
        Proxy(source, limits={limit: value})
    assert caught.value.kind == code


@pytest.mark.parametrize(("limit", "code"), [("work", "limit-work"), ("live_bytes", "limit-memory")])
def test_limits_refuse_a_run(table: LayerTable, limit: str, code: str) -> None:
    with pytest.raises(ProxyError) as caught:
        Proxy("score = sum(square(dw))", limits={limit: 1}).score(table)
    assert caught.value.kind == code


def test_the_core_table_is_made_once(table: LayerTable) -> None:
    assert core_table(table) is core_table(table)


def test_operators_and_inputs_are_listed_once() -> None:
    inputs = [name for name, _, _ in _core.inputs()]
    called = [row["name"] for row in _core.operators() if row["call"]]
    assert len(inputs) == len(set(inputs))
    assert {name for name in called if called.count(name) > 1} == {"min", "max"}
    assert all(row["doc"] for row in _core.operators())


def test_random_programs_and_golden_programs_follow_the_lark_grammar() -> None:
    lark = pytest.importorskip("lark")
    parser = lark.Lark(_core.grammar("lark"), parser="lalr")
    sources = _core.random_programs(5, 300, 14)
    golden = Path(__file__).parent / "golden" / "dsl" / "ok"
    own_form = {"bare", "slips"}  # a bare expression and slips are read, but not offered to a model
    sources += [path.read_text() for path in sorted(golden.glob("*.tap")) if path.stem not in own_form]
    for source in sources:
        if "(trace  #" not in source:  # the grammar keeps a statement on one line
            parser.parse(_core.format_source(source))


def test_what_the_lark_grammar_refuses() -> None:
    lark = pytest.importorskip("lark")
    parser = lark.Lark(_core.grammar("lark"), parser="lalr")
    for source in (
        "score = w[0]\n",
        "score = a if b else c\n",
        "x = 1\n",
        "score = where(1, 2)\n",
        "score = 1 < 2 < 3\n",
    ):
        with pytest.raises(lark.exceptions.LarkError):
            parser.parse(source)


def test_grammars_name_every_operator() -> None:
    names = {row["name"] for row in _core.operators()}
    for notation in ("gbnf", "lark"):
        text = _core.grammar(notation)
        assert {name for name in names if f'"{name}"' not in text} == set()
    schema = json.loads(_core.grammar("json-schema"))
    assert schema["properties"]["candidates"]["items"]["required"] == ["thought", "code"]
    with pytest.raises(ValueError, match="lark"):
        _core.grammar("bnf")


def test_offspring_differ_from_their_parent() -> None:
    parent = "score = trace / numel * sum(square(dw))"
    children, places = _core.vary(3, [parent], 40)
    assert children == _core.vary(3, [parent], 40)[0]
    assert set(places.tolist()) <= {0, -1}
    assert Proxy(parent).hash not in {Proxy(child).hash for child in children}


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_all_that_the_typed_grammar_derives_compiles(depth: int) -> None:
    rng = random.Random(depth)
    names = [name for name, _, _ in _core.inputs()]
    for _ in range(3):
        inputs = [*rng.sample(names, 6), "w", "numel"]
        rules = rules_of(typed_grammar(inputs, depth=depth))
        for _ in range(200):
            source = derive(rules, rules["root"], rng)
            assert set(Proxy(source).inputs) <= set(inputs), source


def test_a_typed_grammar_needs_a_score() -> None:
    with pytest.raises(ValueError, match="no score of these inputs is 0 operators deep"):
        typed_grammar(["w"], depth=0)
    with pytest.raises(ValueError, match="at most 8"):
        typed_grammar(["w"], depth=99)
    with pytest.raises(ValueError, match="'nothing' is no input"):
        typed_grammar(["nothing"])
