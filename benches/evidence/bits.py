"""Random bit configurations of a case measured into a small file, and proxies ranked by such a file.

python benches/evidence/bits.py measure digits int2,int3,int4 -n 200 -o benches/evidence/digits-2to4.bits
python benches/evidence/bits.py rank benches/evidence/digits-2to4.bits --table table.safetensors
python benches/evidence/bits.py truth benches/evidence/resnet20.bits --table r20.table -o r20.configs
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from tap import proxies
from tap.bench.case import ready
from tap.bench.ranking import RATIOS, Bits, at_top, draw, predicted
from tap.configurations import Configurations, measure_configs
from tap.errors import TapError
from tap.proxy import Proxy
from tap.stats.batches import Batches
from tap.stats.layers import discover, fingerprint
from tap.stats.sources import load_batches, load_model
from tap.stats.table import LayerTable


def measure(given: argparse.Namespace) -> None:
    """Draw, measure and write; a killed run goes on from its journal beside the file."""
    case = ready(given.case, data=given.data)
    model, calibration = load_model(case.model), Batches(load_batches(case.calibration))
    evaluation = Batches(load_batches(case.evaluation), samples=given.samples)
    units, formats = discover(model, calibration), tuple(given.formats.split(","))
    found = measure_configs(
        model,
        evaluation,
        choices=draw(len(units), len(formats), given.n, seed=given.seed),
        formats=formats,
        calibration=calibration,
        resume=given.out.with_suffix(".journal"),
    )
    name = f"{case.name}, {evaluation.n_samples} evaluation samples, seed {given.seed}"
    names = tuple(unit.name for unit in units)
    identity = fingerprint(model, units)
    Bits(name, identity, names, formats, found.choice, found.accuracy, found.loss).save(given.out)
    given.out.with_suffix(".journal").unlink()
    print(f"{given.out}: {given.n} configurations, top-1 {found.accuracy.min()} to {found.accuracy.max()}")


def convert(given: argparse.Namespace) -> None:
    """Write the configurations that `tap measure --configs` found."""
    found = Configurations.load(given.file)
    name = f"{given.name}, {found.meta['samples']} samples, budgets {', '.join(found.meta['budgets'])}"
    parts = (found.fingerprint, found.units, found.formats, found.choice, found.accuracy, found.loss)
    Bits(name, *parts).save(given.out)
    print(f"{given.out}: {len(found.loss)} configurations")


def truth(given: argparse.Namespace) -> None:
    """The configurations of a file as `tap measure --configs` writes them, equal bytes in one stratum."""
    bits, table = Bits.load(given.file), LayerTable.load(given.table)
    if bits.fingerprint != table.fingerprint or bits.formats != table.formats:
        raise TapError(f"{given.table} is not of the network and the formats of {given.file}")
    sizes = table.columns["bytes"][np.arange(len(bits.units)), bits.choice].sum(axis=1)
    order = np.argsort(sizes)
    stratum = np.empty(len(sizes), np.int64)
    stratum[order] = np.cumsum(np.diff(sizes[order], prepend=sizes.min()) > 0.01 * sizes.min())
    unknown = np.full(len(sizes), np.nan)
    Configurations(
        bits.units, bits.formats, bits.choice, bits.loss, bits.accuracy, unknown, stratum,
        sizes.astype(np.int64), ceiling=given.ceiling, fingerprint=bits.fingerprint,
    ).save(given.out)  # fmt: skip
    print(f"{given.out}: {len(sizes)} configurations in strata of {np.bincount(stratum).tolist()}")


def rank(given: argparse.Namespace) -> None:
    """A Markdown table: correlation at the top 20, 50 and 100 % of each proxy that has a score."""
    bits, table = Bits.load(given.file), LayerTable.load(given.table)
    if bits.fingerprint != table.fingerprint:
        raise TapError("the file and the table are of different models")
    units = [[unit.name for unit in table.units].index(name) for name in bits.units]
    formats = [table.formats.index(name) for name in bits.formats]
    sources = {name: proxies.source(name) for name in proxies.names()}
    sources |= {path.stem: path.read_text(encoding="utf-8") for path in given.discovered}
    rows = []
    for name, source in sources.items():
        try:
            scores = Proxy(source).score(table)[np.ix_(units, formats)]
        except TapError:
            continue
        rows.append((name, at_top(predicted(scores, bits), bits.accuracy)))
    print("| proxy | " + " | ".join(f"top {100 * ratio:.0f} %" for ratio in RATIOS) + " | mean |")
    print("|---|" + "---:|" * (len(RATIOS) + 1))
    for name, found in sorted(rows, key=lambda row: -np.nan_to_num(row[1][-1][0], nan=-1)):
        values = [value for value, _ in found]
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in [*values, np.mean(values)]) + " |")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("measure")
    one.add_argument("case")
    one.add_argument("formats")
    one.add_argument("-n", type=int, default=200)
    one.add_argument("-o", "--out", type=Path, required=True)
    one.add_argument("--data")
    one.add_argument("--samples", type=int)
    one.add_argument("--seed", type=int, default=0)
    one.set_defaults(run=measure)
    three = commands.add_parser("convert")
    three.add_argument("file", type=Path)
    three.add_argument("name")
    three.add_argument("-o", "--out", type=Path, required=True)
    three.set_defaults(run=convert)
    two = commands.add_parser("rank")
    two.add_argument("file", type=Path)
    two.add_argument("--table", type=Path, required=True)
    two.add_argument("--discovered", type=Path, nargs="*", default=[])
    two.set_defaults(run=rank)
    four = commands.add_parser("truth")
    four.add_argument("file", type=Path)
    four.add_argument("--table", type=Path, required=True)
    four.add_argument("--ceiling", type=float, default=float("nan"), help="of docs/evidence.md")
    four.add_argument("-o", "--out", type=Path, required=True)
    four.set_defaults(run=truth)
    given = parser.parse_args()
    given.run(given)


if __name__ == "__main__":
    main()
