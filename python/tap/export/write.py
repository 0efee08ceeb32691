"""`tap.export`: check a plan against a target and a model, then write all of it or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap.errors import ExportError, TapError, require_extra
from tap.export.check import check_model, check_plan
from tap.export.place import new_place, sizes_of
from tap.export.targets import find
from tap.formats import parse

if TYPE_CHECKING:
    from tap.plan import Plan


@dataclass(frozen=True)
class Exported:
    """What was written."""

    target: str
    path: Path
    files: Mapping[str, int]
    """Bytes of each file."""
    units: Mapping[str, int]
    """Bytes of each unit's weight in them: codes, scales, zero points; empty where no weights are written."""
    predicted: Mapping[str, int]
    """The same, counted from the plan before anything was written."""

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())


def export(
    plan: Plan | str | Path,
    target: str,
    path: str | Path,
    *,
    model: Any = None,
    data: Any = None,
    overwrite: bool = False,
    **options: Any,
) -> Exported:
    """Write `plan` in the form that `target` loads, whole or not at all.

    Args:
        plan: a plan, or the file of one.
        target: a name of `tap.export.TARGETS`, for example `torchao`.
        path: the new file or folder.
        model: the model, or what `tap.quantize` (and training) made of it; targets with weights need it.
        data: batches for calibration, as `tap.quantize` takes them; without, weights are rounded to nearest.
        overwrite: replace what is at `path`.
        options: what the target's writer takes besides, see docs/exports.md.

    Raises:
        ExportError: the target cannot hold the plan, `path` exists, or the disk is full.
        PlanError: a plan of a newer version, or of another model.
        MissingExtraError: a package of the target is not installed.

    >>> import tempfile, torch, tap
    >>> from tap import proxies
    >>> from tap.pipeline import make_plan
    >>> net = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4)).eval()
    >>> table = tap.collect(net, torch.randn(8, 64), formats=["int3", "int8"], progress=False)
    >>> plan = make_plan(table, proxies.load("sqnr"), ["5bits"])
    >>> done = export(plan, "state-dict", tempfile.mkdtemp() + "/packed.safetensors", model=net)
    >>> sum(done.units.values()) == plan.bytes
    True
    """
    from tap.plan import Plan

    plan = plan if isinstance(plan, Plan) else Plan.load(plan)
    found = find(target)
    check_plan(plan, found)
    if found.weights and model is None:
        raise ExportError(f"{target} holds weights, so it needs the model", hint="pass model= (--model)")
    for module in found.needs if model is not None or found.weights else ():
        require_extra(module, extra=found.extra, why=f"the target '{target}'")
    if model is not None:
        check_model(plan, model)
        if not found.reads:
            from tap.export.encode import prepared

            model = prepared(model, plan, data)
    if found.traced:
        options["data"] = data
    wide = _number_bytes(model)
    predicted = {unit.name: found.sizes(unit, parse(plan.choices[unit.name]), wide) for unit in plan.units}
    with new_place(path, found.output, overwrite=overwrite) as place:
        try:
            units = found.write()(plan, place, model=model, **options)
        except (TypeError, ValueError) as error:
            if isinstance(error, TapError) or "unexpected keyword" not in str(error):
                raise
            raise ExportError(f"{target}: {error}", hint="see docs/exports.md for its options") from error
    return Exported(target, Path(path), sizes_of(Path(path)), units, predicted if units else {})


def _number_bytes(model: Any) -> int:
    """Bytes of one number of the model; 2 where there is none."""
    sizes = (
        [p.element_size() for p in model.parameters() if p.is_floating_point()] if model is not None else []
    )
    return min(sizes, default=2)
