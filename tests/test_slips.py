"""Slips of language models: what is put right with a note, what is refused with a hint that repairs it."""

from __future__ import annotations

import pytest

import tap

PUT_RIGHT = {
    "score = np.log(trace)": "score = log(trace)",
    "score = numpy.mean(w)": "score = mean(w)",
    "score = torch.sum(torch.abs(w))": "score = sum(abs(w))",
    "score = math.sqrt(trace)": "score = sqrt(trace)",
    "score = F.relu(trace)": "score = relu(trace)",
    "score = trace ^ 2": "score = trace ** 2",
    "score = trace;": "score = trace",
    "score = trace; ": "score = trace",
    "score = w.mean()": "score = mean(w)",
    "score = (w * g).abs().sum()": "score = sum(abs(w * g))",
    "score = w.mean(out).max()": "score = max(mean(w, out))",
    "score = mean(w, in, pos, out)": "score = mean(w, in_, pos, out)",
    "```\nscore = trace\n```": "score = trace",
    "```python\nscore = trace\n```": "score = trace",
    "def proxy(trace, numel):\n    return trace / numel": "score = trace / numel",
    "def proxy(w):\n    a = mean(w)\n    return a * 2\n": "score = mean(w) * 2",
    "def f(w: Tensor, b: float = 2) -> float:\n    return mean(w)": "score = mean(w)",
    "import numpy as np\nscore = np.log(trace)": "score = log(trace)",
    "score = np.pi * trace": "score = pi * trace",
}
"""A slip, and the program that was meant."""

REFUSED = {
    "score = trace and numel": ("and", "*"),
    "score = trace or numel": ("or", "max"),
    "score = not trace": ("not", "== 0"),
    "score = 1 if trace > 2 else 0": ("if", "where("),
    "score = trace % 2": ("%", "no remainder"),
    "score = trace // 2": ("//", "/"),
    "score = 1 < trace < 3": ("<", "(a < b) * (b < c)"),
    "score = w[0]": ("[", "mean("),
    "score = mean(w, axis=0)": ("axis", "out"),
    "score = torch.mean(w, dim=(1, 2))": ("dim", "out"),
    "score = lambda x: x": ("lambda", ""),
    "for i in w: score = i": ("for", ""),
    "score = 1\nscore += trace": ("+=", ""),
    "score = 'trace'": ("'", ""),
    "score = w": ("axes", "mean(w)"),
    "score = mena(w)": ("mena", "mean"),
    "score = trase": ("trase", "trace"),
    "score = inf": ("inf", ""),
    "score = 1_000": ("_", ""),
    "score = quantile(w, trace)": ("quantile", "quantile(v, 0.9)"),
    "score = rank(w)": ("axes", "mean("),
    "score = mean(trace)": ("axes", "net_mean"),
}
"""A slip, a word of the report's message or line, and a part of the hint."""


@pytest.mark.parametrize("slip", PUT_RIGHT)
def test_a_slip_is_put_right_and_noted(slip: str) -> None:
    found, meant = tap.Proxy(slip), tap.Proxy(PUT_RIGHT[slip])
    assert found.hash == meant.hash
    assert len(found.notes) >= 1
    assert all(note and "\n" not in note for note in found.notes)
    assert meant.notes == ()


@pytest.mark.parametrize("slip", REFUSED)
def test_a_slip_that_is_refused_says_how_to_repair_it(slip: str) -> None:
    word, repair = REFUSED[slip]
    with pytest.raises(tap.ProxyError) as caught:
        tap.Proxy(slip)
    error = caught.value
    assert word in error.report
    assert "^" in error.report
    assert error.hint
    assert repair in error.hint, error.hint
