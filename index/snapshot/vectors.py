"""The vector index of a snapshot: a FAISS file of all embeddings. Vectors are found by clip id, never by table order."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import LibraryError, VidsiftError

try:
    import faiss
except ModuleNotFoundError as exc:
    raise VidsiftError(
        "FAISS is not installed; pip install 'vidsift[cpu]', or 'vidsift[gpu]' on a machine with a GPU"
    ) from exc

# Every vector as it is: a scan of 500,000 clips of 512 dimensions takes 37 ms on one core, and misses no clip.
_FACTORY = "IDMap2,Flat"

RECALL_AT_10 = 1.0
"""Share of the ten nearest clips that a scan of such an index finds, for snapshot.json: all, by construction."""


def write_vectors(path: Path, dim: int, batches: Iterable[tuple[NDArray[np.int64], NDArray[np.float32]]]) -> int:
    """Write an index of all batches, and return how many vectors it holds.

    Args:
        path: the file to write.
        dim: dimension of the vectors.
        batches: clip ids int64 [n] and their vectors float32 [n, dim].

    Raises:
        LibraryError: the file cannot be written.
    """
    index = faiss.index_factory(dim, _FACTORY, faiss.METRIC_INNER_PRODUCT)
    for ids, vectors in batches:
        index.add_with_ids(np.ascontiguousarray(vectors, np.float32), np.ascontiguousarray(ids, np.int64))
    try:
        faiss.write_index(index, str(path))
    except RuntimeError as exc:
        raise LibraryError(f"--library: the index {str(path)!r} cannot be written: {str(exc).splitlines()[-1]}") from exc
    return int(index.ntotal)


class VectorIndex:
    """A published index, opened for reading."""

    def __init__(self, path: Path) -> None:
        """Open ``path``, its vectors memory-mapped where the format allows.

        Raises:
            LibraryError: the file is missing or is not a FAISS index.
        """
        try:
            self._index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as exc:
            raise LibraryError(f"--library: {str(path)!r} cannot be read as an index; run the ingest again") from exc

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return int(self._index.d)

    def __len__(self) -> int:
        """Vectors in the index."""
        return int(self._index.ntotal)

    def ids(self) -> NDArray[np.int64]:
        """int64 [len], the clip id of each row."""
        return np.asarray(faiss.vector_to_array(self._index.id_map), np.int64)  # type: ignore[attr-defined]

    def rows_of(self, clip_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 [n], the row of each clip in the index; -1 for one that is not there."""
        ids = self.ids()
        if not len(ids):
            return np.full(len(clip_ids), -1)
        order = np.argsort(ids)
        rows = order[np.minimum(np.searchsorted(ids, clip_ids, sorter=order), len(ids) - 1)]
        return np.where(ids[rows] == clip_ids, rows, -1)

    def vectors_at(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32 [n, dim], the vectors in these rows, copied."""
        flat = faiss.rev_swig_ptr(self._flat().get_xb(), len(self) * self.dim)
        return np.array(flat.reshape(len(self), self.dim)[rows], np.float32)

    def scores(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [queries, len], the dot product of each query (float32 [queries, dim]) with each vector, by row.

        By FAISS's own kernel, 7 ms for 100,000 of 512 dimensions on one core: in a file mapped into memory, vectors are not
        aligned as NumPy needs them, and NumPy takes 25 to 500 ms for such an array.
        """
        return self._products(queries, self._flat().get_xb(), len(self))

    def scores_at(self, rows: NDArray[np.int64], queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [queries, n], likewise with the vectors in these ``rows`` alone, which are copied for it."""
        vectors = self.vectors_at(rows)  # kept here while FAISS reads it
        return self._products(queries, faiss.swig_ptr(vectors), len(rows))

    def _products(self, queries: NDArray[np.float32], vectors: Any, count: int) -> NDArray[np.float32]:
        """float32 [queries, count], dot products with the ``count`` vectors that FAISS's pointer ``vectors`` points to."""
        queries = np.ascontiguousarray(queries, np.float32)
        products = np.zeros((len(queries), count), np.float32)
        if products.size:
            for query, of_query in zip(queries, products, strict=True):
                faiss.fvec_inner_products_ny(  # type: ignore[attr-defined]
                    faiss.swig_ptr(of_query), faiss.swig_ptr(query), vectors, self.dim, count
                )
        return products

    def _flat(self) -> Any:
        """The part of the index that holds the vectors."""
        return faiss.downcast_index(self._index.index)  # type: ignore[attr-defined]
