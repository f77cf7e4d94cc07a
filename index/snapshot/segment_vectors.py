"""The vectors of one segment: what all kinds can be asked, the choice between them by size, writing and opening."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from index.snapshot.compressed_build import open_compressed, write_compressed
from index.snapshot.flat_vectors import FlatVectors, FlatWriter, faiss
from schemas.errors import LibraryError

MAX_FLAT = 200_000
"""Vectors of a segment up to which they are kept as fp32 and searched one and all: 15 ms of 512 dimensions on one core."""

_FLAT_FILE = "vectors.f32.faiss"


class SegmentVectors(Protocol):
    """One segment's vectors, opened for reading; a row is a vector's number within the segment."""

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""

    def __len__(self) -> int:
        """Vectors in the segment."""

    def search(
        self, queries: NDArray[np.float32], count: int, *, recall: float, passing: NDArray[np.uint8] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The rows of the highest dot products, best first.

        Args:
            queries: float32 [queries, dim].
            count: how many rows to give for each query.
            recall: share of the ten best that is to be found, as measured when the segment was written; 1.0 is exact.
            passing: uint8 [ceil(len / 8)], one bit a row, the lowest of a byte first; a row whose bit is not set is never
                given. None: all pass.

        Returns:
            Rows int64 and scores float32, both [queries, count]; row -1 and score -inf where there are no more.
        """

    def vectors_at(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32 [n, dim], the vectors in these rows."""

    def scores_at(self, rows: NDArray[np.int64], queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [queries, n], the dot product of each query with the vector in each of these rows."""

    def scores(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [queries, len], likewise with all vectors; a pass over all of them."""


def write_vectors(
    folder: Path,
    dim: int,
    batches: Iterable[NDArray[np.float32]],
    *,
    queries: NDArray[np.float32] | None = None,
    max_flat: int = MAX_FLAT,
) -> dict[str, Any]:
    """Write a segment's vectors, of the kind that suits their number.

    Holds ``max_flat`` vectors at most, and where there are more, what `write_compressed` says.

    Args:
        folder: the segment's; it exists.
        dim: dimension of the vectors.
        batches: float32 [n, dim], in row order; read once.
        queries: float32 [n, dim], queries as users put them, to choose parameters by; None: see `write_compressed`.
        max_flat: vectors up to which they are kept flat.

    Returns:
        What `open_vectors` needs, fit for JSON: kind, rows, dim, files, and what was measured.

    Raises:
        LibraryError: a file cannot be written.
    """
    iterator = iter(batches)
    first = _up_to(iterator, max_flat + 1)
    if sum(map(len, first)) > max_flat:
        return write_compressed(folder, dim, chain(first, iterator), queries=queries)
    with FlatWriter(folder / _FLAT_FILE, faiss.IndexFlatIP(dim)) as writer:
        for batch in first:
            writer.add(batch)
    return {"kind": "flat", "rows": writer.total, "dim": dim, "files": [_FLAT_FILE]}


def _up_to(batches: Iterator[NDArray[np.float32]], count: int) -> list[NDArray[np.float32]]:
    """The first batches, until they hold ``count`` vectors."""
    taken: list[NDArray[np.float32]] = []
    while sum(map(len, taken)) < count and (batch := next(batches, None)) is not None:
        taken.append(batch)
    return taken


def open_vectors(folder: Path, info: dict[str, Any]) -> SegmentVectors:
    """Open the vectors in a segment's ``folder``; ``info`` is what `write_vectors` returned.

    Raises:
        LibraryError: a file is missing or damaged, or is not what ``info`` says.
    """
    if info.get("kind") == "flat":
        return FlatVectors(folder / _FLAT_FILE, dim=info["dim"], rows=info["rows"])
    if info.get("kind") == "compressed":
        return open_compressed(folder, info)
    raise LibraryError(
        f"the vectors in {str(folder)!r} are of kind {info.get('kind')!r}, expected flat or compressed; "
        "this vidsift is too old for the library"
    )
