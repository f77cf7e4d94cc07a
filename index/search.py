"""From a query vector to hits: nearest vectors, then what the catalog knows of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from index.snapshot import Snapshot
from schemas.errors import LibraryError
from schemas.records import Hit


def nearest_clips(snapshot: Snapshot, vector: NDArray[np.float32], k: int) -> list[Hit]:
    """The ``k`` clips whose embeddings are nearest to ``vector`` (float32 [dim], L2-normalised), best first.

    Raises:
        LibraryError: the vector is of another embedder than the library's.
    """
    vectors = snapshot.vectors()
    if vector.shape != (vectors.dim,):
        raise LibraryError(
            f"--embedder: got a model of {vector.size} dimensions, the library holds {vectors.dim}; "
            "give the embedder it was made with"
        )
    found = vectors.search(vector, k)
    rows = snapshot.catalog.sql("select * from clips where list_contains($ids, clip_id)", {"ids": [i for i, _ in found]})
    by_id = {row["clip_id"]: row for row in rows.to_pylist()}
    return [Hit(rank=rank, score=score, **by_id[clip_id]) for rank, (clip_id, score) in enumerate(found, start=1)]
