"""The search against its baselines under one budget of programs: medians and spread over seeds.

python benches/evidence/search_baselines.py --net r20.table,r20.configs --net r32.table,r32.configs

Every method may have `--programs` programs scored. No real model is asked: a stand-in writes random programs
of the language when it is shown none, and varies what it is shown otherwise, so the figures compare the ways
of asking, not models. Methods: independent (init prompts alone), best of n (mutate the best so far), random
(programs grown anew), genetic (the local search alone), loop (three prompts, the controller and a small local
search), hand (the best named proxy).

`--ablate` compares the loop without local search under each controller instead, and with and without repair
where the stand-in misspells an input in every second program and spells it right when asked to repair it.
Repairs are calls too: with repair the loop has fewer generations.
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
from search_none import agreements, read

from tap import _core, proxies
from tap.search import start
from tap.search.budget import Budget
from tap.search.config import Settings, preset
from tap.search.nets import Net
from tap.search.prompts import input_names
from tap.search.recording import Mock
from tap.search.wire import Request

CHILDREN, CALLS = 5, 4
ASKED: dict[str, Any] = {"calls": CALLS, "children": CHILDREN, "fitness": "agreement", "repair": False}
"""Settings of every search that asks the stand-in."""
SLIP, REJECTED = "_slip", "rejected by the compiler"
SHOWN = re.compile(r"```\n(.*?)\n```", re.DOTALL)


def stand_in(inputs: list[str], run: int, slips: bool = False) -> Mock:
    """A model whose replies follow from the request and the seed of the run, which no request holds."""
    slip = re.compile(rf"\b({'|'.join(inputs)})\b")

    def answer(request: Request) -> str:
        codes = SHOWN.findall(request.user)
        if REJECTED in request.user:
            return reply([code.replace(SLIP, "") for code in codes if SLIP in code])
        seed = int(np.random.default_rng([run, int(request.key[:15], 16)]).integers(2**62))
        shown = [code for code in codes if "score" in code and SLIP not in code]
        if shown:
            codes, _ = _core.vary(seed, shown, CHILDREN, inputs)
        else:
            codes = _core.random_programs(seed, CHILDREN, 8, inputs)
        if slips:
            codes[::2] = [slip.sub(rf"\1{SLIP}", code, count=1) for code in codes[::2]]
        return reply(codes)

    return Mock(answer)


def reply(codes: list[str]) -> str:
    """Programs as a model sends them."""
    return json.dumps({"candidates": [{"thought": "", "code": code} for code in codes]})


def methods(programs: int) -> dict[str, tuple[Settings, bool]]:
    """Settings under which about `programs` programs are scored, and whether a model is asked."""
    generations = max(1, programs // (CHILDREN * CALLS))
    asked = {**ASKED, "generations": generations}
    alone = {"generations": 10, "local": programs // 10, "fitness": "agreement"}
    half = {**asked, "generations": max(1, generations // 2)}
    return {
        "independent": (preset("iid", **asked), True),
        "best of n": (preset("best-of-n", **asked), True),
        "random": (preset("random", **alone), False),
        "genetic": (preset("default", **alone), False),
        "loop": (preset("default", **half, local=CHILDREN * CALLS), True),
    }


def ablations(programs: int) -> dict[str, tuple[Settings, bool]]:
    """The loop alone under each controller, and with slips under the default one; whether there are slips."""
    calls = programs // CHILDREN
    alone = preset("default", **ASKED, local=0, generations=max(1, calls // CALLS))
    names = ("uniform", "dpo", "thompson", "fixed:1,0,0", "fixed:0,1,0", "fixed:0,0,1")
    found = {name: (replace(alone, controller=name), False) for name in names}
    budget = Budget(calls=calls)
    found["slips"] = (replace(alone, budget=budget), True)
    found["slips, repaired"] = (replace(alone, budget=budget, repair=True), True)
    return found


def best(nets: list[Net], settings: Settings, seed: int, asked: bool, slips: bool = False) -> float:
    """Agreement of the best program of one search."""
    inputs = sorted(set.intersection(*(set(input_names(net.table)) for net in nets)))
    found = start.search(
        [net.table for net in nets],
        [net.target for net in nets],
        llm=stand_in(inputs, seed, slips) if asked else "none",
        settings=settings,
        seed=seed,
        references={},
    )
    return float(agreements([found.program], nets)[0])


def main() -> None:
    """One line for each method."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--net", action="append", required=True, metavar="TABLE,TARGET")
    parser.add_argument("--programs", type=int, default=2_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--ablate", action="store_true")
    given = parser.parse_args()
    nets = [read(pair) for pair in given.net]
    hand = np.nanmax(agreements([proxies.load(name).source for name in proxies.names()], nets))
    print(f"{'hand':<16} {hand:.4f}")
    runs = {name: (settings, asked, False) for name, (settings, asked) in methods(given.programs).items()}
    if given.ablate:
        runs = {
            name: (settings, True, slips) for name, (settings, slips) in ablations(given.programs).items()
        }
    for name, run in runs.items():
        values = [best(nets, run[0], seed, *run[1:]) for seed in range(given.seeds)]
        print(f"{name:<16} {np.median(values):.4f}  {min(values):.4f} to {max(values):.4f}", flush=True)


if __name__ == "__main__":
    main()
