"""SigLIP 2 NaFlex: an image-text encoder that takes pictures in their own shape, cut into patches."""

from __future__ import annotations

from typing import Any

import torch

from pipeline.models.embedders.image_text import ImageTextEmbedder


class NaFlexEmbedder(ImageTextEmbedder):
    """SigLIP 2 (Tschannen et al., 2025) in its layout for any aspect ratio. The frames of a batch have one shape."""

    @staticmethod
    def forward(model: Any, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The projected frames [batch * num_frames, dim]."""
        side = model.config.vision_config.patch_size
        frames = pixels.flatten(0, 1)
        across, down = frames.shape[-1] // side, frames.shape[-2] // side
        patches = frames.unfold(2, side, side).unfold(3, side, side)  # [frames, 3, down, across, side, side]
        patches = patches.permute(0, 2, 3, 4, 5, 1).reshape(len(frames), down * across, -1)
        output = model.get_image_features(
            pixel_values=patches,
            pixel_attention_mask=torch.ones(patches.shape[:2], dtype=torch.int32, device=patches.device),
            spatial_shapes=torch.tensor([[down, across]], device=patches.device).expand(len(frames), 2),
        )
        return (output.pooler_output,)
