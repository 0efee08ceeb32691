"""What a search without a model finds beyond the hand-made proxies, and how much of it holds on other truth.

python benches/evidence/search_none.py --net r20.table,r20.configs --net r32.table,r32.configs --seeds 5

Each seed searches twice: on all configurations, and on a random half of each stratum with the agreement taken
on the other half. `--held-out TABLE,TARGET` adds networks that no search sees. Agreement is Spearman within
strata, the mean over the networks; "by hand" is the best named proxy on the same configurations.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from tap import proxies
from tap.configurations import Configurations
from tap.screen import screen
from tap.search import start
from tap.search.config import Settings
from tap.search.nets import Net
from tap.stats.table import LayerTable


def read(pair: str) -> Net:
    """The network of TABLE,TARGET."""
    table, target = pair.split(",")
    return Net(Path(table).stem, LayerTable.load(table), Configurations.load(target))


def halves(net: Net, seed: int) -> tuple[Net, Net]:
    """The network judged by one half of each stratum, and by the other."""
    random, target = np.random.default_rng([seed, 2]), net.target
    order = random.permutation(len(target.loss))
    order = order[np.argsort(target.stratum[order], kind="stable")]
    parts = []
    for places in (np.sort(order[::2]), np.sort(order[1::2])):
        arrays = {one.name: getattr(target, one.name) for one in fields(target)}
        chosen = {
            name: value[places]
            for name, value in arrays.items()
            if isinstance(value, np.ndarray) and len(value) == len(order)
        }
        parts.append(replace(net, target=replace(target, **chosen)))
    return parts[0], parts[1]


def agreements(sources: list[str], nets: list[Net]) -> np.ndarray:
    """Mean agreement of each program."""
    return screen(sources, [net.table for net in nets], [net.target for net in nets]).spearman


def searched(nets: list[Net], settings: Settings, seed: int) -> tuple[str, float]:
    """The best program of one search, and the processor seconds it took."""
    before = sum(os.times()[:2])
    found = start.search(
        [net.table for net in nets], [net.target for net in nets], settings=settings, seed=seed, references={}
    )
    return found.program, sum(os.times()[:2]) - before


def main() -> None:
    """Search, judge, print one line for each seed and the medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--net", action="append", required=True, metavar="TABLE,TARGET")
    parser.add_argument("--held-out", action="append", default=[], metavar="TABLE,TARGET")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--generations", type=int, default=10)
    parser.add_argument("--local", type=int, default=100_000)
    parser.add_argument("--out", type=Path, default=None, help="JSON lines, one a seed")
    given = parser.parse_args()
    nets, extra = [read(pair) for pair in given.net], [read(pair) for pair in given.held_out]
    settings = Settings(generations=given.generations, local=given.local, fitness="agreement")
    hand = [proxies.load(name).source for name in proxies.names()]
    rows = []
    for seed in range(given.seeds):
        row = {"seed": seed, "by hand": float(np.nanmax(agreements(hand, nets)))}
        program, row["processor seconds"] = searched(nets, settings, seed)
        row["found"] = float(agreements([program], nets)[0])
        for net in (*nets, *extra):
            row[f"found, {net.name}"] = float(agreements([program], [net])[0])
            row[f"by hand, {net.name}"] = float(np.nanmax(agreements(hand, [net])))
        first, second = zip(*(halves(net, seed) for net in nets), strict=True)
        half, _ = searched(list(first), settings, seed)
        chosen = hand[int(np.nanargmax(agreements(hand, list(first))))]
        row["half searched"] = float(agreements([half], list(first))[0])
        row["other half"] = float(agreements([half], list(second))[0])
        row["by hand, chosen on the half"] = float(agreements([chosen], list(first))[0])
        row["by hand, other half"] = float(agreements([chosen], list(second))[0])
        rows.append(row)
        print(json.dumps({name: round(value, 4) for name, value in row.items()}), flush=True)
        if given.out is not None:
            record = {**row, "program": program, "program of the half": half}
            with given.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
    for name in rows[0]:
        values = [row[name] for row in rows]
        print(f"{name}: median {np.median(values):.4f}, {min(values):.4f} to {max(values):.4f}")


if __name__ == "__main__":
    main()
