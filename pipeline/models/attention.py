"""Chooses the implementation of attention that a model uses, and has one for CPUs."""

from __future__ import annotations

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

# With this many patches or more, the scores of all heads at once no longer fit the processor's cache.
_MANY_TOKENS = 512

_PLAIN = "vidsift_plain"


def attention_for(device: torch.device, dtype: torch.dtype) -> str | None:
    """The name of the attention to ask transformers for; None leaves the choice to transformers, which takes a fused kernel.

    On a CPU in bf16, VideoMAE-base as a whole is 1.6 times as fast with `plain_attention` as with the fused kernel, and
    X-CLIP base/32 equally fast (measured on one core with AVX-512 BF16). The fused kernel uses AMX: with that it is 1.15 and
    1.05 times as fast as `plain_attention`.
    """
    plain = device.type == "cpu" and dtype == torch.bfloat16 and not torch.cpu.get_capabilities().get("amx_bf16")
    return _PLAIN if plain else None


def plain_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **others: object,
) -> tuple[torch.Tensor, None]:
    """Attention as matrix products; of long sequences one head at a time, so that its scores stay in the cache.

    Args:
        module: the layer; transformers passes it.
        query: [batch, heads, tokens, width].
        key: of the same shape, or with fewer heads that several of the query's share.
        value: as ``key``.
        attention_mask: added to the scores, [batch or 1, 1, tokens, tokens].
        scaling: factor of the scores; None is one over the root of the width.
        dropout: share of the attention weights that is dropped in training.
        others: arguments of other implementations, which this one ignores.

    Returns:
        [batch, tokens, heads, width], and None in place of the attention weights.
    """
    query = query * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if (sharing := query.shape[1] // key.shape[1]) > 1:
        key, value = key.repeat_interleave(sharing, 1), value.repeat_interleave(sharing, 1)

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        scores = query @ key.transpose(-1, -2)
        weights = (scores if mask is None else scores + mask).softmax(-1)
        return torch.nn.functional.dropout(weights, dropout, module.training) @ value

    if key.shape[-2] < _MANY_TOKENS or torch.is_grad_enabled():
        return attend(query, key, value, attention_mask).transpose(1, 2).contiguous(), None
    batch, heads, tokens, width = query.shape
    attended = query.new_empty(batch, tokens, heads, width)
    for clip in range(batch):
        mask = None if attention_mask is None else attention_mask[clip if len(attention_mask) > 1 else 0, 0]
        for head in range(heads):
            attended[clip, :, head] = attend(query[clip, head], key[clip, head], value[clip, head], mask)
    return attended, None


AttentionInterface.register(_PLAIN, plain_attention)
AttentionMaskInterface.register(_PLAIN, eager_mask)
