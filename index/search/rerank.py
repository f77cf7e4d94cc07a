"""Rerank scores: what the embedder's whole forward pass says of texts and clips, from the features kept at ingest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from index.snapshot.snapshot import Snapshot
from pipeline.models.base import Embedder, RerankEmbedder

# Clips whose features are fetched at a time: X-CLIP base takes 0.1 MB of each.
_BATCH_CLIPS = 1_024


def rerank_scores(
    snapshot: Snapshot, embedder: Embedder, texts: Sequence[str], clip_ids: Sequence[int]
) -> NDArray[np.float32] | None:
    """Scores float32 [texts, clips] as the embedder's own forward pass would give them: X-CLIP's ``logits_per_text``.

    Args:
        snapshot: of the library that the clips are in.
        embedder: the one that the library was made with.
        texts: what is looked for.
        clip_ids: the clips, in any order.

    Returns:
        None where the library has no features (``ingest --features none``, or a library from before features), or the
        embedder has no score but the dot product.

    Raises:
        LibraryError: a clip has no features, or they cannot be read.
    """
    if not isinstance(embedder, RerankEmbedder):
        return None
    store = snapshot.features()
    if store is None:
        return None
    scores = np.empty((len(texts), len(clip_ids)), np.float32)
    for start in range(0, len(clip_ids), _BATCH_CLIPS):
        batch = slice(start, start + _BATCH_CLIPS)
        scores[:, batch] = embedder.rerank_scores(texts, *store.described(clip_ids[batch]))
    return scores
