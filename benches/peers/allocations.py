"""What other tools would choose, put in place by tap's quantizer, beside tap's own plans of the same bytes.

`make bench-peers` builds one environment a tool in .peers/ and runs this file. Each tool reads the same
images and chooses among the same bits; its choice is then measured like any plan. `own` is the top-1 of the
tool's own quantized network. A tool that fails is a row that says how.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tap import costs, proxies
from tap.bench.case import ready
from tap.bench.contestants import Choice, baselines, ladder, of_programs
from tap.bench.measured import Outcome, measure_plans
from tap.formats import parse
from tap.stats.batches import Batches
from tap.stats.collect import collect
from tap.stats.sources import load_batches, load_model
from tap.stats.table import LayerTable

HERE = Path(__file__).parent
PEERS: dict[str, tuple[str, list[str]]] = {
    "modelopt": ("by_modelopt.py", ["gradient"]),
    "modelopt-kl": ("by_modelopt.py", ["kl_div"]),
    "mct": ("by_mct.py", []),
    "nncf": ("by_nncf.py", []),
}
"""Script and arguments of each peer; its environment is .peers/ and the part of the name before a dash."""
OURS = ("sqnr", "hawq_v2", "modelopt", "squeezellm", "weight_error", "mpqco", proxies.DEFAULT)


@dataclass(frozen=True)
class Line:
    """One row of the table."""

    who: str
    average: float
    choice: Choice | None
    own: float | None = None
    seconds: float | None = None
    megabytes: float | None = None
    failure: str = ""


def ask(name: str, job: dict[str, Any], folder: Path, limit: float) -> dict[str, Any]:
    """The answer of a peer, kept in a file; `failure` instead of plans when it gave none."""
    kept = folder / f"{name}.json"
    if kept.is_file():
        return dict(json.loads(kept.read_text()))
    script, words = PEERS[name]
    python = Path(".peers") / name.partition("-")[0] / "bin" / "python"
    if not python.exists():
        return {"peer": name, "failure": f"no environment {python.parent.parent}"}
    command = [str(python), str(HERE / script), *words]
    try:
        done = subprocess.run(
            command, input=json.dumps(job), capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return {"peer": name, "failure": f"no answer in {limit:.0f} s"}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"peer": name, "failure": last[:200]}
    found = json.loads(done.stdout.strip().splitlines()[-1])
    kept.write_text(json.dumps(found))
    return dict(found)


def lines_of(found: dict[str, Any], table: LayerTable, averages: list[float]) -> list[Line]:
    """The rows of one peer; a unit that it leaves in full precision gets the finest of the formats."""
    if "failure" in found:
        return [Line(found["peer"], average, None, failure=found["failure"]) for average in averages]
    lines = []
    place = {name: at for at, name in enumerate(table.formats)}
    finest = max(place.values(), key=lambda at: parse(table.formats[at]).bits)
    for average in averages:
        bits = found["plans"][str(average)]
        names = [f"int{bits[unit.name]}" for unit in table.units]
        choice = tuple(place.get(name, finest) for name in names)
        own = found["own"][str(average)]
        who = f"{found['peer']} {found['version']}"
        lines.append(Line(who, average, choice, own, found["seconds"], found["megabytes"]))
    return lines


def ours(table: LayerTable, averages: list[float]) -> list[Line]:
    """Uniform, and plans of some named proxies."""
    rungs = ladder(table, [f"int{average:g}" for average in averages])
    found = of_programs({name: proxies.source(name) for name in dict.fromkeys(OURS)}, table, rungs, kind="")
    every = [*baselines(table, rungs)[:1], *found]
    return [
        Line(f"tap, {one.name}" if one.scores is not None else one.name, average, choice)
        for one in every
        for average, choice in zip(averages, one.choices, strict=True)
    ]


def show(lines: list[Line], outcomes: dict[Choice, Outcome], table: LayerTable) -> None:
    """The table in Markdown."""
    print("| who | bits wanted | stored bits | KL | top-1 | no lifts | own top-1 | seconds | MB |")
    print("|---|" + "---:|" * 8)
    for line in sorted(lines, key=lambda line: line.average):
        if line.choice is None:
            print(f"| {line.who} | {line.average:g} | failed: {line.failure} |  |  |  |  |  |  |")
            continue
        found = outcomes[line.choice]
        stored = costs.average_bits(found.bytes, table.units)
        cells = [f"{line.average:g}", f"{stored:.3f}", f"{found.loss:.4f}", f"{100 * found.accuracy:.1f}"]
        cells.append(f"{100 * found.plain_accuracy:.1f}")
        cells.append("" if line.own is None else f"{100 * line.own:.1f}")
        cells += ["" if value is None else f"{value:.0f}" for value in (line.seconds, line.megabytes)]
        print(f"| {line.who} | " + " | ".join(cells) + " |")


def main() -> None:
    """Ask every peer, measure every choice once, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", nargs="?", default="resnet20")
    parser.add_argument("--data", required=True)
    parser.add_argument("--bits", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--average", type=float, nargs="+", default=[2.5, 3.0])
    parser.add_argument("--peers", nargs="+", default=list(PEERS))
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--evaluated", type=int, default=1000)
    parser.add_argument("--limit", type=float, default=1800.0)
    parser.add_argument("--out", type=Path, default=Path("bench-out/peers"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    case = ready(given.case, data=str(Path(given.data).resolve()))
    file, _, _ = case.model.partition(":")
    job = {"file": file, "network": given.case, "data": str(Path(given.data).resolve()), "bits": given.bits}
    job |= {"averages": given.average, "samples": given.samples, "evaluated": given.evaluated}
    model, calibration = load_model(case.model), Batches(load_batches(case.calibration))
    kept = given.out / f"{case.name}.safetensors"
    if not kept.is_file():
        formats = [f"int{bits}" for bits in given.bits]
        read = set(OURS)
        collect(model, calibration, formats=formats, samples=given.samples, for_proxies=sorted(read)).save(
            kept
        )
    table = LayerTable.load(kept)
    lines = ours(table, given.average)
    for name in given.peers:
        lines += lines_of(ask(name, job, given.out, given.limit), table, given.average)
    outcomes = measure_plans(
        model,
        [line.choice for line in lines if line.choice is not None],
        formats=table.formats,
        cost=np.asarray(costs.bytes(table.units, table.formats)),
        evaluation=Batches(load_batches(case.evaluation), samples=given.evaluated),
        calibration=calibration,
        journal=given.out / f"{case.name}.journal",
        progress=True,
    )
    show(lines, outcomes, table)


if __name__ == "__main__":
    main()
