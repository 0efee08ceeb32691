"""Whether sensitivities measured at a quantized base point rank whole configurations better.

python benches/evidence/base_point.py resnet20 --table r20.table --target r20.configs --data DATA

Each unit is put in each format while all others are at the base: full precision, or one format for all. With
`--lifts`, every network has error-compensated rounding and corrected batch norms, as the configurations have.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from torch import nn

from tap import proxies
from tap.bench.agreeing import with_configurations
from tap.bench.case import ready
from tap.configurations import Configurations, measure_configs
from tap.proxy import Proxy
from tap.sensitivity import measure
from tap.stats.batches import Batches
from tap.stats.sources import load_batches, load_model
from tap.stats.table import LayerTable


def plain(model: nn.Module, data: Batches, table: LayerTable, base: str | None) -> NDArray[np.float64]:
    """[L, F]: growth of the loss when one unit is in a format, without lifts."""
    at = None if base is None else {unit.name: base for unit in table.units}
    return measure(model, data, formats=table.formats, base=at, progress=False).values


def lifted(
    model: nn.Module, data: Batches, table: LayerTable, base: str, calibration: Batches
) -> NDArray[np.float64]:
    """The same with lifts, each network measured as a configuration."""
    count, place = len(table.units), table.formats.index(base)
    rows = np.full((count * len(table.formats), count), place)
    for unit in range(count):
        for form in range(len(table.formats)):
            rows[unit * len(table.formats) + form, unit] = form
    distinct, where = np.unique(rows, axis=0, return_inverse=True)
    found = measure_configs(
        model, data, choices=distinct, formats=table.formats, calibration=calibration, progress=False
    )
    losses = np.asarray(found.loss[where.ravel()].reshape(count, -1))
    return losses - losses[0, place]


def main() -> None:
    """One line for each base point and number of images, then the named proxies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("case")
    parser.add_argument("--table", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--data")
    parser.add_argument("--images", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--lifts", action="store_true")
    given = parser.parse_args()
    case = ready(given.case, data=given.data)
    model, table = load_model(case.model), LayerTable.load(given.table)
    truth = Configurations.load(given.target)
    calibration = Batches(load_batches(case.calibration), samples=given.images[0])
    for base in table.formats if given.lifts else (None, *table.formats):
        for images in given.images:
            data = Batches(load_batches(case.calibration), samples=images)
            if given.lifts:
                values = lifted(model, data, table, str(base), calibration)
            else:
                values = plain(model, data, table, base)
            found = with_configurations([values], truth).value[0]
            print(f"base {base or 'full precision'}, {images} images: {found:.3f}", flush=True)
    scores = {name: Proxy(proxies.source(name), columns=table).score(table) for name in proxies.names()}
    values = with_configurations(list(scores.values()), truth).value
    for place in np.argsort(-values)[:5]:
        print(f"{list(scores)[place]}: {values[place]:.3f}")


if __name__ == "__main__":
    main()
