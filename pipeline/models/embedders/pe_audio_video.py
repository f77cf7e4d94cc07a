"""Perception Encoder audio-video as an embedder of what is seen; its sound is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from transformers import AutoConfig, AutoModel
from transformers.models.pe_video.modeling_pe_video import (
    PeVideoContrastiveHead,
    PeVideoEncoder,
    PeVideoPreTrainedModel,
)

from pipeline.models.embedders.two_towers import TwoTowers
from schemas.models import Checkpoint


class _TextAndVideo(PeVideoPreTrainedModel):  # type: ignore[misc]
    """The part of a PE-AV checkpoint that texts and pictures need, under the names of its weights.

    transformers 5.23 offers no way to it: ``PeAudioVideoModel.get_video_embeds`` calls a method that its video model lacks,
    and with timm 1.0.31 that class cannot read its own checkpoints.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        dim = config.text_config.hidden_size
        self.text_model = AutoModel.from_config(config.text_config)
        self.video_encoder = PeVideoEncoder(config.video_config)
        self.text_video_head = PeVideoContrastiveHead(dim, dim)
        self.video_head = PeVideoContrastiveHead(config.video_config.hidden_size, dim)
        self.post_init()


class PeAudioVideoEmbedder(TwoTowers):
    """PE-AV (Vyas et al., 2025, arXiv 2512.19687). Of its weights, those for sound are not read."""

    model_class = _TextAndVideo

    @classmethod
    def made_of(cls, config: Any, dtype: torch.dtype) -> Any:
        """See `TwoTowers.made_of`."""
        return _TextAndVideo._from_config(cls._without_sound(config), dtype=dtype)

    @classmethod
    def whole_config(cls, checkpoint: Checkpoint) -> Any:
        """The configuration of the checkpoint's text model and video encoder."""
        config = AutoConfig.from_pretrained(checkpoint.folder, local_files_only=True, trust_remote_code=False)
        return cls._without_sound(config)

    @classmethod
    def _without_sound(cls, config: Any) -> Any:
        """The part of a whole configuration that texts and pictures need."""
        part = config.video_config
        pictures = cls.vision_config(part)
        pictures.num_labels = pictures.num_classes  # which transformers 5.23 takes for 2 in a nested configuration
        return part

    @classmethod
    def config_without_vision(cls, checkpoint: Checkpoint) -> Any:
        """Without layers in the picture encoder, which is timm's, nor in the encoder above it."""
        config = cls.whole_config(checkpoint)
        pictures = cls.vision_config(config)
        pictures.model_args = {**(pictures.model_args or {}), "depth": 0}
        config.video_config.num_hidden_layers = 0
        return config

    @staticmethod
    def vision_config(config: Any) -> Any:
        """The picture encoder's part of the configuration."""
        return config.video_config.vision_config

    @staticmethod
    def forward(model: Any, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The projected clips [batch, dim]."""
        return (model.video_head(model.video_encoder(pixels.contiguous()).pooler_output),)

    @staticmethod
    def text_vectors(model: Any, tokens: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The projected texts [texts, dim]."""
        return cast("torch.Tensor", model.text_video_head(model.text_model(**tokens).last_hidden_state[:, 0]))
