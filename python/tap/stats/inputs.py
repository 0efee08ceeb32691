"""Which inputs a proxy program may read, along which axes, and which pass over the data yields each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from tap.errors import TableError

UNIT: tuple[str, ...] = ()
FORMAT = ("format",)
WEIGHT = ("out", "in", "pos")
ERROR = ("format", "out", "in", "pos")
IN = ("in",)
OUT = ("out",)

SHAPES = (
    "numel", "macs", "depth", "index", "n_layers", "out_channels", "in_channels", "kernel", "stride",
    "groups", "is_conv", "is_linear", "is_depthwise", "is_first", "is_last",
)  # fmt: skip
"""Columns that follow from the units alone."""

PASSES: dict[str, dict[str, tuple[str, ...]]] = {
    "shapes": dict.fromkeys(SHAPES, UNIT),
    "weights": {"w": WEIGHT, "w_norm2": UNIT},
    "errors": {
        "bits": FORMAT, "bytes": FORMAT, "act_bits": FORMAT, "dw2": FORMAT, "dw_max": FORMAT, "dw": ERROR,
    },
    "input moments": {
        "x_mean": IN, "x_var": IN, "x_absmax": IN, "x_sq": IN, "act_mean": UNIT, "act_absmax": UNIT,
    },
    "output moments": {"z_mean": OUT, "z_var": OUT, "z_std": UNIT},
    "similarity": {"cka_sum": UNIT},
    "output noise": {"out_noise": FORMAT},
    "weighted noise": {"gz_noise": FORMAT, "gdw2": FORMAT},
    "logit noise": {"logit_dw2": FORMAT},
    "input noise": {"act_noise": FORMAT},
    "weighted input noise": {"gx_noise": FORMAT},
    "output gradients": {"gz2": OUT, "fisher_z": OUT},
    "gradients": {"g": WEIGHT, "plain": UNIT, "gdw": FORMAT, "gdw_abs": FORMAT},
    "squared gradients": {"g2": WEIGHT, "fisher_dw2": FORMAT},
    "compensated noise": {"comp_gz_noise": FORMAT, "comp_logit_gz": FORMAT, "comp_logit_dw2": FORMAT},
    "synflow": {"synflow": WEIGHT},
    "virtual gradients": {"vgrad": WEIGHT},
    "curvature": {"trace": UNIT, "h": WEIGHT},
    "largest eigenvalue": {"lambda_max": UNIT},
    "gradient flow": {"hg": WEIGHT},
}  # fmt: skip
"""Pass -> the inputs it yields -> their axes. The passes stand in the order of their cost."""

AXES: dict[str, tuple[str, ...]] = {name: axes for group in PASSES.values() for name, axes in group.items()}
"""The axes of every input."""

COSTLY = ("compensated noise", "curvature", "largest eigenvalue", "gradient flow")
"""Passes that round with error compensation or differentiate twice; all others are the cheap set."""

CHEAP = tuple(name for key, group in PASSES.items() if key not in COSTLY for name in group)
"""Inputs of all passes that are not costly: pass `inputs=CHEAP` for quick tables of large models."""


def passes_for(
    inputs: Sequence[str] | None, for_proxies: Any = None
) -> tuple[tuple[str, ...], frozenset[str]]:
    """The inputs to collect, and the passes that yield them; None and None mean every input.

    `for_proxies` is a proxy, a source text, the name of a library proxy, or a list of these.

    Raises:
        TableError: an unknown input; the hint names the nearest.

    >>> passes_for(["w_norm2", "numel"])[1] == {"shapes", "weights", "errors"}
    True
    """
    if inputs is None and for_proxies is None:
        wanted: set[str] = set(AXES)
    else:
        wanted = {*((inputs,) if isinstance(inputs, str) else inputs or ()), *_read_by(for_proxies)}
        wanted |= {*SHAPES, "bits", "bytes", "act_bits", "dw2"}
    for name in sorted(wanted - set(AXES)):
        near = get_close_matches(name, AXES, n=3)
        raise TableError(
            f"there is no input '{name}'",
            hint=f"did you mean {', '.join(near)}?" if near else "see docs/statistics.md for the inputs",
        )
    passes = frozenset(key for key, group in PASSES.items() if wanted & set(group))
    return tuple(name for name in AXES if name in wanted), passes


def _read_by(proxies: Any) -> Iterable[str]:
    """The inputs that programs read."""
    if proxies is None:
        return ()
    if isinstance(proxies, str) or hasattr(proxies, "inputs"):
        proxies = (proxies,)
    names: set[str] = set()
    for proxy in proxies:
        names |= set(_proxy(proxy).inputs)
    return names


def _proxy(proxy: Any) -> Any:
    """A proxy from an object that has inputs, the name of a library proxy, or a source text."""
    if not isinstance(proxy, str):
        return proxy
    from importlib import import_module

    if proxy.isidentifier() or proxy.replace("-", "_").isidentifier():
        return import_module("tap.proxies").load(proxy)
    return import_module("tap.proxy").Proxy(proxy)
