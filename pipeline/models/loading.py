"""Load a transformers model the safe way: from disk, safetensors only, no code from the checkpoint."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from pipeline.models.pixels import best_device, choose_dtype
from pipeline.models.recorded import place_tables
from schemas.errors import ModelError
from schemas.models import Checkpoint
from schemas.options import Precision

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


def first_line(exc: Exception) -> str:
    """An error's message, cut to one line; its kind where it has none."""
    return (str(exc).strip() or type(exc).__name__).splitlines()[0]


# Patches of a clip from which on a head's scores, computed for all heads at once, no longer fit the processor's cache.
_MANY_TOKENS = 512

_PLAIN = "vidsift_plain"


def attention_for(device: torch.device, dtype: torch.dtype) -> str | None:
    """The name of the attention to ask transformers for; None leaves it the choice: fused where the family has it.

    On a CPU in bf16, `plain_attention` makes the whole of VideoMAE-base 1.6 times as fast as the fused kernel does, and
    of X-CLIP base/32 as fast (seen on one core with AVX-512 BF16). With AMX, which the fused kernel uses, that leads by
    1.15 and 1.05.
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
    """Attention as matrix products: of long sequences one head at a time, so that its scores stay in the cache.

    Args:
        module: the layer; as transformers passes it.
        query: [batch, heads, tokens, width]; so are ``key`` and ``value``.
        key: what is attended to.
        value: what is taken from there.
        attention_mask: added to the scores, [batch or 1, 1, tokens, tokens].
        scaling: of the scores; one over the root of the width where it is not given.
        dropout: share of the weights that are dropped while training.
        others: what other kinds of attention would want to know.

    Returns:
        [batch, tokens, heads, width], and no weights.
    """
    query = query * (query.shape[-1] ** -0.5 if scaling is None else scaling)

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        scores = query @ key.transpose(-1, -2)
        weights = (scores if mask is None else scores + mask).softmax(-1)
        return torch.nn.functional.dropout(weights, dropout, module.training) @ value

    if key.shape[-2] < _MANY_TOKENS or torch.is_grad_enabled():
        return attend(query, key, value, attention_mask).transpose(1, 2).contiguous(), None
    batch, heads, tokens, width = query.shape
    found = query.new_empty(batch, tokens, heads, width)
    for clip in range(batch):
        mask = None if attention_mask is None else attention_mask[clip if len(attention_mask) > 1 else 0, 0]
        for head in range(heads):
            found[clip, :, head] = attend(query[clip, head], key[clip, head], value[clip, head], mask)
    return found, None


AttentionInterface.register(_PLAIN, plain_attention)
AttentionMaskInterface.register(_PLAIN, eager_mask)


def use_faster_fp32() -> None:
    """Let oneDNN multiply fp32 matrices instead of MKL, in this process: twice as fast on AMD, and fp32 all the same.

    PyTorch does so where bf16 would be allowed. Processors with AMX would really compute in bf16, and are left out, as are
    those that are no x86.
    """
    capabilities = torch.cpu.get_capabilities()
    if capabilities.get("architecture") == "x86_64" and not capabilities.get("amx_bf16"):
        torch.set_float32_matmul_precision("medium")


def load_pretrained(
    auto_class: Any,
    checkpoint: Checkpoint,
    precision: Precision,
    option: str,
    *,
    config: Any = None,
    device: torch.device | None = None,
) -> tuple[Any, torch.device, torch.dtype]:
    """The model in evaluation mode on ``device``, or on the best one; that device; and the model's dtype.

    ``config`` is for less of a model than the checkpoint's own says: weights that it has no place for are not read.

    Raises:
        ModelError: transformers cannot make ``auto_class`` of these files, or weights are missing from them.
    """
    device = device or best_device()
    dtype = choose_dtype(precision, device)
    attention = attention_for(device, dtype)
    if dtype == torch.float32:
        if device.type == "cpu":
            use_faster_fp32()
        torch.backends.cudnn.allow_tf32 = False  # 10 bits of mantissa, where fp32 has 23
    try:
        model, report = auto_class.from_pretrained(
            checkpoint.folder,
            config=config,
            dtype=dtype,
            attn_implementation=attention,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as exc:
        raise ModelError(
            f"{option} {checkpoint.name}: transformers cannot load it as a model of type {checkpoint.model_type!r}: "
            f"{first_line(exc)}"
        ) from exc
    if report["missing_keys"]:
        raise ModelError(
            f"{option} {checkpoint.name}: its weights lack {len(report['missing_keys'])} tensors that the model needs "
            f"({', '.join(sorted(report['missing_keys'])[:3])}, ...), which would be random; give a fine-tuned checkpoint"
        )
    place_tables(model, device)
    return model.to(device).eval(), device, dtype
