"""The demo's steps, one function each: collect, measure, screen, search, allocate, quantize."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tap import costs
from tap import proxies as library
from tap.configurations import Configurations, measure_configs
from tap.demo.digits import digits
from tap.demo.network import network
from tap.formats import Format, parse_all
from tap.pipeline import evaluate, make_plan, top1, uniform_choice
from tap.plan import Plan
from tap.proxy import Proxy
from tap.screen import screen
from tap.sensitivity import Sensitivity, measure
from tap.stats.batches import Batches
from tap.stats.collect import collect
from tap.stats.table import LayerTable

BITS = (2.25, 2.5, 3.0)
"""Budgets: the bytes of uniform formats with so many bits, in between in proportion."""
RANDOM = 40
"""Random configurations measured at each budget: half to search on, half to compare proxies on."""
JUDGED = 400
"""Images that the truth is measured on, others than those that proxies read; labels are not used."""
BEST, UNIFORM, CHANCE, FOUND = "best known plan", "uniform", "random (median)", "found by the search"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """One line of the demo's table: [budgets] each."""

    name: str
    agreement: float
    """Spearman with measured configurations of equal bytes that the search did not see, relative to the noise
    ceiling; NaN for plans."""
    loss: tuple[float, ...]
    """KL to full precision on the judged images."""
    accuracy: tuple[float, ...]
    """Top-1 on the evaluation images, with batch-norm correction."""
    plain: tuple[float, ...]
    """Top-1 without it."""


@dataclass(frozen=True)
class Demo:
    """What the demo found."""

    rows: tuple[Row, ...]
    plans: Mapping[float, Plan]
    """The best proxy's plan at each budget."""
    sensitivity: Sensitivity
    configurations: Configurations
    program: str
    """The program that the search found."""
    predicted: Mapping[str, NDArray[np.float64]]
    """Scores [L, F] of the proxies that the report draws."""
    full: float
    """Top-1 in full precision."""

    def regret(self, row: Row) -> float:
        """Measured loss above that of the best known plan, averaged over the budgets."""
        best = next(other for other in self.rows if other.name == BEST)
        return float(np.mean(np.subtract(row.loss, best.loss)))


def run(
    *, seed: int = 0, programs: int = 2000, llm: str = "none", say: Say = print, progress: bool = True
) -> Demo:
    """All steps on the digits; the same seed gives the same table."""
    with _one_thread():
        model, calibration, evaluation = network(), Batches(digits("calib")), Batches(digits("eval"))
        judged = Batches(digits("train"), samples=JUDGED)
        table = collect(model, calibration, seed=seed, progress=progress)
        counts = f"{len(table.units)} units, {len(table.formats)} formats"
        say(f"collect    {counts}, {calibration.n_samples} images")
        sensitivity = measure(model, judged, progress=progress)
        say(f"measure    each unit alone in each format; noise ceiling {sensitivity.ceiling:.2f}")
        truth = measure_configs(
            model, judged, calibration=calibration, budgets=BITS, n=RANDOM, seed=seed, progress=progress
        )
        say(f"measure    {len(truth.loss)} configurations at equal bytes; noise ceiling {truth.ceiling:.2f}")
        sources = {name: library.source(name) for name in library.names()}
        seen, unseen = _half(truth, 0), _half(truth, 1)
        agreement = _agreement(sources, table, unseen)
        best = max(agreement, key=lambda name: np.nan_to_num(agreement[name], nan=-2.0))
        say(f"score      {len(sources)} named proxies; best agreement {agreement[best]:.2f} ({best})")
        sources[FOUND] = found = _search(table, seen, seed=seed, programs=programs, llm=llm)
        agreement = _agreement(sources, table, unseen)
        writer = "random programs and genetic variation" if llm == "none" else llm
        say(f"search     {writer}, on the other half; agreement {agreement[FOUND]:.2f}")
        plans = _plans(sources, table)
        say(f"allocate   {sum(map(len, plans.values()))} plans, each proven the best for its proxy and size")
        data = (calibration, judged, evaluation)
        rows, full = _measured(model, plans, truth, agreement, data, progress=progress)
        say(f"quantize   {len(rows)} rows, {evaluation.n_samples} images; full precision {full:.4f}")
        winner = min((row for row in rows if row.name in plans), key=lambda row: float(np.mean(row.loss)))
        drawn = dict.fromkeys((winner.name, best, FOUND, "sqnr"))
        shown = {name: Proxy(sources[name]).score(table) for name in drawn}
    chosen = dict(zip(BITS, plans[winner.name], strict=True))
    return Demo(tuple(rows), chosen, sensitivity, truth, found, shown, full)


def _half(truth: Configurations, which: int) -> Configurations:
    """Every second configuration."""
    kept = slice(which, None, 2)
    arrays = ("choice", "loss", "accuracy", "stderr", "stratum", "bytes", "plain_loss", "plain_accuracy")
    return replace(truth, **{name: getattr(truth, name)[kept] for name in arrays})


def _agreement(sources: Mapping[str, str], table: LayerTable, truth: Configurations) -> dict[str, float]:
    """Spearman of each program with the configurations, relative to the noise ceiling."""
    found = screen(list(sources.values()), table, truth)
    return {name: float(value) / truth.ceiling for name, value in zip(sources, found.spearman, strict=True)}


def _search(table: LayerTable, truth: Configurations, *, seed: int, programs: int, llm: str) -> str:
    """The best program of a short search."""
    from tap.search.config import Settings
    from tap.search.start import search

    settings = Settings(generations=1, local=programs)
    found = search(table, truth, llm=llm, seed=seed, settings=settings, references={})
    return found.program


def _plans(sources: Mapping[str, str], table: LayerTable) -> dict[str, list[Plan]]:
    """A plan of each proxy at each budget."""
    sizes = costs.bytes(table.units, table.formats)
    budgets = [int(_bytes_of(bits, sizes, [form.bits for form in _formats(table)])) for bits in BITS]
    plans = {}
    for name, source in sources.items():
        proxy = Proxy(source)
        plans[name] = [make_plan(table, proxy, [f"{budget}B"], name=name) for budget in budgets]
    return plans


def _measured(
    model: torch.nn.Module,
    plans: Mapping[str, list[Plan]],
    truth: Configurations,
    agreement: Mapping[str, float],
    data: tuple[Batches, Batches, Batches],
    *,
    progress: bool,
) -> tuple[list[Row], float]:
    """Every plan, the uniform ones and the random ones, really quantized and measured; each choice once."""
    calibration, judged, evaluation = data
    uniform = [uniform_choice(plan) for plan in next(iter(plans.values()))]
    wanted = {name: [plan.choice for plan in some] for name, some in plans.items()} | {UNIFORM: uniform}
    known = {tuple(map(int, row)): float(loss) for row, loss in zip(truth.choice, truth.loss, strict=True)}
    strata = [[tuple(map(int, row)) for row in truth.choice[truth.stratum == k]] for k in range(len(BITS))]
    every = list(dict.fromkeys(choice for some in wanted.values() for choice in some))
    formats = list(truth.formats)
    fresh = [choice for choice in every if choice not in known]
    if fresh:
        losses = evaluate(
            model, np.array(fresh), judged, formats=formats, calibration=calibration, progress=progress
        ).loss
        known |= dict(zip(fresh, losses.tolist(), strict=True))
    best = [
        min([*strata[k], *(some[k] for some in wanted.values())], key=lambda choice: known[choice])
        for k in range(len(BITS))
    ]
    wanted[BEST] = best
    middle = [sorted(stratum, key=lambda choice: known[choice])[len(stratum) // 2] for stratum in strata]
    wanted[CHANCE] = middle
    every = list(dict.fromkeys([*every, *best, *middle]))
    found = evaluate(
        model, np.array(every), evaluation, formats=formats, calibration=calibration, progress=progress
    )
    place = {choice: index for index, choice in enumerate(every)}
    rows = [
        Row(
            name,
            agreement.get(name, float("nan")),
            tuple(known[choice] for choice in some),
            tuple(float(found.accuracy[place[choice]]) for choice in some),
            tuple(float(found.plain_accuracy[place[choice]]) for choice in some),
        )
        for name, some in wanted.items()
    ]
    return sorted(rows, key=lambda row: float(np.mean(row.loss))), top1(model, evaluation)


def save(demo: Demo, folder: Path) -> tuple[Path, Path]:
    """Write plan.json (the best proxy's, at the middle budget) and report.html."""
    from tap.demo.page import page
    from tap.files import write_text
    from tap.report import render

    folder.mkdir(parents=True, exist_ok=True)
    plan, report = folder / "plan.json", folder / "report.html"
    demo.plans[BITS[1]].save(plan)
    write_text(report, render(page(demo)))
    return plan, report


def _formats(table: LayerTable) -> tuple[Format, ...]:
    return parse_all(table.formats)


def _bytes_of(bits: float, sizes: NDArray[np.int64], of_format: list[float]) -> float:
    from tap.truth.draw import target_bytes

    return target_bytes(bits, sizes, of_format)


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread of torch: faster for so small a network, and the same numbers on every machine of a kind."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
