"""Run a model from the middle: calls that end before the changed layer return what they returned before.

Each call has a key: the path of nested calls and a count, for example layer1[0]/0[0]/conv1[0]. Advancing to a
layer runs each batch up to that layer's first call and keeps the outputs of the outermost calls that have
ended by then; a replay returns those outputs without running anything inside. Since units come in the order
of their calls, all advances together cost one forward pass, and a replay costs the part after the layer.
Functions between the modules always run, so nothing is traced and control flow stays Python's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

Key = tuple[tuple[str, int], ...]


class _Reached(BaseException):
    """The layer of interest is about to run."""


@dataclass
class _Frame:
    """One running call: its key, how often each module was called inside, and what was kept inside."""

    key: Key
    counts: dict[str, int] = field(default_factory=dict)
    kept: list[Key] = field(default_factory=list)


class Replay:
    """Kept outputs of several batches, and the switch between plain, recording and replayed runs.

    >>> import torch
    >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    >>> x, replay = torch.ones(1, 2), Replay(net, 1)
    >>> with replay.installed(), torch.no_grad():
    ...     replay.advance(0, [net[2]], lambda: net(x))
    ...     same = torch.equal(replay.run(0, lambda: net(x)), net(x))
    >>> same, replay.kept_bytes(0)
    (True, 16)
    """

    def __init__(self, model: nn.Module, n_batches: int) -> None:
        """Nothing is kept yet."""
        self._model = model
        self._stores: list[dict[Key, Any]] = [{} for _ in range(n_batches)]
        self._mutated: set[Key] = set()
        self._frames: list[_Frame] = []
        self._store: dict[Key, Any] | None = None
        self._targets: frozenset[int] | None = None
        self._given: dict[Key, list[tuple[Tensor, int]]] | None = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Replace the forward of every submodule, on the instances only, and put all back in any case."""
        before: list[tuple[nn.Module, Any]] = []
        try:
            for name, module in self._model.named_modules():
                if name:
                    before.append((module, module.__dict__.get("forward")))
                    module.__dict__["forward"] = partial(self._call, name, module, module.forward)
            yield
        finally:
            for module, forward in before:
                if forward is None:
                    module.__dict__.pop("forward", None)
                else:
                    module.__dict__["forward"] = forward

    def advance(self, batch: int, targets: Sequence[nn.Module], run: Callable[[], Any]) -> None:
        """Keep what `run` computes before the first call of any of `targets`."""
        self._targets = frozenset(map(id, targets))
        try:
            self._within(batch, run)
        except _Reached:
            pass
        finally:
            self._targets = None

    def run(self, batch: int, run: Callable[[], Any], *, watch: bool = False) -> Any:
        """Run with the kept outputs. With `watch`, note which of them later calls change in place.

        Kept outputs are handed out as copies while watching; later, only those that were seen to change.
        """
        self._given = {} if watch else None
        try:
            result = self._within(batch, run)
            if self._given is not None:
                self._mutated |= {
                    key
                    for key, given in self._given.items()
                    if any(tensor._version != version for tensor, version in given)
                }
            return result
        finally:
            self._given = None

    def kept_bytes(self, batch: int) -> int:
        """Bytes of the kept outputs of one batch."""
        return sum(
            leaf.numel() * leaf.element_size()
            for value in self._stores[batch].values()
            for leaf in tree_leaves(value)
            if isinstance(leaf, Tensor)
        )

    def empty(self, batch: int, names: Collection[str]) -> None:
        """Put tensors of the same shape that take no memory in the place of what these modules gave.

        For outputs that only modules read which are replayed themselves.
        """
        for key, value in self._stores[batch].items():
            if key[-1][0] in names:
                self._stores[batch][key] = tree_map(_emptied, value)

    def snapshot(self, batch: int) -> dict[Key, Any]:
        """What is kept of a batch, to go back to with `restore`."""
        return dict(self._stores[batch])

    def restore(self, batch: int, kept: dict[Key, Any]) -> None:
        """Go back to an earlier snapshot."""
        self._stores[batch] = kept

    def _within(self, batch: int, run: Callable[[], Any]) -> Any:
        self._store, self._frames = self._stores[batch], [_Frame(())]
        try:
            return run()
        finally:
            self._store, self._frames = None, []

    def _call(self, name: str, module: nn.Module, forward: Any, *args: Any, **kwargs: Any) -> Any:
        if self._store is None:
            return forward(*args, **kwargs)
        frame = self._frames[-1]
        count = frame.counts.get(name, 0)
        frame.counts[name] = count + 1
        key = (*frame.key, (name, count))
        if key in self._store:
            return self._hand_out(key, self._store[key])
        if self._targets is not None and id(module) in self._targets:
            raise _Reached
        self._frames.append(_Frame(key))
        output = forward(*args, **kwargs)
        inside = self._frames.pop()
        if self._targets is not None:
            for nested in inside.kept:
                self._store.pop(nested, None)
            self._store[key] = tree_map(_copy, output)
            frame.kept.append(key)
        return output

    def _hand_out(self, key: Key, value: Any) -> Any:
        if self._targets is not None:
            self._frames[-1].kept.append(key)
        if self._given is None and self._targets is None and key not in self._mutated:
            return value
        copied = tree_map(_copy, value)
        if self._given is not None:
            leaves = [leaf for leaf in tree_leaves(copied) if isinstance(leaf, Tensor)]
            self._given[key] = [(leaf, leaf._version) for leaf in leaves]
        return copied


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value


def _emptied(value: Any) -> Any:
    return value.new_zeros(()).expand(value.shape) if isinstance(value, Tensor) else value


def same(one: Tensor, two: Tensor) -> bool:
    """Equal up to rounding: within 1e-4 of the largest magnitude."""
    return one.shape == two.shape and bool((one - two).abs().max() <= 1e-4 * (two.abs().max() + 1e-12))
