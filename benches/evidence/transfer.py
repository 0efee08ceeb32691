"""Search on many small networks, choose on others, freeze, and only then score on networks never seen.

    python benches/evidence/small_nets.py nets/
    python benches/evidence/transfer.py nets/ --unseen r20.table,r20.configs --unseen r32.table,r32.configs

Each seed keeps `--validation` of the small networks for the choice and searches on the others; its program is
in OUT/SEED.tap, and is not searched for again. The last table has every named proxy beside the frozen ones:
agreement over the noise ceiling on each network, "small" being the mean over the small ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from search_none import read

from tap import proxies
from tap.bench.agreeing import Agreed, with_configurations
from tap.errors import TapError
from tap.files import write_text
from tap.proxy import Proxy
from tap.search import start
from tap.search.config import Settings
from tap.search.nets import Net


def small(folder: Path) -> list[Net]:
    """The networks of `small_nets.py` that have configurations, by name."""
    return [read(f"{path.with_suffix('.table')},{path}") for path in sorted(folder.glob("*.configs"))]


def split(nets: Sequence[Net], count: int, seed: int) -> tuple[list[Net], list[Net]]:
    """The networks of the search and the `count` that choose, drawn anew for each seed."""
    kept = set(np.random.default_rng([seed, 3]).permutation(len(nets))[:count].tolist())
    return [net for at, net in enumerate(nets) if at not in kept], [nets[at] for at in sorted(kept)]


def frozen(nets: Sequence[Net], seed: int, given: argparse.Namespace) -> str:
    """The program of one seed, from its file when it is there."""
    path: Path = given.out / f"{seed}.tap"
    if not path.is_file():
        seen, judges = split(nets, given.validation, seed)
        seen += [read(pair) for pair in given.also]
        found = start.search(
            [net.table for net in seen],
            [net.target for net in seen],
            names=[net.name for net in seen],
            validation=[(net.name, net.table, net.target) for net in judges],
            settings=Settings(
                generations=given.generations,
                local=given.local,
                population=given.population,
                alpha=given.alpha,
                max_ops=given.max_ops,
            ),
            seed=seed,
            references={},
            keep=1,
        )
        row = found.table[0]
        means = [float(np.mean([row.agreement[net.name] for net in part])) for part in (seen, judges)]
        head = (
            f"# found: seed {seed}, {row.ops} operations, agreement {means[0]:.4f} on "
            f"{' '.join(net.name for net in seen)}\n"
            f"# chosen: agreement {means[1]:.4f} on {' '.join(net.name for net in judges)}\n"
        )
        given.out.mkdir(parents=True, exist_ok=True)
        write_text(path, head + found.program.strip() + "\n")
        print(head, end="", flush=True)
    return path.read_text(encoding="utf-8")


def agreed(net: Net, sources: Mapping[str, str], draws: int) -> tuple[list[str], Agreed]:
    """How the programs that have a score on this network agree with its configurations."""
    scores = {}
    for name, source in sources.items():
        try:
            scores[name] = Proxy(source).score(net.table)
        except TapError:
            continue
    return list(scores), with_configurations(list(scores.values()), net.target, draws=draws)


def relative(net: Net, sources: Mapping[str, str]) -> dict[str, float]:
    """Agreement over the ceiling; NaN for programs without a score here."""
    names, found = agreed(net, sources, 1)
    ceiling = found.ceiling if np.isfinite(found.ceiling) else 1.0
    values = dict(zip(names, (found.value / ceiling).tolist(), strict=True))
    return {name: values.get(name, float("nan")) for name in sources}


def duels(nets: Sequence[Net], ours: Mapping[str, str], named: Mapping[str, str], draws: int) -> str:
    """Each frozen program against the named proxy that is best on that network, by the paired bootstrap."""
    lines = [
        "| program | network | agreement | best named | difference | p |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for net in nets:
        names, found = agreed(net, {**named, **ours}, draws)
        best = max((at for at, name in enumerate(names) if name in named), key=lambda at: found.value[at])
        difference, p = found.against(best)
        lines += [
            f"| {name} | {net.name} | {found.value[at]:.3f} | {found.value[best]:.3f} ({names[best]}) | "
            f"{difference[at]:+.3f} | {p[at]:.3f} |"
            for at, name in enumerate(names)
            if name in ours
        ]
    return "\n".join(lines)


def standing(nets: Sequence[Net], unseen: Sequence[Net], sources: Mapping[str, str]) -> str:
    """Every program on the small networks together and on each unseen one, by its worst unseen agreement."""
    inner = np.array([list(relative(net, sources).values()) for net in nets])
    outer = np.array([list(relative(net, sources).values()) for net in unseen])
    order = np.argsort(-np.nan_to_num(outer.min(axis=0), nan=-2), kind="stable")
    names = list(sources)
    lines = ["| program | small | least small | " + " | ".join(net.name for net in unseen) + " |"]
    lines.append("|---|" + "---:|" * (2 + len(unseen)))
    for at in order:
        values = [inner[:, at].mean(), inner[:, at].min(), *outer[:, at]]
        lines.append(f"| {names[at]} | " + " | ".join(f"{value:.3f}" for value in values) + " |")
    return "\n".join(lines)


def main() -> None:
    """Search with every seed, then score."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="what small_nets.py wrote")
    parser.add_argument("--unseen", action="append", default=[], metavar="TABLE,TARGET")
    parser.add_argument(
        "--also", action="append", default=[], metavar="TABLE,TARGET", help="search on it, too"
    )
    parser.add_argument(
        "--pool", action="append", default=[], metavar="TABLE,TARGET", help="one more to search on or choose"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--validation", type=int, default=3, help="small networks that choose")
    parser.add_argument("--generations", type=int, default=6)
    parser.add_argument("--local", type=int, default=20_000)
    parser.add_argument("--population", type=int, default=20)
    parser.add_argument("--alpha", type=float, default=0.0)
    parser.add_argument("--max-ops", type=int, default=8)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    nets = small(given.folder) + [read(pair) for pair in given.pool]
    ours = {f"seed {seed}": frozen(nets, seed, given) for seed in range(given.seeds)}
    unseen = [read(pair) for pair in given.unseen]
    named = {name: proxies.load(name).source for name in proxies.names()}
    if unseen:
        print(duels(unseen, ours, named, given.draws), end="\n\n")
        print(standing(nets, unseen, {**ours, **named}))


if __name__ == "__main__":
    main()
