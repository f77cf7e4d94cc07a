"""From probabilities to labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from schemas.models import Label


def best_labels(probabilities: torch.Tensor, names: Sequence[str], top: int) -> list[tuple[Label, ...]]:
    """The ``top`` best labels of each clip, or all where there are fewer, best first.

    Args:
        probabilities: [batch, labels].
        names: of the labels.
        top: number of labels.
    """
    best = probabilities.topk(min(top, len(names)), -1)
    return [
        tuple(Label(names[i], p) for p, i in zip(row, indices, strict=True))
        for row, indices in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]
