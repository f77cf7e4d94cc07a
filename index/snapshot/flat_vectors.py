"""Vectors one behind the other in a FAISS file that is mapped into memory: as fp32, fp16 or int8, searched without loss.

The file is one that FAISS writes and reads. It is made a batch at a time, though, since FAISS would hold all of it.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

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

Part = TypeVar("Part")
Result = TypeVar("Result")

# FAISS answers 20 queries or more by matrix products, whose sums are rounded otherwise than those of single products.
MANY_QUERIES = 16
"""Queries that a flat index is asked at a time, and from which on FAISS's own threads share them: fewer gain nothing by
threads, which wait in loops on a busy machine."""

# Vectors decoded at a time; 2 MB of 512 dimensions.
_BLOCK = 1_024

# Rows of which some are touched first, how many, and what takes longer was read from disk: 2 us a row in memory, 40 on disk.
_MANY_ROWS, _PROBED, _FROM_MEMORY_S = 256, 16, 15e-6

FOUND_NS, _SCANNED_NS, _PASSED_NS = 1_000, 300, 2.3
"""Nanoseconds on one core, of 512 dimensions: of scoring a row found by its number; and in a scan of all rows that asks of
each whether it passes, of scoring one, and of asking."""

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
        check_holds(self._index, path, rows, dim)
        size = int(self._index.code_size)
        with path.open("rb") as stream:
            file = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        file.madvise(mmap.MADV_RANDOM)  # else 128 KB are read for each vector that is not in memory
        self._file: mmap.mmap | None = file
        self._begin = len(file) - rows * size  # the vectors are the last in the file
        self._codes = np.frombuffer(file, np.uint8, rows * size, self._begin).reshape(rows, size)

    @classmethod
    def of(cls, vectors: NDArray[np.float32]) -> FlatVectors:
        """Vectors float32 [n, dim], copied and kept in memory."""
        flat = cls.__new__(cls)
        flat._file = None
        flat._index = faiss.IndexFlatIP(vectors.shape[1])
        flat._index.add(np.ascontiguousarray(vectors, np.float32))
        values = faiss.rev_swig_ptr(flat._index.get_xb(), vectors.size)
        flat._codes = values.view(np.uint8).reshape(len(vectors), flat._index.code_size)
        return flat

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
        for number, found in enumerate(self._found(queries, count, passing)):
            best, of_best = self.ranked(queries[number], found, count)
            rows[number, : len(best)], scores[number, : len(best)] = best, of_best
        return rows, scores

    def _found(
        self, queries: NDArray[np.float32], count: int, passing: NDArray[np.uint8] | None
    ) -> Iterator[NDArray[np.int64]]:
        """For each query rows that hold the best: all that pass where these are few, else those that FAISS finds."""
        params = None
        if passing is not None:
            selector = bitmap_selector(passing, len(self))
            if (num_passing := count_passing(passing)) * FOUND_NS < scan_cost_ns(len(self), num_passing):
                yield from [passing_rows(passing)] * len(queries)
                return
            params = faiss.SearchParameters(sel=selector)
        for begin in range(0, len(queries), MANY_QUERIES):
            yield from self._candidates(queries[begin : begin + MANY_QUERIES], count, params)

    def _candidates(self, queries: NDArray[np.float32], count: int, params: Any) -> list[NDArray[np.int64]]:
        """The rows of the ``count`` highest scores of each query, and all that have the last of these scores too."""
        if not len(self) or not count:
            return [np.empty(0, np.int64) for _ in queries]
        asked = min(count + 1, len(self))
        while True:
            with threads_for(len(queries)):
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
        self._ask_for(rows)
        with threads_for(1):
            return np.asarray(self._index.sa_decode(self._codes[rows]), np.float32)

    def _ask_for(self, rows: NDArray[np.int64]) -> None:
        """Have the disk read these rows side by side, where a few of them show that they are not in memory.

        One behind the other, as they are touched, would take several times as long.
        """
        if self._file is None or len(rows) < _MANY_ROWS:
            return
        few = rows[:: len(rows) // _PROBED]
        began = time.perf_counter()
        self._codes[few].max()
        if time.perf_counter() - began < len(few) * _FROM_MEMORY_S:
            return
        size = self._codes.shape[1]
        for page in np.unique((self._begin + rows * size) // mmap.PAGESIZE).tolist():
            begin = page * mmap.PAGESIZE
            self._file.madvise(mmap.MADV_WILLNEED, begin, min(size + mmap.PAGESIZE, len(self._file) - begin))

    def scores_at(self, rows: NDArray[np.int64], queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [queries, n], the dot product of each query with the vector in each of these ``rows``."""

        def of_block(begin: int) -> NDArray[np.float32]:
            vectors = self.vectors_at(rows[begin : begin + _BLOCK])
            return _products(queries, faiss.swig_ptr(vectors), len(vectors))

        blocks = in_threads(of_block, range(0, len(rows), _BLOCK))
        return np.concatenate(blocks, axis=1) if blocks else np.empty((len(queries), 0), np.float32)

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


def scan_cost_ns(rows: int, num_passing: int) -> float:
    """What a scan of all ``rows`` costs that scores those that pass."""
    return rows * _PASSED_NS + num_passing * _SCANNED_NS


def count_passing(passing: NDArray[np.uint8]) -> int:
    """How many bits are set."""
    return int(np.bitwise_count(passing).sum(dtype=np.int64))


def passing_rows(passing: NDArray[np.uint8]) -> NDArray[np.int64]:
    """int64 [n], ascending: the rows whose bits are set; fast where these are few."""
    filled = np.flatnonzero(passing)
    byte, bit = np.nonzero(np.unpackbits(passing[filled, None], axis=1, bitorder="little"))
    return filled[byte] * 8 + bit


def bitmap_selector(passing: NDArray[np.uint8], rows: int) -> Any:
    """FAISS's selector of the rows whose bit is set: uint8 [ceil(rows / 8)], the lowest bit first."""
    if passing.dtype != np.uint8 or len(passing) != (rows + 7) // 8:
        raise ValueError(f"passing is {passing.dtype} [{len(passing)}], expected uint8 [{(rows + 7) // 8}]")
    return faiss.IDSelectorBitmap(np.ascontiguousarray(passing))


def read_index(path: Path, *, mapped: bool = True) -> Any:
    """The FAISS index in a file, its vectors ``mapped`` into memory where the kind of index allows.

    What is read as a whole is read faster without: FAISS asks for a mapped file page by page.

    Raises:
        LibraryError: the file is missing or is not a FAISS index.
    """
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if mapped else 0)
    except RuntimeError as exc:
        raise LibraryError(f"{str(path)!r} cannot be read as an index; run the ingest again") from exc


@contextmanager
def threads_for(queries: int) -> Iterator[None]:
    """Let FAISS answer fewer than `MANY_QUERIES` with one thread."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1 if queries < MANY_QUERIES else before)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def in_threads(work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """What ``work`` gives for each part, by as many threads as FAISS may use; FAISS and NumPy let them run side by side."""
    threads = min(len(parts), faiss.omp_get_max_threads())
    if threads < 2:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, parts))


def check_holds(index: Any, path: Path, rows: int, dim: int) -> None:
    """Refuse an index, read from ``path``, that does not hold ``rows`` vectors of ``dim`` dimensions.

    Raises:
        LibraryError: it holds others.
    """
    holds = (int(index.ntotal), int(index.d))
    if holds != (rows, dim):
        raise LibraryError(
            f"{str(path)!r} holds {holds[0]} vectors of {holds[1]} dimensions, expected {rows} of {dim}; "
            "run the ingest again"
        )


class FlatWriter:
    """Writes vectors as FAISS would write its index of them, a batch at a time; to be used in a ``with`` statement."""

    def __init__(self, path: Path, empty: Any) -> None:
        """Write to ``path``; ``empty`` is the index, trained, without vectors: an IndexFlat or an IndexScalarQuantizer."""
        self._path, self._empty = path, empty
        self._header = bytearray(faiss.serialize_index(empty).tobytes())  # ends with the size of what follows, as yet 0
        self.total = 0

    def __enter__(self) -> FlatWriter:
        """Open the file."""
        with self._explained():
            self._stream = self._path.open("wb")
            self._stream.write(self._header)
        return self

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Append vectors float32 [n, dim].

        Raises:
            LibraryError: the file cannot be written.
        """
        if len(vectors):
            with self._explained():
                self._stream.write(self._empty.sa_encode(np.ascontiguousarray(vectors, np.float32)).data)
            self.total += len(vectors)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Say in the header how many vectors there are, and close the file."""
        with self._stream, self._explained():
            unit = 4 if isinstance(self._empty, faiss.IndexFlat) else 1  # an IndexFlat counts its floats, others bytes
            self._header[_TOTAL_AT : _TOTAL_AT + 8] = self.total.to_bytes(8, "little")
            self._header[-8:] = (self.total * self._empty.code_size // unit).to_bytes(8, "little")
            if kind is None:
                self._stream.seek(0)
                self._stream.write(self._header)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of writing into those of the library."""
        try:
            yield
        except OSError as exc:
            raise LibraryError(f"the index {str(self._path)!r} cannot be written: {exc.strerror}") from exc
