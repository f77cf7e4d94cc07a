"""X-CLIP as an `Embedder`: clips and texts in one space.

The published score also adapts the text to each video (`prompts_generator`); the plain embeddings kept here are what
approximate search compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer, XCLIPModel

from pipeline.models.loading import first_line, load_pretrained
from pipeline.models.preprocessing import read_preprocessing
from schemas.errors import ModelError
from schemas.models import Checkpoint
from schemas.options import Precision


class XClipEmbedder:
    """X-CLIP (Ni et al., 2022, "Expanding Language-Image Pretrained Models for General Video Recognition")."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "auto") -> None:
        """Load the checkpoint; see `pipeline.models.load_embedder`."""
        self.preprocessing = read_preprocessing(checkpoint, "--embedder")
        self._model, self.device, self.dtype = load_pretrained(XCLIPModel, checkpoint, precision, "--embedder")
        self.dim = int(self._model.config.projection_dim)
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(
                checkpoint.folder, local_files_only=True, trust_remote_code=False
            )
        except Exception as exc:
            raise ModelError(
                f"--embedder {checkpoint.name}: its tokenizer cannot be read ({first_line(exc)}); "
                "the folder needs tokenizer.json"
            ) from exc

    @torch.inference_mode()
    def embed_clips(self, pixels: torch.Tensor) -> NDArray[np.float32]:
        """See `pipeline.models.Embedder.embed_clips`."""
        return _unit(self._model.get_video_features(pixels).pooler_output)

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `pipeline.models.Embedder.embed_texts`. Longer texts are cut to what the model reads (CLIP: 77 tokens)."""
        tokens = self._tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self._model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        ).to(self.device)
        return _unit(self._model.get_text_features(tokens["input_ids"], tokens["attention_mask"]).pooler_output)


def _unit(vectors: torch.Tensor) -> NDArray[np.float32]:
    return cast("NDArray[np.float32]", torch.nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy())
