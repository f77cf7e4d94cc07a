"""Rerank scores: what the embedder's whole forward pass says of texts and clips, from the features kept at ingest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from index.snapshot.clips import SnapshotClips
from pipeline.models.base import Embedder, RerankEmbedder

# Clips whose features are fetched at a time: X-CLIP base takes 0.1 MB of each.
_BATCH_CLIPS = 1_024


def rerank_scores(
    clips: SnapshotClips, embedder: Embedder, texts: Sequence[str], rows: NDArray[np.int64]
) -> NDArray[np.float32] | None:
    """Scores float32 [texts, clips] as the embedder's own forward pass would give them: X-CLIP's ``logits_per_text``.

    Args:
        clips: of the snapshot.
        embedder: the one that the library was made with.
        texts: what is looked for.
        rows: int64 [clips], rows of the snapshot, in any order.

    Returns:
        None where the library has no features (``ingest --features none``, or a library from before features), or the
        embedder has no score but the dot product.

    Raises:
        LibraryError: a clip has no features, or they cannot be read.
    """
    if not isinstance(embedder, RerankEmbedder):
        return None
    if clips.feature_layout() is None:
        return None
    scores = np.empty((len(texts), len(rows)), np.float32)
    for start in range(0, len(rows), _BATCH_CLIPS):
        batch = slice(start, start + _BATCH_CLIPS)
        scores[:, batch] = embedder.rerank_scores(texts, *clips.described(rows[batch]))
    return scores
