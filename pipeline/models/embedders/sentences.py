"""Sentence encoders: models that embed texts, so that a question is near to what answers it in other words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel

from pipeline.models.embedders.tokens import TextTokenizer
from pipeline.models.embedders.vectors import unit_vectors
from pipeline.models.families import TextFormat
from pipeline.models.loading import cannot_load, load_pretrained
from pipeline.models.sentence_format import ARGUMENT, Pooling, read_sentence_format
from schemas.models import Checkpoint

# Texts of about the same length that are computed at a time.
_BATCH = 32


class SentenceEncoder:
    """A loaded sentence encoder.

    Attributes:
        dim: the vectors' dimension.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Load it onto the GPU where there is one, else onto the CPU, to compute in fp32.

        Raises:
            ModelError: it cannot be loaded, or is no sentence encoder that vidsift knows.
        """
        self._format = read_sentence_format(checkpoint)
        self._model, self._device, _ = load_pretrained(AutoModel, checkpoint, "fp32", ARGUMENT)
        text_format = TextFormat(lower_case=self._format.lower_case)
        self._tokenizer = TextTokenizer(
            Path(checkpoint.folder), checkpoint.name, ARGUMENT, self._format.max_tokens, text_format
        )
        self.dim = int(self._model.config.hidden_size)
        try:
            self.embed_queries(["a"])
        except Exception as exc:
            raise cannot_load(checkpoint, ARGUMENT, exc) from exc

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of questions, float32 [len(texts), dim], L2-normalised."""
        return self._embed([self._format.query + text for text in texts])

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of texts that questions are asked of, likewise. Of long ones the beginning is read."""
        return self._embed([self._format.passage + text for text in texts])

    @torch.inference_mode()
    def _embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.empty((len(texts), self.dim), np.float32)
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))  # so that little is padding
        for begin in range(0, len(texts), _BATCH):
            numbers = order[begin : begin + _BATCH]
            tokens = {name: of.to(self._device) for name, of in self._tokenizer([texts[n] for n in numbers]).items()}
            hidden = self._model(**tokens).last_hidden_state
            vectors[numbers] = unit_vectors(_pooled(hidden, tokens["attention_mask"], self._format.pooling))
        return vectors


def _pooled(hidden: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """The texts' vectors [texts, dim] of their tokens' [texts, tokens, dim]; ``mask`` [texts, tokens] is 0 for padding."""
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "lasttoken":
        places = torch.arange(mask.shape[1], device=mask.device)
        return hidden[torch.arange(len(hidden), device=mask.device), (mask * places).argmax(1)]
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)
