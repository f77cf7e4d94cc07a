"""X-CLIP as a `RerankEmbedder`.

Search compares its embeddings by their dot product. Its rerank score is the published one, which adapts the text to each
video; for that it also needs the features.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import XCLIPModel

from pipeline.models.base import EmbeddedClips
from pipeline.models.embedders.tokens import TextTokenizer
from pipeline.models.embedders.vectors import unit_vectors
from pipeline.models.embedders.xclip_scorer import PromptScorer
from pipeline.models.families import embedder_family
from pipeline.models.loading import load_pretrained
from pipeline.models.preprocessing import read_preprocessing
from pipeline.models.runtimes.choose import choose_runtime
from pipeline.models.runtimes.cuda_graphs import Forward
from schemas.models import Checkpoint, CutText
from schemas.options import Precision

# Texts whose projections are kept, so that a repeated search, or its next page, need not run the text model again.
_MAX_CACHED_TEXTS = 1_024


class XClipEmbedder:
    """X-CLIP (Ni et al., 2022, "Expanding Language-Image Pretrained Models for General Video Recognition")."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "auto") -> None:
        """Load the checkpoint; see `pipeline.models.registry.load_embedder`."""
        self.preprocessing = read_preprocessing(checkpoint, "embedder")
        self._model, self.device, self.dtype = self._load(checkpoint, precision)
        family = embedder_family(checkpoint.model_type)
        self._run: Forward = choose_runtime(
            self._forward,
            self.device,
            self._model.config.vision_config,
            cuda_graphs=family is not None and family.cuda_graphs,
        )
        self.dim = int(self._model.config.projection_dim)
        self.logit_scale = math.exp(self._model.logit_scale.item())
        max_tokens = int(self._model.config.text_config.max_position_embeddings)
        self._tokenizer = TextTokenizer(Path(checkpoint.folder), checkpoint.name, "embedder", max_tokens)
        self._projected: OrderedDict[str, torch.Tensor] = OrderedDict()

    def _load(self, checkpoint: Checkpoint, precision: Precision) -> tuple[Any, torch.device, torch.dtype]:
        return load_pretrained(XCLIPModel, checkpoint, precision, "embedder")

    @torch.inference_mode()
    def embed_clips(self, pixels: torch.Tensor) -> NDArray[np.float32]:
        """See `pipeline.models.base.Embedder.embed_clips`."""
        return unit_vectors(self._run(pixels.to(self.device))[0])

    @torch.inference_mode()
    def embed_clips_with_features(self, pixels: torch.Tensor) -> EmbeddedClips:
        """See `pipeline.models.base.RerankEmbedder.embed_clips_with_features`."""
        videos, hidden = self._run(pixels.to(self.device))
        patches = self._model.prompts_visual_layernorm(hidden[:, 1:])  # without the class token
        patches = patches @ self._model.prompts_visual_projection
        batch, frames = pixels.shape[:2]
        features = patches.float().view(batch, frames, -1, self.dim).mean(1)
        return EmbeddedClips(unit_vectors(videos), cast("NDArray[np.float32]", features.cpu().numpy()))

    def _forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Projected videos [batch, dim], and the hidden states [batch * num_frames, 1 + tokens, width] of their frames."""
        output = self._model.get_video_features(pixels)
        return output.pooler_output, output.last_hidden_state

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `pipeline.models.base.Embedder.embed_texts`. Of longer texts it reads the first tokens (CLIP: 77)."""
        return unit_vectors(self._project(texts)) if texts else np.empty((0, self.dim), np.float32)

    def cut_texts(self, texts: Sequence[str]) -> list[CutText]:
        """See `pipeline.models.base.LimitedEmbedder.cut_texts`."""
        return self._tokenizer.cut(texts)

    def rerank_scores(
        self, texts: Sequence[str], embeddings: NDArray[np.float32], features: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """See `pipeline.models.base.RerankEmbedder.rerank_scores`: the logits of ``XCLIPModel.forward``."""
        if not texts or not len(features):
            return np.empty((len(texts), len(features)), np.float32)
        with torch.inference_mode():
            return self._scorer(self._project(texts).float(), embeddings, features)

    @cached_property
    def _scorer(self) -> PromptScorer:
        return PromptScorer(self._model)

    def _project(self, texts: Sequence[str]) -> torch.Tensor:
        """[len(texts), dim], projected and not normalised; texts that were projected lately come from a cache."""
        if uncached := [text for text in dict.fromkeys(texts) if text not in self._projected]:
            tokens = self._tokenizer(uncached).to(self.device)
            rows = self._model.get_text_features(tokens["input_ids"], tokens["attention_mask"]).pooler_output
            self._projected.update(zip(uncached, rows, strict=True))
        projected = torch.stack([self._projected[text] for text in texts])
        for text in texts:
            self._projected.move_to_end(text)
        while len(self._projected) > _MAX_CACHED_TEXTS:
            self._projected.popitem(last=False)
        return projected
