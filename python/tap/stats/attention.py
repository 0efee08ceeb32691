"""The forward pass of nn.MultiheadAttention with its projections as separate, observable steps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Linear = Callable[[str, int, Tensor, Tensor, Tensor | None], Tensor]
"""(site, first row, input, weight, bias) -> output: how one projection is computed and observed."""


def attend(
    module: nn.MultiheadAttention,
    linear: Linear,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """What `module(query, key, value, ...)` returns; each projection goes through `linear`."""
    same_keys, same_query = value is key, query is key
    batched = query.ndim == 3
    if not batched:
        query, key, value = (part.unsqueeze(0) for part in (query, key, value))
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    elif not module.batch_first:
        query, key, value = (part.transpose(0, 1) for part in (query, key, value))
    q, k, v = _project(module, linear, query, key, value, same=same_keys and same_query)
    if module.bias_k is not None and module.bias_v is not None:
        k = torch.cat([k, module.bias_k.expand(len(k), 1, -1)], dim=1)
        v = torch.cat([v, module.bias_v.expand(len(v), 1, -1)], dim=1)
    if module.add_zero_attn:
        k, v = (functional.pad(part, (0, 0, 0, 1)) for part in (k, v))
    heads = module.num_heads
    q, k, v = (part.reshape(*part.shape[:2], heads, -1).transpose(1, 2) for part in (q, k, v))
    mask = _mask(module, q, k, key_padding_mask, attn_mask, is_causal)
    dropout = module.dropout if module.training else 0.0
    weights = None
    if need_weights:
        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        weights = torch.softmax(scores if mask is None else scores + mask, dim=-1)
        weights = functional.dropout(weights, dropout) if dropout else weights
        mixed = weights @ v
    else:
        mixed = functional.scaled_dot_product_attention(q, k, v, mask, dropout)
    mixed = mixed.transpose(1, 2).flatten(2)
    out = linear("out_proj", 0, mixed, module.out_proj.weight, module.out_proj.bias)
    if weights is not None and average_attn_weights:
        weights = weights.mean(dim=1)
    if not batched:
        return out.squeeze(0), None if weights is None else weights.squeeze(0)
    return (out if module.batch_first else out.transpose(0, 1)), weights


def _project(
    module: nn.MultiheadAttention, linear: Linear, query: Tensor, key: Tensor, value: Tensor, *, same: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values; one multiplication when all three come from one tensor."""
    size = module.embed_dim
    packed, bias = module.in_proj_weight, module.in_proj_bias
    if packed is not None and same:
        q, k, v = linear("in_proj", 0, query, packed, bias).chunk(3, dim=-1)
        return q, k, v
    outputs = []
    for index, (part, name) in enumerate(((query, "q_proj"), (key, "k_proj"), (value, "v_proj"))):
        rows = slice(index * size, (index + 1) * size)
        weight = getattr(module, f"{name}_weight") if packed is None else packed[rows]
        site, start = (name, 0) if packed is None else ("in_proj", index * size)
        outputs.append(linear(site, start, part, weight, None if bias is None else bias[rows]))
    return outputs[0], outputs[1], outputs[2]


def _mask(
    module: nn.MultiheadAttention,
    q: Tensor,
    k: Tensor,
    padding: Tensor | None,
    attention: Tensor | None,
    is_causal: bool,
) -> Tensor | None:
    """Both masks as one additive mask that broadcasts over [batch, heads, queries, keys]."""
    if attention is None and is_causal:
        attention = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).triu(1)
    total: Tensor | None = None
    if attention is not None:
        attention = _additive(attention, q.dtype)
        total = (
            attention if attention.ndim == 2 else attention.view(-1, module.num_heads, *attention.shape[1:])
        )
    if padding is not None:
        blocked = _additive(padding, q.dtype)[:, None, None, :]
        wanted = k.shape[-2] - blocked.shape[-1]
        if total is not None:
            total = functional.pad(total, (0, k.shape[-2] - total.shape[-1]))
        blocked = functional.pad(blocked, (0, wanted))
        return blocked if total is None else total + blocked
    return None if total is None else functional.pad(total, (0, k.shape[-2] - total.shape[-1]))


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A boolean mask as 0 and -inf; others are additive already."""
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, float("-inf"))
