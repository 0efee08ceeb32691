"""Calibration data: batches of any common form, held in memory, checked once, and run through any model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from tap.errors import DataError, ModelError, TapError

IGNORED = -100
"""Target of a position that does not count, as in torch's cross-entropy."""


@dataclass(frozen=True)
class Batch:
    """One batch: what the model is called with, and its targets when the user gave any."""

    index: int
    size: int
    """Samples in it."""
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    targets: Tensor | None = None

    def part(self, start: int, stop: int) -> Batch:
        """Samples `start:stop`, of every tensor whose first axis is the samples."""
        if start == 0 and stop >= self.size:
            return self

        def cut(value: Any) -> Any:
            whole = isinstance(value, Tensor) and value.ndim > 0 and value.shape[0] == self.size
            return value[start:stop] if whole else value

        kwargs = {name: cut(value) for name, value in self.kwargs.items()}
        size = min(stop, self.size) - start
        return Batch(self.index, size, tuple(map(cut, self.args)), kwargs, cut(self.targets))


class Batches:
    """A fixed list of batches; every pass over it sees the same samples, also when the loader shuffles.

    A source is anything that yields batches (a DataLoader, a list), or one batch. A batch is a tensor, a
    pair (inputs, targets), or a mapping of the model's keyword arguments, with the targets under "labels".

    Raises:
        DataError: no batch, an empty batch, values that are not finite, or inputs of unequal length.

    >>> data = Batches([(torch.ones(2, 3), torch.tensor([0, 1])), (torch.ones(1, 3), torch.tensor([1]))])
    >>> data.n_samples, len(data), data.limit(1).n_samples
    (3, 2, 1)
    """

    def __init__(self, source: Any, *, samples: int | None = None) -> None:
        """Read `source` once, at most `samples` samples of it."""
        self._batches: list[Batch] = (
            source._batches if isinstance(source, Batches) else _read(source, samples)
        )
        if samples is not None:
            self._batches = _first(self._batches, samples)
        self.n_samples = sum(batch.size for batch in self._batches)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)

    def limit(self, n: int) -> Batches:
        """The first `n` samples (all of them when there are fewer)."""
        return Batches(self, samples=n)

    def skip(self, n: int) -> Batches:
        """All but the first `n` samples.

        >>> Batches([torch.ones(2, 3), torch.ones(4, 3)]).skip(3).n_samples
        3
        """
        rest = Batches.__new__(Batches)
        rest._batches = []
        for batch in self._batches:
            if n < batch.size:
                rest._batches.append(batch.part(n, batch.size))
            n = max(0, n - batch.size)
        rest.n_samples = sum(batch.size for batch in rest._batches)
        return rest

    def split(self, size: int) -> Batches:
        """The same samples in batches of at most `size`."""
        parts = Batches.__new__(Batches)
        parts._batches = [
            batch.part(start, min(start + size, batch.size))
            for batch in self._batches
            for start in range(0, batch.size, size)
        ]
        parts.n_samples = self.n_samples
        return parts

    def cut(self, n: int) -> tuple[Batches, Batches]:
        """The first `n` samples, and the others; either may have no batch."""
        first, rest = Batches.__new__(Batches), Batches.__new__(Batches)
        first._batches = _first(self._batches, n) if n > 0 else []
        first.n_samples = sum(batch.size for batch in first)
        rest._batches, start = [], 0
        for batch in self._batches:
            begin = min(max(n - start, 0), batch.size)
            if begin < batch.size:
                rest._batches.append(batch.part(begin, batch.size))
            start += batch.size
        rest.n_samples = self.n_samples - first.n_samples
        return first, rest

    def run(self, model: nn.Module, batch: Batch) -> Tensor:
        """Call the model and return its logits, whatever the form of its output.

        Tensors are moved to the model's first device, floating ones are cast to its dtype.

        Raises:
            DataError: the model does not accept the batch; the message names the batch.
            ModelError: the output holds no floating-point tensor.
        """
        placed = _placer(model)
        try:
            output = model(*map(placed, batch.args), **{k: placed(v) for k, v in batch.kwargs.items()})
        except (TapError, torch.OutOfMemoryError):
            raise
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise DataError(
                f"the model does not run on batch {batch.index} ({_shapes(batch)}): {error}",
                hint="check that the batches have the form and shape that the model's forward expects",
            ) from error
        return logits_of(output)

    def targets(self, batch: Batch, model: nn.Module | None = None) -> Tensor | None:
        """The targets of a batch, or None. For a causal language model they are the next tokens."""
        if batch.targets is None:
            return None
        targets = batch.targets if model is None else batch.targets.to(_place(model)[0])
        if model is not None and is_causal(model) and targets.ndim == 2:
            ending = targets.new_full((len(targets), 1), IGNORED)
            return torch.cat([targets[:, 1:], ending], dim=1)
        return targets


def is_causal(model: nn.Module) -> bool:
    """Whether the model's logits at a token predict the next token, by the naming of transformers."""
    return type(unwrap(model)).__name__.endswith(("ForCausalLM", "LMHeadModel"))


def unwrap(model: nn.Module) -> nn.Module:
    """The module inside wrappers of torch.compile and data-parallel.

    >>> layer = nn.Linear(2, 2)
    >>> unwrap(torch.compile(layer)) is layer
    True
    """
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def logits_of(output: Any) -> Tensor:
    """The logits in a model's output: a tensor, a `logits` entry, or the first floating-point tensor."""
    if isinstance(output, Tensor):
        return output
    named = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if isinstance(named, Tensor):
        return named
    values: Iterable[Any] = output.values() if isinstance(output, Mapping) else ()
    if isinstance(output, list | tuple):
        values = output
    for value in values:
        if isinstance(value, list | tuple | Mapping) and value:
            return logits_of(value)
        if isinstance(value, Tensor) and value.is_floating_point():
            return value
    raise ModelError(
        f"the model's output ({type(output).__name__}) holds no floating-point tensor",
        hint="wrap the model in a module that returns its logits as a tensor",
    )


def _read(source: Any, samples: int | None) -> list[Batch]:
    """The batches of a source, until there are enough samples."""
    batches: list[Batch] = []
    count = 0
    for item in _items(source):
        batches.append(_batch(len(batches), item))
        count += batches[-1].size
        if samples is not None and count >= samples:
            break
    if not batches:
        raise DataError("the batches are empty", hint="pass at least one batch of calibration data")
    return batches


def _items(source: Any) -> Iterable[Any]:
    """The source as an iterable of batches; a tensor, a mapping or a pair (inputs, targets) is one batch."""
    if isinstance(source, Tensor | Mapping) or _is_pair(source):
        return (source,)
    if not isinstance(source, Iterable):
        raise DataError(
            f"batches is a {type(source).__name__}, which cannot be iterated over",
            hint="pass a DataLoader, a list of batches, or one batch",
        )
    return source


def _is_pair(item: Any) -> bool:
    """Whether a tuple is (inputs, targets) rather than several batches of inputs."""
    tensors = isinstance(item, tuple) and len(item) == 2 and all(isinstance(part, Tensor) for part in item)
    return tensors and (not item[1].is_floating_point() or item[1].shape[1:] != item[0].shape[1:])


def _batch(index: int, item: Any) -> Batch:
    """One checked batch from what a loader yields."""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    targets = None
    if isinstance(item, Mapping):
        kwargs = {name: value for name, value in item.items() if value is not None and name != "labels"}
        targets = item.get("labels")
    elif isinstance(item, list | tuple):
        if len(item) not in (1, 2):
            raise DataError(
                f"batch {index} has {len(item)} parts",
                hint="a batch is a tensor, a pair (inputs, targets) or a mapping of keyword arguments",
            )
        args, targets = (item[0],), (item[1] if len(item) == 2 else None)
    else:
        args = (item,)
    tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor) and value.ndim > 0]
    if not tensors:
        raise DataError(f"batch {index} holds no tensor", hint="convert the inputs to torch tensors")
    if targets is not None:
        targets = torch.as_tensor(targets)
    size = tensors[0].shape[0]
    _check(index, size, tensors, targets)
    return Batch(index, size, args, kwargs, targets)


def _check(index: int, size: int, tensors: list[Tensor], targets: Tensor | None) -> None:
    """Raise a `DataError` for an empty batch, a wrong length, or values that are not finite."""
    if any(tensor.numel() == 0 for tensor in tensors):
        raise DataError(f"batch {index} is empty", hint="drop batches without samples")
    if targets is not None and (targets.ndim == 0 or targets.shape[0] != size):
        raise DataError(
            f"batch {index} has {size} inputs and targets of shape {tuple(targets.shape)}",
            hint="give one target for each input",
        )
    for tensor in (*tensors, *(() if targets is None else (targets,))):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise DataError(f"batch {index} holds values that are not finite", hint="clean the data")


def _first(batches: list[Batch], samples: int) -> list[Batch]:
    """The first `samples` samples."""
    if samples < 1:
        raise DataError(f"{samples} samples were asked for", hint="ask for at least one")
    kept: list[Batch] = []
    for batch in batches:
        if samples <= 0:
            break
        kept.append(batch.part(0, min(samples, batch.size)))
        samples -= kept[-1].size
    return kept


def _place(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Device and dtype of the model's first floating-point parameter."""
    for parameter in model.parameters():
        if parameter.is_floating_point():
            return parameter.device, parameter.dtype
    return torch.device("cpu"), torch.get_default_dtype()


def _placer(model: nn.Module) -> Any:
    """A function that puts a value where the model is."""
    device, dtype = _place(model)

    def placed(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return value.to(device, dtype) if value.is_floating_point() else value.to(device)

    return placed


def _shapes(batch: Batch) -> str:
    """The shapes of a batch, for messages."""
    named = {f"input {i}": value for i, value in enumerate(batch.args)} | dict(batch.kwargs)
    return ", ".join(f"{k} {list(v.shape)}" for k, v in named.items() if isinstance(v, Tensor))
