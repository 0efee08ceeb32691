"""How long tools take to score and allocate: ResNet-18 at 64 x 64, three formats, 8 batches of 4 images.

`make bench-peers` builds the environments; then `python benches/peers/speed.py`. Weights are random, so that
only times are compared. Every tool runs in a process of its own with the same number of threads, one after
the other; the start of Python and its imports is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from allocations import ask

FILE = Path(__file__).parent / "resnet18.py"
BATCH = 4
JOB = {"file": str(FILE), "network": "resnet18", "data": "", "bits": [2, 4, 8], "averages": [4.0]}
JOB |= {"batch": BATCH, "evaluated": 1}


def ours(samples: int) -> float:
    """Seconds of collecting what the default proxy reads, scoring, and allocating."""
    import torch

    import tap
    from tap import proxies
    from tap.pipeline import make_plan

    sys.path.insert(0, str(FILE.parent))
    import resnet18

    model, [(images, labels)] = resnet18.resnet18(), resnet18.calibration(samples=samples)
    batches = list(zip(images.split(BATCH), labels.split(BATCH), strict=True))
    with torch.no_grad():
        model(batches[0][0])
    started = time.perf_counter()
    formats = [f"int{bits}" for bits in (2, 4, 8)]
    table = tap.collect(model, batches, formats=formats, for_proxies=proxies.DEFAULT, progress=False)
    make_plan(table, proxies.load(proxies.DEFAULT), ["4bits"])
    return time.perf_counter() - started


def main() -> None:
    """A row for each tool, ours first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--peers", nargs="*", default=["modelopt", "mct"])
    parser.add_argument("--out", type=Path, default=Path("bench-out/speed"))
    parser.add_argument("--ours", action="store_true", help="time tap alone, and print only its seconds")
    given = parser.parse_args()
    if given.ours:
        print(ours(given.samples))
        return
    given.out.mkdir(parents=True, exist_ok=True)
    print(
        f"threads: {os.environ.get('OMP_NUM_THREADS', 'all')}\n\n| who | seconds | of tap |\n|---|---:|---:|"
    )
    command = [sys.executable, __file__, "--ours", "--samples", str(given.samples)]
    tap_seconds = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    print(f"| tap | {tap_seconds:.2f} | 1x |", flush=True)
    job = {**JOB, "samples": given.samples}
    for name in given.peers:
        (given.out / f"{name}.json").unlink(missing_ok=True)
        found = ask(name, json.loads(json.dumps(job)), given.out, 1800.0)
        if "failure" in found:
            print(f"| {found['peer']} | failed: {found['failure']} | |")
            continue
        ratio = found["seconds"] / tap_seconds
        print(f"| {found['peer']} {found['version']} | {found['seconds']:.1f} | {ratio:.0f}x |", flush=True)


if __name__ == "__main__":
    main()
