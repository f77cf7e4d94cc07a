"""Keeps what a text model computed lately."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch

MAX_TEXTS = 1_024


class RecentTexts:
    """A text model's vectors, kept so that a repeated search, or its next page, need not run the model again."""

    def __init__(self, encode: Callable[[Sequence[str]], torch.Tensor]) -> None:
        """``encode`` gives the vectors [n, dim] of n texts; those of the last `MAX_TEXTS` are kept."""
        self._encode = encode
        self._vectors: OrderedDict[str, torch.Tensor] = OrderedDict()

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        """[len(texts), dim] of one or more texts."""
        if new_texts := [text for text in dict.fromkeys(texts) if text not in self._vectors]:
            self._vectors.update(zip(new_texts, self._encode(new_texts), strict=True))
        vectors = torch.stack([self._vectors[text] for text in texts])
        for text in texts:
            self._vectors.move_to_end(text)
        while len(self._vectors) > MAX_TEXTS:
            self._vectors.popitem(last=False)
        return vectors
