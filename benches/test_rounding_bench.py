"""Rounding with error compensation in the core against the same steps in torch: one thread, int4-g64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tap.formats import Grid, parse
from tap.quantize.compensate import Compensation, _in_core, _sweep

SHAPES = [(576, 576), (576, 1536), (1536, 576), (64, 576)]


@pytest.mark.parametrize("how", [_in_core, _sweep], ids=["core", "torch"])
@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_rounding(benchmark: Any, rows: int, columns: int, how: Callable[..., tuple[Any, float]]) -> None:
    benchmark.group = f"{rows} rows of {columns}"
    random = torch.Generator().manual_seed(0)
    x = torch.randn(columns + 50, columns, generator=random)
    upper = Compensation((x.T @ x)[None] / len(x)).upper
    weights = torch.randn(1, rows, columns, generator=random)
    grid: Grid = parse("int4-g64").grid(weights[0])
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _, error = benchmark(how, weights, upper, grid, False)
    finally:
        torch.set_num_threads(before)
    assert error > 0
