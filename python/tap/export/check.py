"""Whether a plan can go to a target and belongs to a model: all reasons, before a byte is written."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from tap.errors import ExportError, PlanError
from tap.export.targets import Target, tied
from tap.formats import parse

if TYPE_CHECKING:
    from tap.plan import Plan

_SHOWN = 4


def check_plan(plan: Plan, target: Target) -> None:
    """Raise `ExportError` unless the target holds every choice of the plan and its ties are kept."""
    choices = plan.choices
    reasons = [
        f"'{unit.name}' in {choices[unit.name]}: {reason}"
        for unit in plan.units
        if (reason := target.refusal(unit, parse(choices[unit.name]))) is not None
    ]
    if reasons:
        raise ExportError(
            f"{target.name} cannot hold {len(reasons)} of {len(plan.units)} units: " + _some(reasons, "; "),
            hint=f"it holds {target.holds.describe()}; choose with tap allocate --target {target.name}",
        )
    broken = [
        " ".join(f"{name}={choices[name]}" for name in group)
        for group in tied(plan.units, target)
        if len({choices[name] for name in group}) > 1
    ]
    if broken:
        raise ExportError(
            f"{target.ties} loads these units as one weight, but their formats differ: "
            + _some(broken, "; "),
            hint=f"tap allocate --target {target.name} ties them before solving",
        )


def check_model(plan: Plan, model: Any) -> None:
    """Raise `PlanError` unless the model has every unit of the plan and the weights it was made for."""
    from torch import nn

    from tap.stats.batches import unwrap
    from tap.stats.layers import fingerprint
    from tap.stats.sites import find_sites

    if not isinstance(model, nn.Module):
        raise ExportError(f"the model is a {type(model).__name__}, not a torch.nn.Module")
    names = [site.name for site in find_sites(model)]
    unknown = [unit.name for unit in plan.units if unit.name not in names]
    if unknown:
        near = get_close_matches(unknown[0], names, 3) or names[:3]
        raise PlanError(
            f"the model has no layer {_some([repr(name) for name in unknown], ', ')}",
            hint=f"pass the model that the plan was made for; this one has {', '.join(near)} ...",
        )
    if "_tap_undo" not in unwrap(model).__dict__:
        plan.require_model(plan.units, fingerprint(model, plan.units) if plan.fingerprint else "")


def _some(parts: list[str], between: str) -> str:
    more = len(parts) - _SHOWN
    return between.join(parts[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
