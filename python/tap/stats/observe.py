"""Watch every multiplication by a unit's weight while the model runs, and leave no trace."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from tap.stats.attention import attend
from tap.stats.sites import Site

OnCall = Callable[[Site, int, Tensor, Tensor], Tensor | None]
"""(site, first row of the weight used, input, output) -> a replacement of the output, or None."""


@contextmanager
def observed(sites: Sequence[Site], on_call: OnCall) -> Iterator[None]:
    """Call `on_call` at each use of a site's weight; hooks and replaced forwards go away in any case.

    >>> layer, seen = nn.Linear(2, 3), []
    >>> from tap.stats.sites import find_sites
    >>> with observed(find_sites(layer), lambda site, row, x, z: seen.append((x.shape[1], z.shape[1]))):
    ...     _ = layer(torch.ones(1, 2))
    >>> seen, len(layer._forward_hooks)
    ([(2, 3)], 0)
    """
    with ExitStack() as stack:
        stack.enter_context(plain_torch())
        packed: dict[int, list[Site]] = {}
        for site in sites:
            if site.is_packed:
                packed.setdefault(id(site.module), []).append(site)
            else:
                stack.callback(_hook(site, on_call).remove)
        for group in packed.values():
            stack.enter_context(_replaced(group, on_call))
        yield


@contextmanager
def plain_torch() -> Iterator[None]:
    """Run modules one by one: no compiled graphs and no fused transformer layers, which skip hooks."""
    fused = torch.backends.mha.get_fastpath_enabled()
    compiled = "torch._dynamo" in sys.modules
    stance = getattr(torch.compiler, "set_stance", None) if compiled else None
    with ExitStack() as stack:
        stack.callback(torch.backends.mha.set_fastpath_enabled, fused)
        torch.backends.mha.set_fastpath_enabled(False)
        if stance is not None:
            stack.enter_context(stance("force_eager"))
        yield


def _hook(site: Site, on_call: OnCall) -> Any:
    """A forward hook for a module that is the layer itself."""

    def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], z: Tensor) -> Tensor | None:
        x = args[0] if args else next(iter(kwargs.values()))
        return on_call(site, 0, x, z)

    return site.module.register_forward_hook(hook, with_kwargs=True)


@contextmanager
def _replaced(group: list[Site], on_call: OnCall) -> Iterator[None]:
    """Replace the forward of one module that holds packed weights, on the instance only."""
    module = group[0].module
    before = module.__dict__.get("forward")
    if isinstance(module, nn.MultiheadAttention):
        forward: Any = partial(attend, module, partial(_linear, group, on_call))
    else:
        forward = partial(_watching, module.forward, _Rows(group, on_call))
    module.__dict__["forward"] = forward
    try:
        yield
    finally:
        if before is None:
            del module.__dict__["forward"]
        else:
            module.__dict__["forward"] = before


def _linear(
    group: list[Site], on_call: OnCall, name: str, row: int, x: Tensor, weight: Tensor, bias: Tensor | None
) -> Tensor:
    """One projection of an attention, reported to the observer when its site is observed."""
    z = functional.linear(x, weight, bias)
    for site in group:
        if site.name.rpartition(".")[2] == name:
            replaced = on_call(site, row, x, z)
            return z if replaced is None else replaced
    return z


def _watching(forward: Any, rows: _Rows, *args: Any, **kwargs: Any) -> Any:
    """Run a forward while `rows` watches its linear operations."""
    with rows:
        return forward(*args, **kwargs)


class _Rows(TorchFunctionMode):
    """Reports each `linear` whose weight is a slice of a packed [experts, out, in] parameter."""

    def __init__(self, group: list[Site], on_call: OnCall) -> None:
        super().__init__()
        self._group = group
        self._on_call = on_call

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation; report it when it multiplies by an expert."""
        result = func(*args, **(kwargs or {}))
        if func is not functional.linear:
            return result
        x, weight = args[0], args[1] if len(args) > 1 else (kwargs or {})["weight"]
        for site in self._group:
            packed = site.weight
            if weight.untyped_storage().data_ptr() == packed.untyped_storage().data_ptr():
                row = (weight.storage_offset() - packed.storage_offset()) // packed.shape[-1]
                replaced = self._on_call(site, row, x, result)
                return result if replaced is None else replaced
        return result
