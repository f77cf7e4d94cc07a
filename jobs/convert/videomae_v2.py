"""VideoMAE v2's published layout as transformers' VideoMAE.

The networks are the same. VideoMAE v2 keeps queries, keys and values in one matrix, and biases for queries and values beside
it; its sines of positions are not stored in either. Names as in ``models/modeling_finetune.py`` of OpenGVLab/VideoMAEv2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pipeline.models.build import weight_problems
from schemas.errors import ModelError

# Attention heads by width: ViT-S, B, L, H and g. The weights do not say them.
_HEADS = {384: 6, 768: 12, 1024: 16, 1280: 16, 1408: 16}
_PICTURE = 224
_FRAMES = 16

_NAMES = {
    "patch_embed.proj": "videomae.embeddings.patch_embeddings.projection",
    "fc_norm": "fc_norm",
    "head": "classifier",
}
_IN_BLOCK = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")


def to_transformers(
    tensors: Mapping[str, torch.Tensor], labels: Sequence[str]
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Configuration and tensors of transformers' ``VideoMAEForVideoClassification``.

    Args:
        tensors: VideoMAE v2's by name: a fine-tuned or distilled model, with its head.
        labels: of its classes.

    Raises:
        ModelError: they are not those of such a model.
    """
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    shape = _shape(tensors)
    names = dict(enumerate(labels))
    config = VideoMAEConfig(**shape, id2label=names, label2id={label: i for i, label in names.items()})
    config.architectures = ["VideoMAEForVideoClassification"]
    with torch.device("meta"):
        expected = VideoMAEForVideoClassification(config).state_dict()
    expected_there = _as_published(expected)
    if problems := weight_problems(expected_there, tensors):
        raise ModelError(f"its tensors are not those of a VideoMAE v2 with {len(labels)} classes: {'; '.join(problems)}")
    return config.to_dict(), {there: tensor for name, tensor in tensors.items() for there, tensor in _renamed(name, tensor)}


def _shape(tensors: Mapping[str, torch.Tensor]) -> dict[str, int | float]:
    """The keys of `VideoMAEConfig` that the tensors' shapes say."""
    patches, hidden = tensors.get("patch_embed.proj.weight"), tensors.get("blocks.0.mlp.fc1.weight")
    if patches is None or patches.ndim != 5 or hidden is None or hidden.ndim != 2 or "fc_norm.weight" not in tensors:
        raise ModelError(
            "its tensors are not those of a VideoMAE v2 with a head: expected patch_embed.proj.weight, "
            f"blocks.0.mlp.fc1.weight, fc_norm.weight and more, got {', '.join(list(tensors)[:3])}, ..."
        )
    width = len(patches)
    if width not in _HEADS:
        raise ModelError(f"it is {width} wide, expected {', '.join(map(str, _HEADS))}, the published sizes of VideoMAE v2")
    return {
        "image_size": _PICTURE,
        "num_frames": _FRAMES,
        "patch_size": patches.shape[-1],
        "tubelet_size": patches.shape[2],
        "hidden_size": width,
        "intermediate_size": len(hidden),
        "num_hidden_layers": len({match[1] for name in tensors if (match := _BLOCK.match(name))}),
        "num_attention_heads": _HEADS[width],
        "layer_norm_eps": 1e-6,
    }


def _renamed(name: str, tensor: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    """A tensor of VideoMAE v2 by the name that transformers has for it; three of the one for queries, keys and values."""
    if not (block := _BLOCK.match(name)):
        module, _, kind = name.rpartition(".")
        return [(f"{_NAMES[module]}.{kind}", tensor)]
    layer, rest = f"videomae.encoder.layer.{block[1]}", block[2]
    attention = f"{layer}.attention.attention"
    if rest == "attn.qkv.weight":
        return [
            (f"{attention}.{part}.weight", t) for part, t in zip(("query", "key", "value"), tensor.chunk(3), strict=True)
        ]
    if rest in ("attn.q_bias", "attn.v_bias"):
        return [(f"{attention}.{'query' if rest == 'attn.q_bias' else 'value'}.bias", tensor)]
    module, _, kind = rest.rpartition(".")
    return [(f"{layer}.{_IN_BLOCK[module]}.{kind}", tensor)]


def _as_published(expected: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors that VideoMAE v2 has for those of transformers."""
    back = {there: here for here, there in _NAMES.items()}
    back_in_block = {there: here for here, there in _IN_BLOCK.items()}
    published: dict[str, torch.Tensor] = {}
    for name, tensor in expected.items():
        module, _, kind = name.rpartition(".")
        if not (layer := re.match(r"videomae\.encoder\.layer\.(\d+)\.(.+)", module)):
            published[f"{back[module]}.{kind}"] = tensor
            continue
        block, rest = f"blocks.{layer[1]}", layer[2]
        part = rest.removeprefix("attention.attention.")
        if part == rest:
            published[f"{block}.{back_in_block[rest]}.{kind}"] = tensor
        elif kind == "bias":
            published[f"{block}.attn.{part[0]}_bias"] = tensor
        elif part == "query":
            published[f"{block}.attn.qkv.weight"] = torch.cat([tensor] * 3)
    return published
