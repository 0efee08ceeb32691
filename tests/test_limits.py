"""Limits of programs: set for each call, from Python and the command line, and kept to by what runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tap
from tap.limits import DEFAULTS, checked, parse
from tap.stats.table import LayerTable, Sample
from tap.stats.units import Unit

CODES = {
    "source_bytes": "limit-source",
    "tokens": "limit-tokens",
    "nesting": "limit-nesting",
    "operators": "limit-operators",
    "live_bytes": "limit-memory",
    "work": "limit-work",
}
SLACK = 1 << 20
"""Bytes that an allocator and the interpreter may take beside what a run holds."""
HUNGRY = {
    "fused": "score = sum(square(dw) * g2) / norm2(w)",
    "many values": "a = w + 1\nb = w * 2\nc = w - g2\nscore = mean(var(a * b * c, out) + var(b + c, out))",
    "one group": "score = median(abs(w))",
    "many groups": "score = max(median(dw, in_))",
    "broadcast": "score = var(w * x_sq * mean(w, in_, pos))",
    "moments": "score = kurtosis(dw) + entropy(g2)",
    "not finite, fused": "score = sum(log(abs(w) * 0))",
    "not finite, plain": "score = median(log(abs(w) * 0) + dw)",
    "across units": "score = rank(median(w)) + cumsum(mean(dw)) * bits",
}


def table(size: int) -> LayerTable:
    """Two units with samples of `size` x 512 and half of that, in two formats."""
    rng = np.random.default_rng(0)
    units = (Unit("a", "linear", size, 512, 1, 1), Unit("b", "linear", size // 2, 512, 1, 1))
    shapes = [(unit.out, unit.inp, 1) for unit in units]
    weights = tuple(rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    errors = tuple(np.stack([weight / 4, weight / 16]) for weight in weights)
    powers = tuple(np.ones(512, np.float32) for _ in units)
    samples = {
        "w": Sample(("out", "in", "pos"), weights),
        "g2": Sample(("out", "in", "pos"), tuple(np.square(weight) for weight in weights)),
        "dw": Sample(("format", "out", "in", "pos"), errors),
        "x_sq": Sample(("in",), powers),
    }
    columns = {"bits": np.array([[2.0, 4.0]] * 2), "dw2": np.ones((2, 2))}
    return LayerTable(units, ("int2", "int4"), columns, samples, np.array(shapes))


def needs(source: str, layers: LayerTable, limit: str) -> int:
    """What a run needs, as the refusal says it."""
    with pytest.raises(tap.ProxyError) as caught:
        tap.Proxy(source, limits={limit: 1}).score(layers)
    assert caught.value.kind == CODES[limit]
    found = re.search(r"needs (\d+)", caught.value.message)
    assert found is not None
    return int(found.group(1))


def peak() -> int:
    """The most memory this process has held since `forget`, in bytes."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text()).group(1)) << 10  # type: ignore[union-attr]


def forget() -> int:
    """Start the peak anew; gives what is held now."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def measure(name: str) -> dict[str, int]:
    """Run one program within exactly what it says that it needs."""
    source, layers = HUNGRY[name], table(2048)
    bound = needs(source, layers, "live_bytes")
    proxy = tap.Proxy(source, limits={"live_bytes": bound})
    before = forget()
    try:
        proxy.score(layers)
        finite = True
    except tap.ProxyError as error:
        if error.kind != "non-finite":
            raise
        finite = False
    return {"bound": bound, "held": peak() - before, "finite": finite}


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("name", HUNGRY)
def test_a_run_holds_no_more_than_it_said(name: str) -> None:
    """In a process of its own, since memory that was given back once is not taken anew."""
    command = [sys.executable, __file__, name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["held"] <= found["bound"] + SLACK, found
    assert found["bound"] <= 3 * found["held"] + 2 * SLACK, f"the bound says too much: {found}"
    assert found["finite"] == (not name.startswith("not finite"))


@pytest.mark.parametrize("limit", DEFAULTS)
def test_a_limit_holds_to_the_last_unit(limit: str) -> None:
    """What is needed is allowed, one less is refused with the limit's code, in a run and in a screening."""
    layers, source = table(4), "score = abs((mean(w) + 1) * bits)"
    sizes = {"source_bytes": len(source), "tokens": 12, "nesting": 3, "operators": 4}
    exact = sizes.get(limit) or needs(source, layers, limit)
    truth = _truth(layers)
    tap.Proxy(source, limits={limit: exact}).score(layers)
    assert tap.screen(source, layers, truth, limits={limit: exact}).ok[0]
    with pytest.raises(tap.ProxyError) as caught:
        tap.Proxy(source, limits={limit: exact - 1}).score(layers)
    assert caught.value.kind == CODES[limit]
    refused = tap.screen(source, layers, truth, limits={limit: exact - 1})
    assert refused.kind.tolist() == [CODES[limit]]
    assert refused.error[0] == caught.value.message


def test_a_column_program_is_held_to_its_limits_in_a_tile() -> None:
    layers = table(4)
    sources = ["score = bits * 2", "score = exp(bits) + log(bits)", "score = bits + bits ** 2.5"]
    for limit in ("work", "live_bytes"):
        exact = max(needs(source, layers, limit) for source in sources)
        assert tap.screen(sources, layers, _truth(layers), limits={limit: exact}).ok.all()
        assert not tap.screen(sources, layers, _truth(layers), limits={limit: 1}).ok.any()


def test_work_does_not_run_when_it_is_refused() -> None:
    """A program of more than 10^11 element-operations ends at once."""
    layers = table(4096)
    source = "a = w\n" + "a = tanh(a) + exp(a)\n" * 60 + "score = median(a)"
    work = needs(source, layers, "work")
    assert work > 10**8
    with pytest.raises(tap.ProxyError, match="element-operations"):
        tap.Proxy(source, limits={"work": work - 1}).score(layers)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"speed": 1}, "there is no limit 'speed'"),
        ({"work": -1}, "work is -1"),
        ({"work": 1.5}, "work is 1.5"),
        ({"work": 2**64}, "whole numbers"),
        ({"work": True}, "work is True"),
        ({"work": "9"}, "work is '9'"),
    ],
)
def test_limits_that_cannot_be_are_errors(limits: dict[str, int], message: str) -> None:
    for call in (
        lambda: checked(limits),
        lambda: tap.Proxy("bits", limits=limits),
        lambda: tap.screen("bits", table(4), _truth(table(4)), limits=limits),
    ):
        with pytest.raises(tap.ProxyError) as caught:
            call()
        assert message in f"{caught.value.message} {caught.value.hint}"
        assert caught.value.kind == "limit-name"


@pytest.mark.parametrize("text", ["work", "work=", "work=many", "work=1e400", "work=nan", "=3", "work=-1"])
def test_limits_in_words_that_cannot_be_are_errors(text: str) -> None:
    with pytest.raises(tap.ProxyError):
        parse([text])


def test_limits_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tap.cli.app import run

    table(4).save(tmp_path / "table.safetensors")
    (tmp_path / "program.tap").write_text("score = mean(w) * bits")
    arguments = ["score", str(tmp_path / "program.tap"), "-t", str(tmp_path / "table.safetensors"), "--json"]
    assert run([*arguments, "--limit", "work=1e6", "--limit", "tokens=20"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    assert run([*arguments, "--limit", "tokens=3"]) == 2
    assert "more than 3 tokens" in capsys.readouterr().err
    assert run([*arguments, "--limit", "colour=3"]) == 2
    assert "there is no limit 'colour'" in capsys.readouterr().err


def _truth(layers: LayerTable) -> tap.Sensitivity:
    from types import SimpleNamespace

    names = tuple(unit.name for unit in layers.units)
    values = np.array([[3.0, 1.0], [2.0, 0.5]])
    return SimpleNamespace(units=names, formats=layers.formats, values=values, fingerprint="")  # type: ignore[return-value]


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
