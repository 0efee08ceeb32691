"""A quantized model's weights as ordinary tensors, and as a file that the original model loads."""

from __future__ import annotations

import copy
from pathlib import Path

from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrize

from tap.files import written_whole
from tap.stats.batches import unwrap


def plain(model: nn.Module) -> nn.Module:
    """A copy of what `tap.quantize` returned with the values of its formats as ordinary weights.

    Inputs are not rounded in the copy; the model itself stays as it is.

    >>> from tap.quantize.model import quantize
    >>> small = quantize(nn.Sequential(nn.Linear(4, 2)), "int4")
    >>> type(plain(small)[0]) is nn.Linear, (plain(small)[0].weight == small[0].weight).all().item()
    (True, True)
    """
    copied = copy.deepcopy(unwrap(model))
    for module in copied.modules():
        names = list(getattr(module, "parametrizations", {}))
        if names:
            # torch takes the weight's property off the class, which the original module shares.
            own = type(module)
            module.__class__ = type(own.__name__, own.__bases__, dict(own.__dict__))
        for name in names:
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
        module._forward_pre_hooks.clear()
        module._forward_pre_hooks_with_kwargs.clear()
    return copied


def save_weights(model: nn.Module, path: str | Path) -> None:
    """Write the state of what `tap.quantize` returned, as safetensors under the names of the original model.

    Weights are float tensors on the grids of their formats, batch-norm statistics the corrected ones.

    >>> import tempfile
    >>> from safetensors.torch import load_file
    >>> from tap.quantize.model import quantize
    >>> path = Path(tempfile.mkdtemp()) / "w.safetensors"
    >>> small = quantize(nn.Sequential(nn.Linear(4, 2)), "int4")
    >>> save_weights(small, path)
    >>> sorted(load_file(path))
    ['0.bias', '0.weight']
    """
    state = {name: tensor.detach().contiguous() for name, tensor in plain(model).state_dict().items()}
    with written_whole(path) as temporary:
        save_file(state, temporary)
