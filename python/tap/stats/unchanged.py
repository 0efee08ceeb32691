"""Lend a model to a computation and give it back as it was, whatever happens in between."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def lent(model: nn.Module, *, gradients: bool = False) -> Iterator[nn.Module]:
    """The model in evaluation mode, with no parameter or every floating one (`gradients`) needing gradients.

    Mode of each module, gradients, what needs them, and buffers are restored on leaving, also after an
    exception or Ctrl-C.

    >>> layer = nn.Dropout()
    >>> with lent(layer):
    ...     layer.training
    False
    >>> layer.training
    True
    """
    modes = [(module, module.training) for module in model.modules()]
    parameters = [(parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    try:
        model.eval()
        for parameter, _, _ in parameters:
            parameter.grad = None
            if parameter.is_floating_point():
                parameter.requires_grad_(gradients)
        yield model
    finally:
        for module, training in modes:
            module.training = training
        for parameter, needed, gradient in parameters:
            parameter.requires_grad_(needed)
            parameter.grad = gradient
        with torch.no_grad():
            for buffer, value in buffers:
                if not torch.equal(buffer, value):
                    buffer.copy_(value)
