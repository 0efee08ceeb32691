"""The layer table of a large model collected some units at a time, with little held beside the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from glob import escape
from typing import Any

import numpy as np
from torch import nn

from tap.formats import Format
from tap.stats.batches import Batches
from tap.stats.collect import collect
from tap.stats.inputs import COSTLY, passes_for
from tap.stats.layers import fingerprint
from tap.stats.memory import give_back
from tap.stats.progress import Progress
from tap.stats.steps import placed
from tap.stats.table import LayerTable, Sample
from tap.stats.units import Unit

PART = 0.05
"""Units of a part hold at most this share of all weights, or are one unit."""
_WHOLE = {*COSTLY, "similarity", "synflow", "virtual gradients"}
"""Passes that compare units with each other, or work on a copy of the model."""


def collect_in_parts(
    model: nn.Module,
    batches: Any,
    units: Sequence[Unit],
    *,
    formats: Iterable[str | Format] | str | None = None,
    for_proxies: Any = None,
    seed: int = 0,
    progress: bool = True,
) -> LayerTable:
    """`tap.collect` of `units`, one forward and backward pass for every part of them.

    Samples are run one by one. What a proxy cannot read from parts (second derivatives, similarity of units)
    is collected of all units at once.

    >>> import torch
    >>> from tap.stats.layers import discover
    >>> net, data = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2)), [torch.ones(2, 4)]
    >>> units = discover(net, data)
    >>> table = collect_in_parts(net, data, units, formats="int4", for_proxies="sqnr", progress=False)
    >>> table.columns["is_last"].tolist()
    [0.0, 1.0]
    """
    data = Batches(batches).split(1)
    groups = [list(units)] if passes_for(None, for_proxies)[1] & _WHOLE else _groups(units)
    tables = []
    with Progress(progress) as bar:
        advance = bar.start("statistics, some layers at a time", len(groups))
        for group in groups:
            names = [escape(unit.name) for unit in group]
            tables.append(
                collect(model, data, formats=formats, include=names, for_proxies=for_proxies, seed=seed,
                        progress=False)
            )  # fmt: skip
            give_back()
            advance(1)
    return _joined(tables, fingerprint(model, [unit for table in tables for unit in table.units]))


def _groups(units: Sequence[Unit]) -> list[list[Unit]]:
    """Neighbours together as long as they are within the share."""
    room = PART * sum(unit.numel for unit in units)
    groups: list[list[Unit]] = [[]]
    for unit in units:
        if groups[-1] and sum(one.numel for one in groups[-1]) + unit.numel > room:
            groups.append([])
        groups[-1].append(unit)
    return groups


def _joined(tables: Sequence[LayerTable], identity: str) -> LayerTable:
    """One table of all units."""
    first, units = tables[0], tuple(unit for table in tables for unit in table.units)
    columns = {name: np.concatenate([table.columns[name] for table in tables]) for name in first.columns}
    for index in range(len(units)):
        for name, value in placed(index, len(units)).items():
            if name in columns:
                columns[name][index] = value
    samples = {
        name: Sample(sample.axes, tuple(value for table in tables for value in table.samples[name].values))
        for name, sample in first.samples.items()
    }
    blocks = np.concatenate([table.blocks for table in tables])
    return LayerTable(units, first.formats, columns, samples, blocks, identity, first.meta)
