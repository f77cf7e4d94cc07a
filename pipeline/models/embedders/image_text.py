"""Image-text encoders as video embedders: a clip is some of its frames, each embedded as a picture.

A clip's embedding is the mean of its frames' unit vectors, scaled to length 1. The rerank score weighs the frames by the
query (Bain et al., 2022, "A CLIP-Hitchhiker's Guide to Long Video Retrieval"), so that the few frames which show what is
asked for are not averaged away by the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from pipeline.models.base import EmbeddedClips
from pipeline.models.embedders.two_towers import TwoTowers
from pipeline.models.embedders.vectors import unit_vectors
from schemas.models import Checkpoint
from schemas.options import Precision

# Difference of two frames' logits (cosine times the model's scale) that makes one weigh e times as much as the other. Chosen
# on held-back clips of the demo's world (docs/benchmarks.md): lower ones lose where all frames show the same, higher ones
# where one in four shows what is asked for.
TEMPERATURE = 2.0


class ImageTextEmbedder(TwoTowers):
    """CLIP, SigLIP and their like, by transformers' ``get_image_features`` and ``get_text_features``.

    Attributes:
        logit_scale: as for `pipeline.models.base.RerankEmbedder`.
    """

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "auto", **settings: Any) -> None:
        """See `TwoTowers`."""
        super().__init__(checkpoint, precision, **settings)
        self.logit_scale = logit_scale_of(self._model).item()

    def embed_clips(self, pixels: torch.Tensor) -> NDArray[np.float32]:
        """See `pipeline.models.base.Embedder.embed_clips`."""
        return self.embed_clips_with_features(pixels).embeddings

    @torch.inference_mode()
    def embed_clips_with_features(self, pixels: torch.Tensor) -> EmbeddedClips:
        """See `pipeline.models.base.RerankEmbedder.embed_clips_with_features`; the features are the frames' unit vectors."""
        batch, num_frames = pixels.shape[:2]
        frames = unit_vectors(self._see(pixels)[0]).reshape(batch, num_frames, self.dim)
        return EmbeddedClips(unit_vectors(torch.from_numpy(frames.mean(1))), frames)

    @staticmethod
    def forward(model: Any, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The projected frames [batch * num_frames, dim]."""
        return (model.get_image_features(pixel_values=pixels.flatten(0, 1)).pooler_output,)

    def rerank_scores(
        self, texts: Sequence[str], embeddings: NDArray[np.float32], features: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """See `pipeline.models.base.RerankEmbedder.rerank_scores`: `query_weighted_cosines` times the model's scale."""
        if not texts or not len(features):
            return np.empty((len(texts), len(features)), np.float32)
        frames = normalize(torch.from_numpy(np.ascontiguousarray(features, np.float32)), dim=-1)
        cosines = query_weighted_cosines(torch.from_numpy(self.embed_texts(texts)), frames, TEMPERATURE / self.logit_scale)
        return np.asarray(self.logit_scale * cosines.numpy(), np.float32)


def logit_scale_of(model: Any) -> torch.Tensor:
    """The factor from cosines to the logits that a transformers image-text model was trained with."""
    if hasattr(model, "temperature"):  # ALIGN
        return cast("torch.Tensor", 1 / model.temperature)
    return cast("torch.Tensor", model.logit_scale.exp())


def query_weighted_cosines(texts: torch.Tensor, frames: torch.Tensor, temperature: float | torch.Tensor) -> torch.Tensor:
    """Cosines of texts and clips whose frames are weighed by the text.

    A frame's weight is the softmax, over the clip's frames, of its cosine with the text divided by ``temperature``. With a
    high temperature all frames weigh the same, and the result is the cosine with the mean frame.

    Args:
        texts: float [texts, dim], L2-normalised.
        frames: float [clips, num_frames, dim], L2-normalised.
        temperature: in cosines, above 0.

    Returns:
        float [texts, clips].
    """
    cosines = torch.einsum("td,cfd->tcf", texts, frames)
    weights = torch.softmax(cosines / temperature, -1)
    between_frames = frames @ frames.transpose(1, 2)
    squared_lengths = torch.einsum("tcf,cfg,tcg->tc", weights, between_frames, weights)
    return (weights * cosines).sum(-1) / squared_lengths.clamp(min=1e-12).sqrt()
