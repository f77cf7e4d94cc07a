"""X-CLIP for text queries: they need a third of the weights, so loading only these lets a search start sooner."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import XCLIPConfig, XCLIPModel

from pipeline.models.base import EmbeddedClips
from pipeline.models.embedders.xclip import XClipEmbedder
from pipeline.models.loading import load_pretrained
from schemas.models import Checkpoint
from schemas.options import Precision


class XClipTextsFirst(XClipEmbedder):
    """An `XClipEmbedder` that loads the vision model with the first clip. Its results are the same."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "auto") -> None:
        """Load the text model; see `pipeline.models.registry.load_text_embedder`."""
        self._checkpoint, self._precision, self._complete = checkpoint, precision, False
        super().__init__(checkpoint, precision)

    def _load(self, checkpoint: Checkpoint, precision: Precision) -> tuple[Any, torch.device, torch.dtype]:
        """The model without its vision layers."""
        config = XCLIPConfig.from_pretrained(checkpoint.folder, local_files_only=True)
        config.vision_config.num_hidden_layers = config.vision_config.mit_num_hidden_layers = 0
        return load_pretrained(XCLIPModel, checkpoint, precision, "embedder", config=config)

    def embed_clips(self, pixels: torch.Tensor) -> NDArray[np.float32]:
        """See `pipeline.models.base.Embedder.embed_clips`."""
        self._load_vision()
        return super().embed_clips(pixels)

    def embed_clips_with_features(self, pixels: torch.Tensor) -> EmbeddedClips:
        """See `pipeline.models.base.RerankEmbedder.embed_clips_with_features`."""
        self._load_vision()
        return super().embed_clips_with_features(pixels)

    def _load_vision(self) -> None:
        if not self._complete:
            self._model, self.device, self.dtype = super()._load(self._checkpoint, self._precision)
            self._complete = True
