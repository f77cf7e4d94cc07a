"""X-CLIP for those who ask: a search in words needs a third of the weights, and starts sooner with no more."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import XCLIPConfig, XCLIPModel

from pipeline.models import Described
from pipeline.models.embedders.xclip import XClipEmbedder
from pipeline.models.loading import load_pretrained
from schemas.models import Checkpoint
from schemas.options import Precision


class XClipTextsFirst(XClipEmbedder):
    """An `XClipEmbedder` that loads the vision model when the first clip comes, and gives the same answers."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "auto") -> None:
        """Load what texts need; see `pipeline.models.load_text_embedder`."""
        self._checkpoint, self._precision, self._complete = checkpoint, precision, False
        super().__init__(checkpoint, precision)

    def _load(self, checkpoint: Checkpoint, precision: Precision) -> tuple[Any, torch.device, torch.dtype]:
        """All but the layers that see frames."""
        config = XCLIPConfig.from_pretrained(checkpoint.folder, local_files_only=True)
        config.vision_config.num_hidden_layers = config.vision_config.mit_num_hidden_layers = 0
        return load_pretrained(XCLIPModel, checkpoint, precision, "--embedder", config=config)

    def embed_clips(self, pixels: torch.Tensor) -> NDArray[np.float32]:
        """See `pipeline.models.Embedder.embed_clips`."""
        self._load_the_rest()
        return super().embed_clips(pixels)

    def embed_clips_with_features(self, pixels: torch.Tensor) -> Described:
        """See `pipeline.models.RerankEmbedder.embed_clips_with_features`."""
        self._load_the_rest()
        return super().embed_clips_with_features(pixels)

    def _load_the_rest(self) -> None:
        if not self._complete:
            self._model, self.device, self.dtype = super()._load(self._checkpoint, self._precision)
            self._complete = True
