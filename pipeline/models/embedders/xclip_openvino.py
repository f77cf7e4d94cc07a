"""X-CLIP whose vision model OpenVINO runs."""

from __future__ import annotations

from typing import Any

import torch

from pipeline.models.embedders.xclip import XClipEmbedder
from pipeline.models.pixels import choose_dtype
from pipeline.models.runtimes.openvino import OpenVinoForward
from schemas.models import Checkpoint
from schemas.options import Precision

_CPU = torch.device("cpu")


class OpenVinoXClip(XClipEmbedder):
    """An `XClipEmbedder` whose forward pass over clips OpenVINO computes."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "auto") -> None:
        """Load the checkpoint; see `pipeline.models.registry.load_embedder`."""
        super().__init__(checkpoint, "fp32", device=_CPU)
        self.dtype = choose_dtype(precision, _CPU)
        self._run = OpenVinoForward(checkpoint, "seen", _VisionModel(self._model), self.dtype)


class _VisionModel(torch.nn.Module):
    """[1, num_frames, 3, height, width] -> the projected video and the hidden states of its patches."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> Any:
        return XClipEmbedder.forward(self.model, pixels)
