"""Embedders whose vision models ONNX Runtime runs."""

from __future__ import annotations

from typing import Any

import torch

from pipeline.models.embedders.image_text import ImageTextEmbedder
from pipeline.models.embedders.two_towers import TwoTowers
from pipeline.models.embedders.videoprism import VideoPrismEmbedder
from pipeline.models.embedders.xclip import XClipEmbedder
from pipeline.models.runtimes.onnx import onnx_runtime
from schemas.models import Checkpoint
from schemas.options import Precision

_CPU = torch.device("cpu")


class _OnnxTowers(TwoTowers):
    """An embedder whose forward pass over clips ONNX Runtime computes, in fp32; its texts stay with PyTorch."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "auto") -> None:
        """Load the checkpoint; see `pipeline.models.registry.load_embedder`. There is one precision."""
        super().__init__(checkpoint, "fp32", device=_CPU)
        seen = _Seen(self, self._model)
        self._run = onnx_runtime(checkpoint, "seen", seen, self.vision_config(self._model.config))


class OnnxXClip(_OnnxTowers, XClipEmbedder):
    """An `XClipEmbedder` on ONNX Runtime."""


class OnnxImageText(_OnnxTowers, ImageTextEmbedder):
    """An `ImageTextEmbedder` on ONNX Runtime."""


class OnnxVideoPrism(_OnnxTowers, VideoPrismEmbedder):
    """A `VideoPrismEmbedder` on ONNX Runtime."""


class _Seen(torch.nn.Module):
    """[batch, num_frames, 3, height, width] -> what the embedder's ``forward`` gives."""

    def __init__(self, embedder: TwoTowers, model: Any) -> None:
        super().__init__()
        self.model, self._forward = model, embedder.forward

    def forward(self, pixels: torch.Tensor) -> Any:
        return self._forward(self.model, pixels)


class ClipEmbeddings(torch.nn.Module):
    """[batch, num_frames, 3, height, width] -> the clips' embeddings [batch, dim], L2-normalised."""

    def __init__(self, embedder: TwoTowers) -> None:
        """Take a loaded embedder."""
        super().__init__()
        self.model, self._embedder = embedder.model, embedder

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """The mean of a clip's unit vectors, scaled to length 1: models that see frames one by one give several."""
        dim = self._embedder.dim
        vectors = torch.nn.functional.normalize(self._embedder.forward(self.model, pixels)[0][:, :dim], dim=-1)
        return torch.nn.functional.normalize(vectors.reshape(pixels.shape[0], -1, dim).mean(1), dim=-1)


class TextEmbeddings(torch.nn.Module):
    """Tokens, int64 [texts, tokens], and their mask where the model reads one -> embeddings [texts, dim], L2-normalised."""

    def __init__(self, embedder: TwoTowers) -> None:
        """Take a loaded embedder."""
        super().__init__()
        self.model, self._embedder = embedder.model, embedder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """The texts' unit vectors."""
        tokens = {"input_ids": input_ids} | ({} if attention_mask is None else {"attention_mask": attention_mask})
        vectors = self._embedder.text_vectors(self.model, tokens)
        return torch.nn.functional.normalize(vectors[:, : self._embedder.dim], dim=-1)
