"""What is benchmarked: a model, its data, the candidate formats and a ladder of budgets, each by its name."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from tap.errors import TapError

READY = ("digits", "resnet20", "resnet32", "mobilenet", "timm:NAME", "hf:NAME")
"""Cases that need no file."""

_SMALL = ("int2", "int3", "int4", "int5", "int6", "int8")
_LADDER = ("int2.25", "int2.5", "int3", "int3.5", "int4", "int5", "int6")


@dataclass(frozen=True)
class Case:
    """One network of the benchmark. Models and batches are references as `tap collect` takes them.

    >>> ready("digits").model
    'tap.demo:model'
    """

    name: str
    model: str
    calibration: str
    """Batches that proxies and lifts read."""
    judged: str
    """Batches that the truth is measured on: others than those of `calibration`."""
    evaluation: str
    """Batches that plans are measured on."""
    formats: tuple[str, ...] = _SMALL
    budgets: tuple[str, ...] = _LADDER
    samples: int | None = None
    """Read only the first so many calibration samples for the statistics."""
    evaluated: int | None = None
    """Measure plans on the first so many samples of `evaluation`."""
    lifted: int | None = None
    """The lifts of plans read the first so many calibration samples."""
    batch: int | None = None
    """Samples of a batch when plans are measured; small ones are faster where activations are large."""

    @staticmethod
    def load(path: str | Path) -> Case:
        """A case from a JSON file with these names; what is missing or unknown is a `TapError`."""
        known = {field.name for field in fields(Case)}
        try:
            found: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
            strange = sorted(set(found) - known)
            if strange:
                raise TapError(f"{path} has an unknown '{strange[0]}'", hint=f"known: {', '.join(known)}")
            for name in {"formats", "budgets"} & set(found):
                found[name] = tuple(found[name])
            return Case(**found)
        except (ValueError, TypeError) as error:
            raise TapError(f"{path} is not a case: {error}", hint="see docs/evidence.md") from error


def ready(name: str, *, data: str | None = None) -> Case:
    """The case called `name`; `data` is the folder or file that it reads.

    `resnet20`, `resnet32` and `mobilenet` need the example files of a checkout and the folder of their
    weights and images (or TAP_DATA); `timm:NAME` a folder of images, one folder a class; `hf:NAME` a text
    file. A `.json` file is a case of your own.

    Raises:
        TapError: no such case, or one without its data.
    """
    if name.endswith(".json"):
        return Case.load(name)
    kind, _, model = name.partition(":")
    if name == "digits":
        judged, evaluation = "tap.bench.data:digits_judged", "tap.demo:evaluation"
        return Case("digits", "tap.demo:model", "tap.demo:calibration", judged, evaluation)
    if name in ("resnet20", "resnet32"):
        return _example(name, "cifar10.py", data, samples=64, evaluated=2000)
    if name == "mobilenet":
        found = _example(name, "mobilenet.py", data, samples=32, evaluated=192)
        return replace(found, lifted=64, batch=8)
    if kind in ("timm", "hf") and model:
        if not data:
            what = "folder of images" if kind == "timm" else "text file"
            raise TapError(f"{name} needs data", hint=f"give the {what} with --data")
        calibration, judged, evaluation = (f"tap.bench.data:{kind}_{part}:{model}@{data}" for part in _PARTS)
        return Case(name.replace(":", "-").replace("/", "-"), name, calibration, judged, evaluation)
    raise TapError(f"there is no case '{name}'", hint=f"known: {', '.join(READY)}, or a .json file")


_PARTS = ("calibration", "judged", "evaluation")


def _example(name: str, file: str, data: str | None, *, samples: int, evaluated: int) -> Case:
    """A case of the folder of examples: in the working folder, or beside the package in a checkout."""
    roots = (Path.cwd(), Path(__file__).parents[3])
    path = next((root / "examples" / file for root in roots if (root / "examples" / file).is_file()), None)
    if path is None:
        raise TapError(
            f"the case '{name}' needs examples/{file}", hint="run tap bench in a checkout of the project"
        )
    end = f":{data}" if data else ""
    calibration, judged, evaluation = (f"{path}:{part}{end}" for part in _PARTS)
    return Case(
        name,
        f"{path}:{name}{end}",
        calibration,
        judged,
        evaluation,
        samples=samples,
        evaluated=evaluated,
    )
