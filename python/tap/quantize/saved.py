"""A quantized model's weights as a file that the original model loads."""

from __future__ import annotations

import copy
from pathlib import Path

from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrize

from tap.files import written_whole
from tap.stats.batches import unwrap


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
    plain = copy.deepcopy(unwrap(model))
    for module in plain.modules():
        for name in list(getattr(module, "parametrizations", {})):
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
    state = {name: tensor.detach().contiguous() for name, tensor in plain.state_dict().items()}
    with written_whole(path) as temporary:
        save_file(state, temporary)
