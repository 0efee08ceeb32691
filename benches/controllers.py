"""Compare the controllers on simulated arms: `python benches/controllers.py [--seeds N]`.

Three arms improve on their parents with rates .06 .16 .09. Each generation draws eight calls; the figure is
the mean number of improvements and its standard error over the seeds. In the drifting case the rates move
on by one arm every quarter of the run. Gains are exponential, so that preference pairs have sizes.
"""

from __future__ import annotations

import argparse

import numpy as np

from tap.search.controller import Outcome, build, choose

RATES = (0.06, 0.16, 0.09)
BATCH = 8
NAMES = ("uniform", "dpo", "exp3", "ucb", "thompson")


def improvements(name: str, *, calls: int, drifting: bool, seed: int) -> int:
    """Number of improving calls of one simulated run."""
    random = np.random.default_rng([seed, calls, int(drifting)])
    controller = build(name, len(RATES))
    total = 0
    for start in range(0, calls, BATCH):
        rates = np.roll(RATES, 4 * start // calls) if drifting else np.asarray(RATES)
        pending = np.zeros(len(RATES))
        outcomes = []
        for _ in range(min(BATCH, calls - start)):
            arm = choose(controller, random, pending)
            pending[arm] += 1
            won = random.random() < rates[arm]
            outcomes.append(Outcome(arm, random.exponential() if won else -random.exponential()))
            total += int(won)
        controller.update(outcomes)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=400)
    seeds = parser.parse_args().seeds
    print(
        f"{'controller':<12}"
        + "".join(f"{kind + ' ' + str(n):>20}" for kind in ("same", "drift") for n in (40, 160, 800))
    )
    for name in NAMES:
        cells = []
        for drifting in (False, True):
            for calls in (40, 160, 800):
                runs = [
                    improvements(name, calls=calls, drifting=drifting, seed=seed) for seed in range(seeds)
                ]
                cells.append(f"{np.mean(runs):>12.2f} ± {np.std(runs) / np.sqrt(seeds):.2f}")
        print(f"{name:<12}" + "".join(f"{cell:>20}" for cell in cells))


if __name__ == "__main__":
    main()
