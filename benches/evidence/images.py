"""How agreement depends on the number of calibration images: statistics from ever more, the same truth.

python benches/evidence/images.py resnet20 --target r20.configs --data DATA
"""

from __future__ import annotations

import argparse

from tap import proxies
from tap.bench.case import ready
from tap.configurations import Configurations
from tap.screen import screen
from tap.stats.collect import collect
from tap.stats.sources import load_batches, load_model

PROXIES = ("logit_noise", "modelopt", "mpqco", "squeezellm", "autoround")
ALONE = ("comp_gz_noise", "comp_logit_gz")


def main() -> None:
    """One row for each number of images; every input reads all of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("case")
    parser.add_argument("--target", required=True)
    parser.add_argument("--data")
    parser.add_argument("--images", type=int, nargs="+", default=[4, 16, 64, 256])
    given = parser.parse_args()
    case, truth = ready(given.case, data=given.data), Configurations.load(given.target)
    model, batches = load_model(case.model), load_batches(case.calibration)
    sources = {name: proxies.source(name) for name in PROXIES}
    sources |= {name: f"score = {name}" for name in ALONE}
    print("| images | " + " | ".join(sources) + " |\n|---|" + "---:|" * len(sources))
    for images in given.images:
        table = collect(
            model,
            batches,
            formats=truth.formats,
            samples=images,
            noise_samples=None,
            for_proxies=list(sources.values()),
            progress=False,
        )
        found = screen(list(sources.values()), table, truth).spearman
        print(f"| {images} | " + " | ".join(f"{value:.3f}" for value in found) + " |", flush=True)


if __name__ == "__main__":
    main()
