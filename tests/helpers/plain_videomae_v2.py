"""VideoMAE v2 as its authors define it, in plain operations over tensors with the published names."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

WIDTH, DEPTH, PATCH = 384, 2, 56


def random_videomae_v2(num_classes: int) -> dict[str, torch.Tensor]:
    """Tensors of a ViT-S of two layers, whose patches are large."""
    generator = torch.Generator().manual_seed(0)

    def some(*shape: int, scale: float = 0.05) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * scale

    tensors = {"patch_embed.proj.weight": some(WIDTH, 3, 2, PATCH, PATCH, scale=0.01), "patch_embed.proj.bias": some(WIDTH)}
    for number in range(DEPTH):
        block = f"blocks.{number}"
        for norm in ("norm1", "norm2"):
            tensors |= {f"{block}.{norm}.weight": 1 + some(WIDTH), f"{block}.{norm}.bias": some(WIDTH)}
        tensors |= {f"{block}.attn.q_bias": some(WIDTH), f"{block}.attn.v_bias": some(WIDTH)}
        tensors |= {f"{block}.attn.qkv.weight": some(3 * WIDTH, WIDTH), f"{block}.attn.proj.weight": some(WIDTH, WIDTH)}
        tensors |= {f"{block}.attn.proj.bias": some(WIDTH), f"{block}.mlp.fc1.weight": some(4 * WIDTH, WIDTH)}
        tensors |= {f"{block}.mlp.fc1.bias": some(4 * WIDTH), f"{block}.mlp.fc2.weight": some(WIDTH, 4 * WIDTH)}
        tensors |= {f"{block}.mlp.fc2.bias": some(WIDTH)}
    tensors |= {"fc_norm.weight": 1 + some(WIDTH), "fc_norm.bias": some(WIDTH)}
    return tensors | {"head.weight": some(num_classes, WIDTH), "head.bias": some(num_classes)}


def _positions(count: int) -> torch.Tensor:
    """Sines at even and cosines at odd places, of wave lengths from 2 pi to 10,000 times that."""
    angles = np.arange(count)[:, None] / np.power(10_000, 2 * (np.arange(WIDTH) // 2) / WIDTH)
    angles[:, 0::2], angles[:, 1::2] = np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2])
    return torch.from_numpy(angles).float()


@torch.inference_mode()
def plain_videomae_v2(tensors: dict[str, torch.Tensor], pixels: torch.Tensor, num_heads: int) -> torch.Tensor:
    """Logits [batch, classes], from pixels [batch, num_frames, 3, height, width]."""

    def normed(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.layer_norm(x, (WIDTH,), tensors[f"{name}.weight"], tensors[f"{name}.bias"], 1e-6)

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    weight, bias = tensors["patch_embed.proj.weight"], tensors["patch_embed.proj.bias"]
    x = functional.conv3d(pixels.transpose(1, 2), weight, bias, stride=(2, PATCH, PATCH)).flatten(2).transpose(1, 2)
    x = x + _positions(x.shape[1])
    batch, tokens, _ = x.shape
    for number in range(DEPTH):
        block = f"blocks.{number}"
        q_bias, v_bias = tensors[f"{block}.attn.q_bias"], tensors[f"{block}.attn.v_bias"]
        qkv_bias = torch.cat([q_bias, torch.zeros_like(v_bias), v_bias])
        qkv = functional.linear(normed(x, f"{block}.norm1"), tensors[f"{block}.attn.qkv.weight"], qkv_bias)
        q, k, v = qkv.reshape(batch, tokens, 3, num_heads, -1).permute(2, 0, 3, 1, 4)
        attended = ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)).softmax(-1) @ v
        x = x + linear(attended.transpose(1, 2).reshape(batch, tokens, -1), f"{block}.attn.proj")
        x = x + linear(functional.gelu(linear(normed(x, f"{block}.norm2"), f"{block}.mlp.fc1")), f"{block}.mlp.fc2")
    return linear(normed(x.mean(1), "fc_norm"), "head")
