"""X-CLIP as an `RerankEmbedder`: clips and texts in one space, and the published score, which adapts the text to each video.

The plain embeddings are what approximate search compares; the features are what the published score needs besides.
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

from pipeline.models import Described
from pipeline.models.embedders.tokens import TextTokenizer
from pipeline.models.embedders.xclip_scorer import PromptScorer
from pipeline.models.loading import load_pretrained
from pipeline.models.preprocessing import read_preprocessing
from pipeline.models.runtimes.cuda_graphs import CudaGraphed, Forward
from pipeline.models.runtimes.micro_batches import MicroBatched
from schemas.models import Checkpoint, CutText
from schemas.options import Precision

# Texts whose projections are kept: a search that is asked again, or pages through its hits, need not run the text model.
_TEXTS_KEPT = 1_024


class XClipEmbedder:
    """X-CLIP (Ni et al., 2022, "Expanding Language-Image Pretrained Models for General Video Recognition")."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "auto") -> None:
        """Load the checkpoint; see `pipeline.models.load_embedder`."""
        self.preprocessing = read_preprocessing(checkpoint, "--embedder")
        self._model, self.device, self.dtype = self._load(checkpoint, precision)
        self._run: Forward = (
            MicroBatched(self._see, self._model.config.vision_config)
            if self.device.type == "cpu"
            else CudaGraphed(self._see)
        )
        self.dim = int(self._model.config.projection_dim)
        self.logit_scale = math.exp(self._model.logit_scale.item())
        most = int(self._model.config.text_config.max_position_embeddings)
        self._tokenizer = TextTokenizer(Path(checkpoint.folder), checkpoint.name, "--embedder", most)
        self._projected: OrderedDict[str, torch.Tensor] = OrderedDict()

    def _load(self, checkpoint: Checkpoint, precision: Precision) -> tuple[Any, torch.device, torch.dtype]:
        return load_pretrained(XCLIPModel, checkpoint, precision, "--embedder")

    @torch.inference_mode()
    def embed_clips(self, pixels: torch.Tensor) -> NDArray[np.float32]:
        """See `pipeline.models.Embedder.embed_clips`."""
        return _unit(self._run(pixels.to(self.device))[0])

    @torch.inference_mode()
    def embed_clips_with_features(self, pixels: torch.Tensor) -> Described:
        """See `pipeline.models.RerankEmbedder.embed_clips_with_features`. One pass of the vision model serves both."""
        videos, hidden = self._run(pixels.to(self.device))
        patches = self._model.prompts_visual_layernorm(hidden[:, 1:])  # without the class token
        patches = patches @ self._model.prompts_visual_projection
        batch, frames = pixels.shape[:2]
        features = patches.float().view(batch, frames, -1, self.dim).mean(1)
        return Described(_unit(videos), cast("NDArray[np.float32]", features.cpu().numpy()))

    def _see(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Projected videos [batch, dim], and the hidden states [batch * num_frames, 1 + tokens, width] of their frames."""
        seen = self._model.get_video_features(pixels)
        return seen.pooler_output, seen.last_hidden_state

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `pipeline.models.Embedder.embed_texts`. Longer texts are cut to what the model reads (CLIP: 77 tokens)."""
        return _unit(self._project(texts)) if texts else np.empty((0, self.dim), np.float32)

    def cut_texts(self, texts: Sequence[str]) -> list[CutText]:
        """See `pipeline.models.LimitedEmbedder.cut_texts`."""
        return self._tokenizer.cut(texts)

    def exact_scores(
        self, texts: Sequence[str], embeddings: NDArray[np.float32], features: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """See `pipeline.models.RerankEmbedder.exact_scores`: the logits of ``XCLIPModel.forward``."""
        if not texts or not len(features):
            return np.empty((len(texts), len(features)), np.float32)
        with torch.inference_mode():
            return self._scorer(self._project(texts).float(), embeddings, features)

    @cached_property
    def _scorer(self) -> PromptScorer:
        return PromptScorer(self._model)

    def _project(self, texts: Sequence[str]) -> torch.Tensor:
        """[len(texts), dim], projected and not normalised; from memory where a text was asked for before."""
        if lacking := [text for text in dict.fromkeys(texts) if text not in self._projected]:
            tokens = self._tokenizer(lacking).to(self.device)
            rows = self._model.get_text_features(tokens["input_ids"], tokens["attention_mask"]).pooler_output
            self._projected.update(zip(lacking, rows, strict=True))
        found = torch.stack([self._projected[text] for text in texts])
        for text in texts:
            self._projected.move_to_end(text)
        while len(self._projected) > _TEXTS_KEPT:
            self._projected.popitem(last=False)
        return found


def _unit(vectors: torch.Tensor) -> NDArray[np.float32]:
    return cast("NDArray[np.float32]", torch.nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy())
