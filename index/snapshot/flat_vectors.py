"""Vectors one behind the other in a FAISS file that is mapped into memory: as fp32, fp16 or int8, searched without loss.

The file is one that FAISS writes and reads. It is made a batch at a time, though, since FAISS would hold all of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import LibraryError, VidsiftError

try:
    import faiss as _faiss
except ModuleNotFoundError as exc:
    raise VidsiftError(
        "FAISS is not installed; pip install 'vidsift[cpu]', or 'vidsift[gpu]' on a machine with a GPU"
    ) from exc

faiss: Any = _faiss
"""FAISS's module; its types do not know what its Python layer adds."""

# FAISS answers 20 queries or more by matrix products, whose sums are rounded otherwise than those of single products.
_MAX_QUERIES = 16

# Vectors decoded at a time for a pass over all of them; 8 MB of 512 dimensions.
_BLOCK = 4_096

# Where the header of a FAISS file says how many vectors follow, int64: after the kind of index and the dimension.
_TOTAL_AT = 8


class FlatVectors:
    """Vectors of a segment as they were given, or nearly so, opened for reading."""

    def __init__(self, path: Path, *, dim: int, rows: int) -> None:
        """Open ``path``, mapped into memory.

        Raises:
            LibraryError: the file is missing or damaged, or does not hold ``rows`` vectors of ``dim`` dimensions.
        """
        self._index = read_index(path)
        holds = (int(self._index.ntotal), int(self._index.d))
        if holds != (rows, dim):
            raise LibraryError(
                f"--library: {str(path)!r} holds {holds[0]} vectors of {holds[1]} dimensions, expected {rows} of {dim}; "
                "run the ingest again"
            )

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return int(self._index.d)

    def __len__(self) -> int:
        """Vectors in the segment."""
        return int(self._index.ntotal)

    def search(
        self, queries: NDArray[np.float32], count: int, *, recall: float = 1.0, passing: NDArray[np.uint8] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The rows of the highest dot products, as `SegmentVectors.search` says. Always exact: ``recall`` changes nothing.

        Of rows with equal scores the first come first, also where the last of them no longer fit.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        rows = np.full((len(queries), count), -1, np.int64)
        scores = np.full((len(queries), count), -np.inf, np.float32)
        params = None if passing is None else faiss.SearchParameters(sel=bitmap_selector(passing, len(self)))
        for begin in range(0, len(queries), _MAX_QUERIES):
            part = queries[begin : begin + _MAX_QUERIES]
            for number, found in enumerate(self._candidates(part, count, params), begin):
                best, of_best = self.ranked(queries[number], found, count)
                rows[number, : len(best)], scores[number, : len(best)] = best, of_best
        return rows, scores

    def _candidates(self, queries: NDArray[np.float32], count: int, params: Any) -> list[NDArray[np.int64]]:
        """The rows of the ``count`` highest scores of each query, and all that have the last of these scores too."""
        if not len(self) or not count:
            return [np.empty(0, np.int64) for _ in queries]
        asked = min(count + 1, len(self))
        while True:
            scores, rows = self._index.search(queries, asked, params=params)
            tied = (rows[:, -1] >= 0) & (scores[:, -1] == scores[:, min(count, asked) - 1])
            if asked == len(self) or not tied.any():
                return [of_query[of_query >= 0] for of_query in rows]
            asked = min(4 * asked, len(self))

    def ranked(
        self, query: NDArray[np.float32], rows: NDArray[np.int64], count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The ``count`` best of these ``rows``, by `scores_at`, best first and equal ones by row; and their scores."""
        rows = np.sort(rows)
        (scores,) = self.scores_at(rows, query[None])
        best = np.argsort(-scores, kind="stable")[:count]
        return rows[best], scores[best]

    def vectors_at(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32 [n, dim], the vectors in these rows, copied."""
        if not len(rows):
            return np.empty((0, self.dim), np.float32)
        return np.asarray(self._index.reconstruct_batch(np.ascontiguousarray(rows, np.int64)), np.float32)

    def scores_at(self, rows: NDArray[np.int64], queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [queries, n], the dot product of each query with the vector in each of these ``rows``."""
        scores = np.empty((len(queries), len(rows)), np.float32)
        for begin in range(0, len(rows), _BLOCK):
            vectors = self.vectors_at(rows[begin : begin + _BLOCK])
            scores[:, begin : begin + _BLOCK] = _products(queries, faiss.swig_ptr(vectors), len(vectors))
        return scores

    def scores(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [queries, len], likewise with all vectors, by row. A pass over the file: 20 GB for 10 million of 512."""
        if isinstance(self._index, faiss.IndexFlat):
            return _products(queries, self._index.get_xb(), len(self))
        scores = np.empty((len(queries), len(self)), np.float32)
        for begin in range(0, len(self), _BLOCK):
            vectors = self._index.reconstruct_n(begin, min(_BLOCK, len(self) - begin))
            scores[:, begin : begin + _BLOCK] = _products(queries, faiss.swig_ptr(vectors), len(vectors))
        return scores

    @property
    def index(self) -> Any:
        """The FAISS index, for others to search in."""
        return self._index


def _products(queries: NDArray[np.float32], vectors: Any, count: int) -> NDArray[np.float32]:
    """float32 [queries, count], dot products with the ``count`` vectors that FAISS's pointer ``vectors`` points to.

    By FAISS's kernel: vectors in a mapped file are not aligned as NumPy needs them, which makes NumPy many times slower.
    """
    queries = np.ascontiguousarray(queries, np.float32)
    products = np.zeros((len(queries), count), np.float32)
    if count:
        for query, of_query in zip(queries, products, strict=True):
            faiss.fvec_inner_products_ny(faiss.swig_ptr(of_query), faiss.swig_ptr(query), vectors, queries.shape[1], count)
    return products


def bitmap_selector(passing: NDArray[np.uint8], rows: int) -> Any:
    """FAISS's selector of the rows whose bit is set: uint8 [ceil(rows / 8)], the lowest bit first."""
    if passing.dtype != np.uint8 or len(passing) != (rows + 7) // 8:
        raise ValueError(f"passing is {passing.dtype} [{len(passing)}], expected uint8 [{(rows + 7) // 8}]")
    return faiss.IDSelectorBitmap(np.ascontiguousarray(passing))


def read_index(path: Path) -> Any:
    """The FAISS index in a file, its vectors mapped into memory where the kind of index allows.

    Raises:
        LibraryError: the file is missing or is not a FAISS index.
    """
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as exc:
        raise LibraryError(f"--library: {str(path)!r} cannot be read as an index; run the ingest again") from exc


def write_flat(path: Path, empty: Any, batches: Iterable[NDArray[np.float32]]) -> int:
    """Write vectors as FAISS would write its index of them, a batch at a time, and return how many.

    Args:
        path: the file to write.
        empty: the index, trained and without vectors: an `IndexFlat` or an `IndexScalarQuantizer`.
        batches: float32 [n, dim].

    Raises:
        LibraryError: the file cannot be written.
    """
    header = bytearray(faiss.serialize_index(empty).tobytes())  # ends with the size of the codes, uint64, as yet 0
    total = 0
    try:
        with path.open("wb") as stream:
            stream.write(header)
            for batch in batches:
                if len(batch):
                    stream.write(empty.sa_encode(np.ascontiguousarray(batch, np.float32)).data)
                total += len(batch)
            unit = 4 if isinstance(empty, faiss.IndexFlat) else 1  # an IndexFlat counts floats
            header[_TOTAL_AT : _TOTAL_AT + 8] = total.to_bytes(8, "little")
            header[-8:] = (total * empty.code_size // unit).to_bytes(8, "little")
            stream.seek(0)
            stream.write(header)
    except OSError as exc:
        raise LibraryError(f"--library: the index {str(path)!r} cannot be written: {exc.strerror}") from exc
    return total
