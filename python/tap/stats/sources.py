"""Models and batches by a name: a function of a file or package, timm or transformers."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from torch import nn

from tap.errors import DataError, ModelError, TapError, require_extra

Error = TypeVar("Error", ModelError, DataError)
_FORMS = "a model is file.py:function, package.module:function, timm:NAME or hf:NAME"


def load_model(reference: str) -> nn.Module:
    """The model that a reference names, in evaluation mode.

    `file.py:function:argument` passes one string argument. A missing file or function, a function that
    raises or returns no module, and weights that are not finite are a `ModelError`.

    >>> type(load_model("tap.demo:model")).__name__
    'DigitsNet'
    """
    kind, _, name = reference.partition(":")
    if kind == "timm":
        model = _timm(name)
    elif kind == "hf":
        model = _hf(name)
    else:
        model = _call(reference, ModelError, _FORMS)
    if not isinstance(model, nn.Module):
        raise ModelError(f"{reference} gives a {type(model).__name__}, not a torch.nn.Module", hint=_FORMS)
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and not bool(parameter.detach().isfinite().all()):
            raise ModelError(
                f"{reference}: the weight '{name}' holds values that are not finite",
                hint="the checkpoint is damaged or was saved while training diverged",
            )
    return model.eval()


def load_batches(reference: str) -> Any:
    """What the function of a reference returns: a loader, a list of batches or one batch.

    >>> len(load_batches("tap.demo:calibration"))
    2
    """
    return _call(reference, DataError, "data is file.py:function or package.module:function")


def _call(reference: str, error: type[Error], forms: str) -> Any:
    """Call the function that a reference names, with its argument if it has one."""
    place, _, rest = reference.partition(":")
    function_name, _, argument = rest.partition(":")
    if not place or not function_name:
        raise error(f"'{reference}' does not name a function", hint=forms)
    module = _module(place, error, forms)
    function: Callable[..., Any] | None = getattr(module, function_name, None)
    if not callable(function):
        names = [name for name, value in vars(module).items() if callable(value) and name[0] != "_"]
        hint = f"it has {', '.join(names[:12]) or 'none'}"
        raise error(f"{place} has no function '{function_name}'", hint=hint)
    try:
        return function(argument) if argument else function()
    except TapError:
        raise
    except Exception as problem:
        raise error(
            f"{reference} failed: {type(problem).__name__}: {_one_line(problem)}",
            hint=f"call {function_name}({argument!r}) in Python to see where".replace("('')", "()"),
        ) from problem


def _module(place: str, error: type[Error], forms: str) -> ModuleType:
    """Import a file by its path or a module by its name."""
    is_file = place.endswith(".py")
    if is_file and not Path(place).is_file():
        raise error(f"there is no file {place}", hint=forms)
    try:
        return _import_file(Path(place)) if is_file else importlib.import_module(place)
    except Exception as problem:
        raise error(
            f"{place} does not import: {type(problem).__name__}: {_one_line(problem)}",
            hint=f"run python {place} to see where" if is_file else forms,
        ) from problem


def _import_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tap_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _timm(name: str) -> Any:
    """A pretrained model of timm."""
    require_extra("timm", extra="timm", why=f"the model timm:{name}")
    timm = importlib.import_module("timm")
    try:
        return timm.create_model(name, pretrained=True)
    except Exception as problem:
        hint = "timm.list_models() has the names"
        raise ModelError(f"timm:{name} failed: {_one_line(problem)}", hint=hint) from problem


def _hf(name: str) -> Any:
    """A pretrained causal language model, image classifier or encoder of transformers."""
    require_extra("transformers", extra="hf", why=f"the model hf:{name}")
    transformers = importlib.import_module("transformers")
    try:
        config = transformers.AutoConfig.from_pretrained(name)
        kind = (config.architectures or ["AutoModel"])[0]
        return getattr(transformers, kind, transformers.AutoModel).from_pretrained(name)
    except Exception as problem:
        raise ModelError(
            f"hf:{name} failed: {type(problem).__name__}: {_one_line(problem)}",
            hint="give a folder with config.json and weights, or a name on the hub you can reach",
        ) from problem


def _one_line(problem: BaseException) -> str:
    return " ".join(str(problem).split())[:300] or "no message"
