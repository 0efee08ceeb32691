"""The page of a report: one section after the other for whatever files it was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tap.errors import StoreError, TableError, TapError
from tap.report.judged import judged_charts
from tap.report.page import Chart, Page
from tap.report.plan import bits_chart, frontier_chart, plan_facts, prices_chart, scores_chart
from tap.report.sources import KINDS, Sources, Truth
from tap.report.truth import configurations_chart, sensitivity_chart
from tap.sensitivity import Sensitivity
from tap.stats.table import LayerTable


def report_page(sources: Sources, *, title: str | None = None, proxies: Sequence[str] = ()) -> Page:
    """The page about all that `sources` holds; a table and a truth of the same model judge every proxy.

    `proxies` are drawn in the scatter beside the best, a middling and the worst one.

    Raises:
        TapError: there is nothing to show.
    """
    sections = (*_plans(sources), *_truths(sources, proxies), *_runs(sources), *_benches(sources))
    if not sections:
        hint = "a table alone shows little: add --target or a plan" if sources.tables else f"give {KINDS}"
        raise TapError("there is nothing to draw in these files", hint=hint)
    facts = plan_facts(sources.plans[0][1]) if len(sources.plans) == 1 else ()
    lead = ", ".join(
        name
        for kind in (sources.plans, sources.tables, sources.targets, sources.runs, sources.benches)
        for name, _ in kind
    )
    return Page(title or _title(sources), f"Drawn from {lead}.", facts, tuple(sections))


def _title(sources: Sources) -> str:
    if sources.plans:
        return "Bit-width plan" if len(sources.plans) == 1 else "Bit-width plans"
    if sources.runs:
        return "Search for proxies"
    return "Benchmark of proxies" if sources.benches else "Measured truth"


def _plans(sources: Sources) -> list[Chart]:
    if not sources.plans:
        return []
    plans = [
        (f"{name}: {plan.average_bits:.2f} average bits, {plan.bytes:,.0f} bytes", plan)
        for name, plan in sources.plans
    ]
    several = len(plans) > 1
    charts = [bits_chart(plans)]
    for name, plan in sources.plans:
        some = (frontier_chart(plan), prices_chart(plan), scores_chart(plan))
        charts += [replace(one, heading=f"{one.heading} ({name})") if several else one for one in some if one]
    return charts


def _truths(sources: Sources, proxies: Sequence[str]) -> list[Chart]:
    charts: list[Chart] = []
    for name, target in sources.targets:
        shown = _told(name, target, sources)
        own = name if "," in shown else ""
        if isinstance(target, Sensitivity):
            charts.append(sensitivity_chart(target, name=own))
        else:
            charts.append(configurations_chart(target, name=own))
        table = _table_of(target.fingerprint, sources)
        if table is not None:
            charts += judged_charts(table, target, also=proxies, name=shown)
    return charts


def _told(name: str, target: Truth, sources: Sources) -> str:
    """What tells this truth from the others of the report: its kind, and its file where the kind repeats."""
    if len(sources.targets) == 1:
        return ""
    kind = "one unit at a time" if isinstance(target, Sensitivity) else "whole configurations"
    alike = sum(type(other) is type(target) for _, other in sources.targets)
    return f"{kind}, {name}" if alike > 1 else kind


def _table_of(fingerprint: str, sources: Sources) -> LayerTable | None:
    """The table of the same model; with tables of other models only, an error."""
    if not sources.tables:
        return None
    for _, table in sources.tables:
        if not fingerprint or not table.fingerprint or table.fingerprint == fingerprint:
            return table
    raise TableError(
        "the table and the measured truth are of different models",
        hint="collect the table and measure the truth on the same weights",
    )


def _runs(sources: Sources) -> list[Chart]:
    from tap.report.search import Run, search_charts

    charts: list[Chart] = []
    for name, path in sources.runs:
        run = Run.load(path)
        if run is None:
            raise StoreError(f"{path} holds no run", hint="tap search --store writes one")
        charts += search_charts(run, name=name if len(sources.runs) > 1 else "")
    return charts


def _benches(sources: Sources) -> list[Chart]:
    from tap.report.bench import bench_charts

    return [chart for _, document in sources.benches for chart in bench_charts(document)]
