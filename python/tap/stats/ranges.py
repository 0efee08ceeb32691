"""The smallest and largest input of each unit over the calibration data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tap.stats.batches import Batches
from tap.stats.layers import Layers
from tap.stats.observe import observed
from tap.stats.sites import Site
from tap.stats.unchanged import lent


def input_ranges(model: nn.Module, layers: Layers, batches: Batches) -> list[tuple[float, float]]:
    """(smallest, largest) input of each unit, from one forward pass; (0, 0) for embeddings."""
    found = [(0.0, 0.0)] * len(layers.units)
    unit_of = {site.name: unit for unit, sites in enumerate(layers.sites) for site in sites}

    def on_call(site: Site, row: int, x: Tensor, z: Tensor) -> None:
        if site.kind != "embedding":
            low, high = (float(value) for value in torch.aminmax(x))
            before = found[unit_of[site.name]]
            found[unit_of[site.name]] = min(before[0], low), max(before[1], high)

    sites = [site for group in layers.sites for site in group]
    with lent(model), torch.no_grad(), observed(sites, on_call):
        for batch in batches:
            batches.run(model, batch)
    return found
