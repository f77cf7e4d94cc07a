"""UniFormer for video: convolutions in its first two stages, attention over space and time in the last two.

Li et al., 2022, "UniFormer: Unified Transformer for Efficient Spatiotemporal Representation Learning", arXiv 2201.04676,
sections 3.1 to 3.4 and table 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

_WIDTHS = (64, 128, 320, 512)
_HEAD = 64  # channels of an attention head


class _PatchEmbed(nn.Module):
    """Merges patches into one token each, and normalises the tokens."""

    def __init__(self, channels: int, width: int, size: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.proj = nn.Conv3d(channels, width, size, stride, padding=(size[0] // 2, 0, 0))

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        normalised: torch.Tensor = self.norm(self.proj(clips).permute(0, 2, 3, 4, 1)).permute(0, 4, 1, 2, 3)
        return normalised


class _Mlp(nn.Module):
    """Two linear maps of each token with a GELU between, four times as wide."""

    def __init__(self, width: int, *, of_maps: bool) -> None:
        super().__init__()
        self.fc1 = nn.Conv3d(width, 4 * width, 1) if of_maps else nn.Linear(width, 4 * width)
        self.fc2 = nn.Conv3d(4 * width, width, 1) if of_maps else nn.Linear(4 * width, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        mapped: torch.Tensor = self.fc2(nn.functional.gelu(self.fc1(tokens)))
        return mapped


class _LocalBlock(nn.Module):
    """A dynamic position, then an affinity of 5 x 5 x 5 neighbours that is learnt, then the MLP (equations 1 to 5)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pos_embed = nn.Conv3d(width, width, 3, padding=1, groups=width)
        self.norm1 = nn.BatchNorm3d(width)
        self.conv1 = nn.Conv3d(width, width, 1)
        self.conv2 = nn.Conv3d(width, width, 1)
        self.attn = nn.Conv3d(width, width, 5, padding=2, groups=width)
        self.norm2 = nn.BatchNorm3d(width)
        self.mlp = _Mlp(width, of_maps=True)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        maps = maps + self.pos_embed(maps)
        maps = maps + self.conv2(self.attn(self.conv1(self.norm1(maps))))
        fed: torch.Tensor = maps + self.mlp(self.norm2(maps))
        return fed


class _Attention(nn.Module):
    """Attention of all tokens of all frames to each other."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = max(1, width // _HEAD)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        queries, keys, values = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = nn.functional.scaled_dot_product_attention(queries, keys, values)
        projected: torch.Tensor = self.proj(seen.transpose(1, 2).flatten(2))
        return projected


class _GlobalBlock(nn.Module):
    """A dynamic position, then attention, then the MLP (equations 1 to 3, 6 and 7)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pos_embed = nn.Conv3d(width, width, 3, padding=1, groups=width)
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = _Attention(width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = _Mlp(width, of_maps=False)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        maps = maps + self.pos_embed(maps)
        tokens = maps.flatten(2).transpose(1, 2)
        tokens = tokens + self.attn(self.norm1(tokens))
        tokens = tokens + self.mlp(self.norm2(tokens))
        given: torch.Tensor = tokens.transpose(1, 2).reshape(maps.shape)
        return given


class UniFormer(nn.Module):
    """The network, with the names that its weights have in the authors' files of Kinetics."""

    def __init__(self, num_classes: int, *, depths: Sequence[int], widths: Sequence[int] = _WIDTHS) -> None:
        """Make it.

        Args:
            num_classes: of the last layer.
            depths: blocks of each of the four stages.
            widths: channels of each.
        """
        super().__init__()
        channels = 3
        for stage, (depth, width) in enumerate(zip(depths, widths, strict=True), 1):
            size, stride = ((3, 4, 4), (2, 4, 4)) if stage == 1 else ((1, 2, 2), (1, 2, 2))
            block = _LocalBlock if stage <= 2 else _GlobalBlock
            setattr(self, f"patch_embed{stage}", _PatchEmbed(channels, width, size, stride))
            setattr(self, f"blocks{stage}", nn.Sequential(*(block(width) for _ in range(depth))))
            channels = width
        self.norm = nn.BatchNorm3d(channels)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Logits [batch, classes] of clips [batch, 3, frames, height, width]."""
        for stage in (1, 2, 3, 4):
            clips = getattr(self, f"blocks{stage}")(getattr(self, f"patch_embed{stage}")(clips))
        logits: torch.Tensor = self.head(self.norm(clips).flatten(2).mean(-1))
        return logits


def uniformer_s(num_classes: int) -> UniFormer:
    """UniFormer-S."""
    return UniFormer(num_classes, depths=(3, 4, 8, 3))


def uniformer_b(num_classes: int) -> UniFormer:
    """UniFormer-B."""
    return UniFormer(num_classes, depths=(5, 8, 20, 7))
