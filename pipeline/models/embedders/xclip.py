"""X-CLIP as a `RerankEmbedder`.

Search compares its embeddings by their dot product. Its rerank score is the published one, which adapts the text to each
video; for that it also needs the features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import XCLIPModel

from pipeline.models.base import EmbeddedClips
from pipeline.models.embedders.two_towers import TwoTowers
from pipeline.models.embedders.vectors import unit_vectors
from pipeline.models.embedders.xclip_scorer import PromptScorer
from schemas.models import Checkpoint
from schemas.options import Precision


class XClipEmbedder(TwoTowers):
    """X-CLIP (Ni et al., 2022, "Expanding Language-Image Pretrained Models for General Video Recognition").

    Attributes:
        logit_scale: as for `pipeline.models.base.RerankEmbedder`.
    """

    model_class = XCLIPModel

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "auto", **settings: Any) -> None:
        """See `TwoTowers`."""
        super().__init__(checkpoint, precision, **settings)
        self.logit_scale = math.exp(self._model.logit_scale.item())

    @torch.inference_mode()
    def embed_clips_with_features(self, pixels: torch.Tensor) -> EmbeddedClips:
        """See `pipeline.models.base.RerankEmbedder.embed_clips_with_features`."""
        videos, hidden = self._see(pixels)
        patches = self._model.prompts_visual_layernorm(hidden[:, 1:])  # without the class token
        patches = patches @ self._model.prompts_visual_projection
        batch, frames = pixels.shape[:2]
        features = patches.float().view(batch, frames, -1, self.dim).mean(1)
        return EmbeddedClips(unit_vectors(videos), cast("NDArray[np.float32]", features.cpu().numpy()))

    @staticmethod
    def forward(model: Any, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Projected videos [batch, dim], and the hidden states [batch * num_frames, 1 + tokens, width] of their frames."""
        output = model.get_video_features(pixels)
        return output.pooler_output, output.last_hidden_state

    def rerank_scores(
        self, texts: Sequence[str], embeddings: NDArray[np.float32], features: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """See `pipeline.models.base.RerankEmbedder.rerank_scores`: the logits of ``XCLIPModel.forward``."""
        if not texts or not len(features):
            return np.empty((len(texts), len(features)), np.float32)
        with torch.inference_mode():
            return self._scorer(self._projected(texts).float(), embeddings, features)

    @cached_property
    def _scorer(self) -> PromptScorer:
        return PromptScorer(self._model)
