"""One use of a weight during a pass: input, output and their gradients, in one layout for all kinds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tap.stats.sites import Site


@dataclass
class Call:
    """One multiplication by a unit's weight, for `samples` samples; samples stand on the first axis."""

    unit: int
    site: Site
    row: int
    """First row of the unit's weight that takes part (packed weights are used in parts)."""
    samples: int
    x: Tensor
    z: Tensor
    version: int
    """Version of `z` when it was seen: a later in-place operation changes it."""
    gz: Tensor | None = None
    """Gradient of the summed losses in `z`."""
    gy: Tensor | None = None
    """Gradient of the summed target logits in `z`."""

    @property
    def is_conv(self) -> bool:
        """Channels stand on axis 1; otherwise on the last."""
        return self.site.kind.startswith("conv")

    @property
    def rows(self) -> int:
        """Rows of the weight that take part."""
        return self.site.weight.shape[0] if self.site.kind == "embedding" else self.z.shape[self.axis]

    @property
    def axis(self) -> int:
        """The channel axis of input and output."""
        return 1 if self.is_conv else self.z.ndim - 1

    @property
    def groups(self) -> int:
        """Groups of a convolution."""
        return int(getattr(self.site.module, "groups", 1)) if self.is_conv else 1

    def output(self) -> Tensor:
        """The output as it was, computed again when an in-place operation has changed it."""
        if self.z._version == self.version or self.site.is_packed:
            return self.z
        with torch.no_grad():
            forward: Any = type(self.site.module).forward
            z: Tensor = forward(self.site.module, self.x)
            return z


def cut(call: Call, start: int, stop: int) -> Call:
    """Some of the samples of a call."""
    if start == 0 and stop >= call.samples:
        return call

    def part(values: Tensor | None) -> Tensor | None:
        if values is None:
            return None
        items = len(values) // call.samples
        return values[start * items : stop * items]

    x, z = part(call.x), part(call.z)
    assert x is not None
    assert z is not None
    size = min(stop, call.samples) - start
    return Call(call.unit, call.site, call.row, size, x, z, call.version, part(call.gz), part(call.gy))


def cut_rows(call: Call, start: int, stop: int) -> Call:
    """Some of the output channels of a call whose channels stand on the last axis."""
    z, gz, gy = (None if one is None else one[..., start:stop] for one in (call.z, call.gz, call.gy))
    assert z is not None
    return replace(call, row=call.row + start, z=z, gz=gz, gy=gy)


def columns(call: Call) -> Tensor:
    """The input as float32 [samples, groups, fan-in, positions]: what each output position reads."""
    x = call.x.float()
    if not call.is_conv:
        return x.reshape(call.samples, -1, x.shape[-1]).transpose(1, 2).unsqueeze(1)
    module: Any = call.site.module
    x, padding = padded(module, x)
    if x.ndim == 4:
        patches = functional.unfold(x, module.kernel_size, module.dilation, padding, module.stride)
    else:
        amounts = [size for size in reversed(padding) for _ in range(2)]
        patches = _patches(functional.pad(x, amounts) if any(amounts) else x, module)
    return patches.reshape(call.samples, call.groups, -1, patches.shape[-1])


def output_rows(call: Call, values: Tensor) -> Tensor:
    """Values of the output's shape as float32 [samples, groups, rows, positions]."""
    values = values.float()
    if not call.is_conv:
        return values.reshape(call.samples, -1, values.shape[-1]).transpose(1, 2).unsqueeze(1)
    return values.reshape(call.samples, call.groups, values.shape[1] // call.groups, -1)


def multiply(call: Call, weights: Tensor) -> Tensor:
    """The input times several weights [F, rows, in, pos], as [items, A, F, B] where B runs along the output.

    The same layout of the output itself comes from `laid_out`.
    """
    x = call.x.float() if call.site.kind != "embedding" else call.x
    count, rows = weights.shape[0], weights.shape[1]
    if call.site.kind == "embedding":
        return weights[:, x.reshape(-1), :, 0].transpose(0, 1).unsqueeze(0)
    if not call.is_conv:
        flat = x.reshape(-1, x.shape[-1]) @ weights.reshape(count * rows, -1).t()
        return flat.view(1, -1, count, rows)
    module: Any = call.site.module
    groups = call.groups
    stacked = weights.view(count, groups, rows // groups, *weights.shape[2:]).transpose(0, 1).flatten(0, 2)
    stacked = stacked.reshape(-1, *call.site.weight.shape[1:])
    apply: Any = (functional.conv1d, functional.conv2d, functional.conv3d)[x.ndim - 3]
    x, padding = padded(module, x)
    z: Tensor = apply(x, stacked, None, module.stride, padding, module.dilation, groups)
    return z.reshape(len(z), groups, count, -1)


def laid_out(call: Call, values: Tensor) -> Tensor:
    """Values of the output's shape as float32 [items, A, 1, B], as `multiply` lays out its products."""
    values = values.float()
    if call.is_conv:
        return values.reshape(len(values), call.groups, 1, -1)
    return values.reshape(1, -1, 1, values.shape[-1])


def per_sample(call: Call, products: Tensor) -> Tensor:
    """Sums [samples, F] of products [items, A, F, B]."""
    summed = products.sum(3)
    if call.is_conv:
        return summed.sum(1).view(call.samples, -1, summed.shape[2]).sum(1)
    return summed.view(call.samples, -1, summed.shape[2]).sum(1)


def padded(module: Any, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """The input of a convolution padded where its kernel cannot do it, and the padding left to the kernel."""
    if module.padding_mode == "zeros" and not isinstance(module.padding, str):
        return x, tuple(module.padding)
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    amounts = list(module._reversed_padding_repeated_twice)
    return functional.pad(x, amounts, mode=mode), (0,) * (x.ndim - 2)


def _patches(x: Tensor, module: Any) -> Tensor:
    """Patches [n, channels * kernel positions, output positions] of a padded input of any dimension."""
    dims = x.ndim - 2
    for axis, (size, dilation, stride) in enumerate(
        zip(module.kernel_size, module.dilation, module.stride, strict=True)
    ):
        x = x.unfold(2 + axis, dilation * (size - 1) + 1, stride)[..., ::dilation]
    order = (0, 1, *range(2 + dims, 2 + 2 * dims), *range(2, 2 + dims))
    return x.permute(order).flatten(1, 1 + dims).flatten(2)
