"""Choose the numeric precision of each layer of a neural network.

`tap.pipeline` shows the whole flow on one page. Names are imported on first use, so `import tap` is light.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

_HOME: dict[str, str] = {
    "Sensitivity": "tap.sensitivity",
    "measure": "tap.sensitivity",
    "Interactions": "tap.interactions",
    "measure_pairs": "tap.interactions",
    "Configurations": "tap.configurations",
    "measure_configs": "tap.configurations",
    "quantize": "tap.quantize",
    "restore": "tap.quantize",
    "finetune": "tap.finetune",
    "export": "tap.export",
    "compress": "tap.compress",
    "TapError": "tap.errors",
    "InfeasibleError": "tap.errors",
    "ProxyError": "tap.errors",
    "TableError": "tap.errors",
    "PlanError": "tap.errors",
    "LLMError": "tap.errors",
    "LayerTable": "tap.stats.table",
    "collect": "tap.stats.collect",
    "Plan": "tap.plan",
    "Proxy": "tap.proxy",
    "Screening": "tap.screen",
    "screen": "tap.screen",
    "allocate": "tap.allocate",
    "frontier": "tap.frontier",
    "Allocation": "tap.allocate",
    "Frontier": "tap.frontier",
    "Ladder": "tap.frontier",
    "search": "tap.search.start",
    "SearchResult": "tap.search.result",
}

__all__ = sorted([*_HOME, "__version__"])


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from tap import _core

        return _core.__version__
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'tap' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    """Keeps `tap.screen` the function when its module `tap.screen` is imported; both have one name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
