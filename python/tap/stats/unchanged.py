"""Lend a model to a computation and give it back as it was, whatever happens in between."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from tap.errors import ModelError


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


@contextmanager
def at_device(model: nn.Module, device: str | torch.device | None) -> Iterator[None]:
    """The model moved to a device and back; None leaves it where it is.

    Raises:
        ModelError: the model is spread over several devices, or the device does not exist.
    """
    if device is None:
        yield
        return
    homes = {parameter.device for parameter in model.parameters()}
    if len(homes) > 1:
        raise ModelError(
            "the model is spread over several devices", hint="leave device=None to compute where it is"
        )
    try:
        wanted = torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"cannot use device '{device}': {error}", hint="try device='cpu'") from error
    if homes <= {wanted}:
        yield
        return
    try:
        model.to(wanted)
        yield
    finally:
        model.to(homes.pop())
