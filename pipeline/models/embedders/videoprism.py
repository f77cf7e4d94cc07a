"""VideoPrism with its text model, as an embedder."""

from __future__ import annotations

from typing import Any

import torch

from pipeline.models.embedders.two_towers import TwoTowers


class VideoPrismEmbedder(TwoTowers):
    """VideoPrism LvT (Zhao et al., 2024, "VideoPrism: A Foundational Visual Encoder for Video Understanding")."""

    @staticmethod
    def forward(model: Any, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The projected clips [batch, dim]."""
        others = pixels.shape[1] != model.config.vision_config.num_frames
        output = model.get_video_features(pixels, interpolate_pos_encoding=others)
        return (output.pooler_output.flatten(1),)
