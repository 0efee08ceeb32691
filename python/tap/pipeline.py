"""The whole flow on one page: collect, score, allocate, quantize, measure. Read this first.

model + data --collect--> LayerTable --proxy--> scores [L, F] --allocate(costs, budgets)--> Plan
             --measure--> Sensitivity, Configurations: the truth that proxies are judged by
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tap import costs as cost_models
from tap.configurations import Configurations
from tap.errors import PlanError, TableError
from tap.formats import parse_all
from tap.plan import Plan, PlanFormat
from tap.proxy import Proxy
from tap.sensitivity import Sensitivity
from tap.stats.table import LayerTable

if TYPE_CHECKING:
    from tap.stats.batches import Batches


def make_plan(
    table: LayerTable,
    scores: Proxy | NDArray[np.float64],
    budgets: Iterable[str],
    *,
    name: str = "",
    groups: Iterable[Sequence[str]] = (),
    pin: dict[str, str] | None = None,
    forbid: Iterable[tuple[str, str]] = (),
    time_limit: float | None = None,
    target: str | None = None,
) -> Plan:
    """The best format of each unit by a proxy, or by scores [L, F], within budgets such as `4.25bits`.

    With `target` (a name of `tap.export.TARGETS`) only what it holds is chosen, units that it fuses are tied,
    and bytes are those of its files.

    Raises:
        ExportError: a unit that the target cannot hold in any of the formats.
        BudgetError, InfeasibleError: a budget that cannot be read, or met.
        PlanError: scores that do not fit the table.
    """
    formats = parse_all(table.formats)
    provenance: dict[str, Any] = {"proxy": name or "scores"}
    if isinstance(scores, Proxy):
        provenance |= {"program": scores.source, "hash": scores.hash}
        scores = scores.score(table)
    provenance |= {"samples": table.meta.get("samples"), "tap": _version()}
    costs = {
        "bytes": cost_models.bytes(table.units, formats).astype(np.float64),
        "bops": cost_models.bops(table.units, formats).astype(np.float64),
    }
    allowed = None
    if target is not None:
        from tap.export.fit import fit

        rules = fit(table.units, formats, target)
        groups, allowed = (*groups, *rules.groups), rules.allowed
        costs["bytes"] = rules.bytes.astype(np.float64)
        provenance["target"] = target
    plan = Plan.solve(
        table.units,
        [PlanFormat(form.name, float(form.bits), float(form.act_bits)) for form in formats],
        scores=scores,
        costs=costs,
        budgets=cost_models.limits(budgets, table.units),
        fingerprint=table.fingerprint,
        groups=groups,
        allowed=allowed,
        provenance=provenance,
        time_limit=time_limit,
    )
    return plan.restrict(pin=pin, forbid=forbid) if pin or list(forbid) else plan


def uniform_choice(plan: Plan) -> tuple[int, ...]:
    """The one format for all units that fits the plan's budgets and has the most bits."""
    fitting = [
        index
        for index in range(len(plan.formats))
        if all(
            plan.costs[name][:, index].sum() <= limit * (1 + 1e-12) for name, limit in plan.budgets.items()
        )
    ]
    if not fitting:
        raise PlanError("no single format fits the budgets", hint="allow a coarser format")
    best = max(fitting, key=lambda index: (plan.formats[index].bits, -index))
    return (best,) * len(plan.units)


def evaluate(
    model: Any,
    choices: NDArray[np.int64],
    batches: Batches,
    *,
    formats: Sequence[str],
    calibration: Batches,
    lifts: bool = True,
    progress: bool = True,
) -> Configurations:
    """Loss (KL to full precision) and accuracy of really quantized networks, one a row of `choices`."""
    from tap.configurations import measure_configs

    return measure_configs(
        model,
        batches,
        choices=np.asarray(choices, np.int64),
        formats=formats,
        calibration=calibration,
        lifts=lifts,
        progress=progress,
    )


def top1(model: Any, batches: Batches) -> float:
    """The part of the predictions that are right, averaged over the samples; NaN without labels."""
    from tap.truth.losses import right_of

    return float(right_of(model, batches).double().mean())


def load_target(path: str | Path) -> Sensitivity | Configurations:
    """What `tap measure` wrote, whichever of the two it is."""
    try:
        return Configurations.load(path)
    except TableError as error:
        if "not configurations" not in error.message:
            raise
    return Sensitivity.load(path)


def _version() -> str:
    import tap

    return str(tap.__version__)
