"""Image-text encoders as video embedders: a clip is some of its frames, each embedded as a picture.

A clip's embedding is the mean of its frames' unit vectors, scaled to length 1. The rerank score weighs the frames by the
query (Bain et al., 2022, "A CLIP-Hitchhiker's Guide to Long Video Retrieval"), so that the few frames which show what is
asked for are not averaged away by the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.models.base import EmbeddedClips
from pipeline.models.embedders.two_towers import TwoTowers
from pipeline.models.embedders.vectors import unit_vectors
from schemas.models import Checkpoint
from schemas.options import Precision

# Difference of two frames' logits (cosine times the model's scale) that makes one weigh e times as much as the other.
_TEMPERATURE = 2.0


class ImageTextEmbedder(TwoTowers):
    """CLIP, SigLIP and their like, by transformers' ``get_image_features`` and ``get_text_features``.

    Attributes:
        logit_scale: as for `pipeline.models.base.RerankEmbedder`.
    """

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "auto", **settings: Any) -> None:
        """See `TwoTowers`."""
        super().__init__(checkpoint, precision, **settings)
        if hasattr(self._model, "temperature"):  # ALIGN
            self.logit_scale = 1 / self._model.temperature.item()
        else:
            self.logit_scale = math.exp(self._model.logit_scale.item())

    def embed_clips(self, pixels: torch.Tensor) -> NDArray[np.float32]:
        """See `pipeline.models.base.Embedder.embed_clips`."""
        return self.embed_clips_with_features(pixels).embeddings

    @torch.inference_mode()
    def embed_clips_with_features(self, pixels: torch.Tensor) -> EmbeddedClips:
        """See `pipeline.models.base.RerankEmbedder.embed_clips_with_features`; the features are the frames' unit vectors."""
        batch, num_frames = pixels.shape[:2]
        frames = unit_vectors(self._see(pixels)[0]).reshape(batch, num_frames, self.dim)
        return EmbeddedClips(unit_vectors(torch.from_numpy(frames.mean(1))), frames)

    def _forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The projected frames [batch * num_frames, dim]."""
        return (self._model.get_image_features(pixel_values=pixels.flatten(0, 1)).pooler_output,)

    def rerank_scores(
        self, texts: Sequence[str], embeddings: NDArray[np.float32], features: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """See `pipeline.models.base.RerankEmbedder.rerank_scores`: `query_weighted_cosines` times the model's scale."""
        if not texts or not len(features):
            return np.empty((len(texts), len(features)), np.float32)
        cosines = query_weighted_cosines(self.embed_texts(texts), features, _TEMPERATURE / self.logit_scale)
        return np.asarray(self.logit_scale * cosines, np.float32)


def query_weighted_cosines(
    texts: NDArray[np.float32], frames: NDArray[np.float32], temperature: float
) -> NDArray[np.float32]:
    """Cosines of texts and clips whose frames are weighed by the text.

    A frame's weight is the softmax, over the clip's frames, of its cosine with the text divided by ``temperature``. With a
    high temperature all frames weigh the same, and the result is the cosine with the mean frame.

    Args:
        texts: float32 [texts, dim], L2-normalised.
        frames: float32 [clips, num_frames, dim], of length 1 up to rounding.
        temperature: in cosines, above 0.

    Returns:
        float32 [texts, clips].
    """
    frames = frames / np.maximum(np.linalg.norm(frames, axis=-1, keepdims=True), 1e-12)
    cosines = np.einsum("td,cfd->tcf", texts, frames, optimize=True)
    weights = np.exp((cosines - cosines.max(-1, keepdims=True)) / temperature)
    weights /= weights.sum(-1, keepdims=True)
    between_frames = np.matmul(frames, frames.transpose(0, 2, 1))
    squared_lengths = np.einsum("tcf,cfg,tcg->tc", weights, between_frames, weights, optimize=True)
    return np.asarray((weights * cosines).sum(-1) / np.sqrt(np.maximum(squared_lengths, 1e-12)), np.float32)


texts_first = partial(ImageTextEmbedder, texts_first=True)
