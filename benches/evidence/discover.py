"""The experiment of the paper at our scale: search on some networks, freeze, score on networks never seen.

    python benches/evidence/discover.py --data DATA
    python benches/evidence/discover.py --data DATA --ablate controller alpha --llm replay:run.db

Every seed is one run with a store of its own in the output folder, taken up again where it stopped. The best
program of each is frozen before anything is scored on the unseen networks. `tap bench --discovered` then
measures the plans of the frozen programs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tap
from tap import proxies
from tap.bench import agreeing
from tap.bench.agreeing import Agreed
from tap.bench.case import ready
from tap.bench.run import Settings as Thoroughness
from tap.bench.truth import Given, gather
from tap.configurations import Configurations
from tap.files import write_text
from tap.proxy import Proxy
from tap.search.config import Settings
from tap.stats.batches import Batches
from tap.stats.collect import collect
from tap.stats.sources import load_batches, load_model
from tap.stats.table import LayerTable

ABLATIONS: dict[str, list[dict[str, Any]]] = {
    "controller": [{"controller": name} for name in ("dpo", "uniform", "thompson")],
    "alpha": [{"alpha": alpha} for alpha in (0.0, 0.1, 0.3, 0.5, 1.0)],
    "images": [{"images": count} for count in (4, 16, 64, 256)],
    "population": [{"population": size} for size in (1, 3, 5, 10, 20)],
    "generations": [{"generations": count} for count in (1, 2, 3, 5, 20)],
    "local": [{"local": count} for count in (0, 20_000)],
    "repair": [{"repair": chosen} for chosen in (True, False)],
}
"""What is varied, one at a time. Without a language model only population, generations and alpha matter."""


@dataclass(frozen=True)
class Net:
    """A network with its table and whole configurations."""

    name: str
    table: LayerTable
    truth: Configurations


def networks(given: argparse.Namespace, names: Sequence[str], images: int | None) -> list[Net]:
    """The networks by their case names; what is not at hand is measured into the folder."""
    at_hand = Given.load(given.table, given.target)
    how = Thoroughness(configurations=given.configs, seed=0)
    found = []
    for name in names:
        case = ready(name, data=given.data)
        folder = given.out / "nets" / name
        folder.mkdir(parents=True, exist_ok=True)
        model, calibration = load_model(case.model), Batches(load_batches(case.calibration))
        known = gather(case, model, calibration, folder, at_hand, how)
        if known.configurations is None:
            raise SystemExit(f"{name}: a table and no configurations were given")
        table = known.table
        if images is not None:
            kept = folder / f"table-{images}.safetensors"
            if not kept.is_file():
                collect(model, calibration, formats=table.formats, samples=images).save(kept)
            table = LayerTable.load(kept)
        found.append(Net(name, table, known.configurations))
    return found


def discover(nets: Sequence[Net], seed: int, llm: str, folder: Path, changes: Mapping[str, Any]) -> str:
    """The best program of one run, as text with its provenance; a finished run is read from its folder."""
    frozen = folder / "best-1.tap"
    if not frozen.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        store = folder / "search.db"
        found = tap.search(
            [net.table for net in nets],
            [net.truth for net in nets],
            llm=llm,
            seed=seed,
            store=store,
            resume=store.is_file(),
            settings=Settings(**changes),
            references={},
            names=[net.name for net in nets],
        )
        found.save(folder)
    return frozen.read_text(encoding="utf-8")


def scored(net: Net, sources: Mapping[str, str], draws: int) -> tuple[Agreed, list[str]]:
    """Agreement of programs with the configurations of a network; programs that fail there are left out."""
    names = [unit.name for unit in net.table.units]
    units = [names.index(name) for name in net.truth.units]
    formats = [net.table.formats.index(name) for name in net.truth.formats]
    scores, kept = [], []
    for name, source in sources.items():
        try:
            scores.append(Proxy(source).score(net.table)[np.ix_(units, formats)])
            kept.append(name)
        except tap.TapError:
            continue
    return agreeing.with_configurations(scores, net.truth, draws=draws), kept


def rows(net: Net, frozen: Mapping[str, str], draws: int) -> Iterator[dict[str, Any]]:
    """Each frozen program beside the best named proxy of this network."""
    named = {name: proxies.source(name) for name in proxies.names()}
    result, names = scored(net, {**named, **frozen}, draws)
    best = max((at for at, name in enumerate(names) if name in named), key=lambda at: result.value[at])
    difference, p = result.against(best)
    for at, name in enumerate(names):
        if name in frozen or at == best:
            low, high = result.interval(at)
            yield {
                "net": net.name,
                "program": name,
                "agreement": float(result.value[at]),
                "low": low,
                "high": high,
                "relative": float(result.relative[at]),
                "regret": float(result.regret[at]),
                "to the best named": float(difference[at]),
                "p": float(p[at]),
            }


def variants(given: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """The experiment itself, then each ablation."""
    base = {"generations": given.generations, "local": given.local}
    yield "base", base
    for name in given.ablate:
        for change in ABLATIONS[name]:
            value = next(iter(change.values()))
            yield f"{name}-{value}", {**base, **change}


def experiment(given: argparse.Namespace) -> list[dict[str, Any]]:
    """All variants and seeds, each scored on the search networks and on the unseen ones."""
    found = []
    for variant, settings in variants(given):
        images = settings.pop("images", None)
        seen = networks(given, given.search, images)
        frozen = {
            f"seed {seed}": discover(seen, seed, given.llm, given.out / variant / str(seed), settings)
            for seed in range(given.seeds)
        }
        for kind, nets in (("seen", seen), ("unseen", networks(given, given.unseen, images))):
            for net in nets:
                for row in rows(net, frozen, given.draws):
                    found.append({"variant": variant, "kind": kind, **row})
    return found


def markdown(found: Sequence[Mapping[str, Any]]) -> str:
    """One row a variant and network: mean and spread over the seeds, and the best named proxy."""
    lines = [
        "| variant | network | | mean agreement / ceiling | least | largest | best named | wins | regret |"
    ]
    lines.append("|---|---|---|" + "---:|" * 6)
    for variant, net in dict.fromkeys((row["variant"], row["net"]) for row in found):
        here = [row for row in found if (row["variant"], row["net"]) == (variant, net)]
        ours = [row for row in here if row["program"].startswith("seed ")]
        named = next(row for row in here if not row["program"].startswith("seed "))
        if not ours:
            continue
        values = [row["relative"] for row in ours]
        wins = sum(row["to the best named"] > 0 for row in ours)
        lines.append(
            f"| {variant} | {net} | {here[0]['kind']} | {np.mean(values):.3f} | {min(values):.3f} | "
            f"{max(values):.3f} | {named['relative']:.3f} ({named['program']}) | {wins} of {len(ours)} | "
            f"{np.mean([row['regret'] for row in ours]):.3f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the command line, run, write experiment.json and experiment.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder of the weights and images of the cases")
    parser.add_argument("--search", nargs="+", default=["digits", "resnet20"], metavar="CASE")
    parser.add_argument("--unseen", nargs="+", default=["resnet32", "mobilenet"], metavar="CASE")
    parser.add_argument("--table", type=Path, nargs="*", default=[])
    parser.add_argument("--target", type=Path, nargs="*", default=[])
    parser.add_argument(
        "--llm", default="none", help="none, replay:FILE, or an endpoint as tap search has it"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--generations", type=int, default=20)
    parser.add_argument("--local", type=int, default=20_000)
    parser.add_argument("--configs", type=int, default=40)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--ablate", nargs="*", default=[], choices=list(ABLATIONS))
    parser.add_argument("--out", type=Path, default=Path("bench-out/evidence"))
    given = parser.parse_args()
    found = experiment(given)
    write_text(given.out / "experiment.json", json.dumps(found, indent=1) + "\n")
    write_text(given.out / "experiment.md", markdown(found))
    print(markdown(found), end="")


if __name__ == "__main__":
    main()
