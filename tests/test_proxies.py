"""The named proxies: what their headers promise, golden scores, and an independent implementation."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from oracles import compensated
from oracles.dsl_random import INPUTS
from oracles.proxies import SCORES, SENSITIVITY, error_of, facts, small_case
from tap import proxies
from tap.errors import ProxyError
from tap.stats.table import LayerTable, Sample
from tap.stats.units import Unit

GOLDEN = Path(__file__).parent / "golden" / "proxies.json"
SIGNED = {"w", "g", "h", "hg", "dw", "plain", "gdw", "vgrad", "x_mean", "z_mean"}
FORMATS = ("int2", "int3", "int8")


def golden_table() -> LayerTable:
    """Three units with plausible numbers, the same on every machine."""
    units = (
        Unit("stem", "conv2d", out=8, inp=3, pos=9, macs=55_296, kernel=3),
        Unit("depthwise", "conv2d", out=8, inp=1, pos=9, macs=4_608, groups=8, kernel=3, stride=2),
        Unit("head", "linear", out=10, inp=8, pos=1, macs=80),
    )
    blocks = np.array([[4, 3, 9], [8, 1, 9], [10, 4, 1]])
    sizes = [
        dict(zip(("format", "out", "in", "pos"), (3, *map(int, block)), strict=True)) for block in blocks
    ]
    columns, samples = {}, {}
    for axes, names in sorted(INPUTS.items(), key=lambda item: sorted(item[0])):
        order = tuple(axis for axis in ("format", "out", "in", "pos") if axis in axes)
        for name in sorted(names):
            rng = np.random.default_rng([7, zlib.crc32(name.encode())])
            shapes = [tuple(size[axis] for axis in order) for size in sizes]
            values = [rng.standard_normal(shape) * 10.0 ** rng.uniform(-2, 1) for shape in shapes]
            if name not in SIGNED:
                values = [np.abs(value) for value in values]
            if order in ((), ("format",)):
                columns[name] = np.array(values, np.float64)
            else:
                samples[name] = Sample(order, tuple(value.astype(np.float32) for value in values))
    columns["bits"] = np.tile([2.0, 3.0, 8.0], (3, 1))
    columns["act_bits"] = np.full((3, 3), 16.0)
    shape = {"numel", "macs", "depth", "index", "n_layers", "out_channels", "in_channels", "kernel", "stride"}
    shape |= {"groups", "is_conv", "is_linear", "is_depthwise", "is_first", "is_last"}
    kept = {name: column for name, column in columns.items() if name not in shape}
    return LayerTable(units, FORMATS, kept, samples, blocks)


@pytest.mark.parametrize("name", proxies.names())
def test_the_header_says_what_the_program_reads(name: str) -> None:
    header, proxy = proxies.header(name), proxies.load(name)
    assert sorted(header.inputs) == sorted(proxy.inputs)
    assert proxy.notes == ()
    for text in (header.title, header.formula, header.source, header.differs):
        assert len(text) > 4
    assert proxies.source(name).count("\n# ") == 4


def test_programs_are_all_different() -> None:
    hashes = [proxies.load(name).hash for name in proxies.names()]
    assert len(set(hashes)) == len(hashes) - len(SAME)


SAME: tuple[str, ...] = ()


def test_scores_are_the_golden_ones() -> None:
    """Set TAP_GOLDEN=1 to write the file again after a formula has changed on purpose."""
    table = golden_table()
    scores = {name: proxies.load(name).score(table).tolist() for name in proxies.names()}
    if os.environ.get("TAP_GOLDEN"):
        GOLDEN.write_text(json.dumps(scores, indent=0).replace("\n", "") + "\n", encoding="utf-8")
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert set(golden) == set(scores)
    for name, values in golden.items():
        np.testing.assert_allclose(scores[name], values, rtol=1e-12, err_msg=name)


@pytest.fixture(scope="module")
def small() -> tuple[LayerTable, dict[str, np.ndarray]]:
    """The table of a small network, and the scores of all proxies computed apart from it."""
    from tap.formats import parse_all
    from tap.stats.collect import collect

    model, images, labels = small_case()
    formats = parse_all(FORMATS)
    table = collect(
        model, (images, labels), formats=FORMATS, sample=None, progress=False, tolerance=1e-9, iterations=500
    )
    found = facts(model, images, labels)
    scores: dict[str, np.ndarray] = {}
    for fact in found:
        weight = fact.weight.float()
        quantized = [form.quantize(weight).double() for form in formats]
        errors = [
            error_of(fact, q, quantized[-1], form.bits) for q, form in zip(quantized, formats, strict=True)
        ]
        for name, sensitivity in SENSITIVITY.items():
            value = float(sensitivity(fact))
            row = [value * float(error.dw.square().sum()) for error in errors]
            scores.setdefault(name, np.zeros((0, len(formats))))
            scores[name] = np.vstack([scores[name], row])
        for name, score in SCORES.items():
            row = [float(torch.as_tensor(score(fact, error))) for error in errors]
            scores.setdefault(name, np.zeros((0, len(formats))))
            scores[name] = np.vstack([scores[name], row])
    names = [unit.name for unit in table.units]
    half = len(images) // 2
    noise = compensated.reference(
        model, names, [(images[:half], labels[:half])], images[half:], list(FORMATS), 0, {"first"}
    )
    scores["logit_noise"] = noise["comp_logit_dw2"].numpy()
    trace = np.array([float(fact.hessian.trace()) for fact in found])
    diagonal = tuple(
        fact.hessian.diagonal().reshape(unit.out, unit.inp, unit.pos).float().numpy()
        for fact, unit in zip(found, table.units, strict=True)
    )
    exact = LayerTable(
        table.units,
        table.formats,
        {**table.columns, "trace": trace},
        {**table.samples, "h": Sample(("out", "in", "pos"), diagonal)},
        table.blocks,
    )
    return exact, scores


def test_every_proxy_has_a_twin(small: tuple[LayerTable, dict[str, np.ndarray]]) -> None:
    assert set(small[1]) == set(proxies.names())


@pytest.mark.parametrize("name", proxies.names())
def test_scores_are_those_of_the_twin(name: str, small: tuple[LayerTable, dict[str, np.ndarray]]) -> None:
    """The trace and the diagonal of the Hessian are the exact ones here: their estimates are random."""
    table, scores = small
    ours, theirs = proxies.load(name).score(table), scores[name]
    scale = np.abs(theirs).max()
    np.testing.assert_allclose(ours, theirs, rtol=5e-3, atol=1e-5 * scale)


def test_a_wrong_name_gets_the_nearest() -> None:
    with pytest.raises(ProxyError, match="no proxy called 'hawqv2'") as caught:
        proxies.load("hawqv2")
    assert "hawq_v2" in str(caught.value.hint)


def test_the_page_of_proxies_is_current() -> None:
    """Write it again with `make docs`."""
    from tap.proxies.page import markdown

    page = Path(__file__).parent.parent / "docs" / "proxies.md"
    assert page.read_text(encoding="utf-8") == markdown()


# fmt: off
KNOWN = [
    "plain", "snip", "grasp", "synflow", "logsynflow", "fisher", "grad_norm", "l2_norm", "zico", "hawq_v1",
    "hawq_v1_mqbench", "hawq_v2", "hawq_trace_mqbench", "ompq", "qe", "brecq", "mpqco", "modelopt",
    "autoround", "squeezellm", "nncf_weight_error", "nncf_hessian", "nncf_mean_variance",
    "nncf_max_variance", "nncf_mean_magnitude", "pruner_zero", "sqnr",
]
# fmt: on
"""The formulas of the literature with a form for one unit; docs/proxies.md names those without."""


def test_every_known_formula_is_a_program_with_a_golden_result() -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    missing = set(KNOWN) - set(proxies.names()) | set(proxies.names()) - set(golden)
    assert not missing
    twins = set(SCORES) | set(SENSITIVITY) | {"logit_noise"}
    assert set(proxies.names()) <= twins
    assert all(np.isfinite(golden[name]).all() for name in KNOWN)
