"""The vectors of a large segment: short codes find candidates, int8 and fp16 vectors in mapped files sort them out.

    codes.faiss          64 bytes a vector and its row, in memory: principal components, rotated, in a product quantiser of
                         4 bits a piece, read by FAISS's fast-scan; in inverted lists where there are millions
    vectors.i8.faiss     one byte a dimension, mapped into memory
    vectors.f16.faiss    two bytes a dimension, mapped into memory; the vectors that scores are of

A search scans the codes of the nearest lists, scores the best of these rows by int8, the best of those by fp16. One or a few
queries are answered by two threads, each of which scans every other list.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.snapshot.flat_vectors import (
    FOUND_NS,
    MANY_QUERIES,
    FlatVectors,
    bitmap_selector,
    check_holds,
    count_passing,
    faiss,
    in_threads,
    read_index,
    scan_cost_ns,
    threads_for,
)

CODES_FILE, INT8_FILE, FP16_FILE = "codes.faiss", "vectors.i8.faiss", "vectors.f16.faiss"

EXACT_BUDGET_NS = 30e6
"""What scoring all rows that pass a filter may cost on one core before codes are asked instead."""

# Nanoseconds on one core of scanning the codes of a vector, and of scoring a candidate by int8, of 512 dimensions.
_SCAN_NS, _CANDIDATE_NS = 5.5, 500

# Parts of the lists that are scanned side by side where there are as many cores; always as many, so that the machine does
# not change what is found.
_PARTS = 2

# Rows that are scored by fp16 in the end, at least.
_MIN_FINAL = 300

MEASURED = 200
"""Rows asked for when the recall of the ten best was measured: as many as a search asks for at least. Up to so many rows,
as many candidates are scored by int8."""


def cost_ns(rows: int, share: float, candidates: int) -> float:
    """What a search of a ``share`` of the lists costs that scores so many candidates."""
    return rows * share * _SCAN_NS + candidates * _CANDIDATE_NS


class Point(NamedTuple):
    """A setting of the search, and the recall measured with it when the segment was written."""

    recall: float
    """Share of the ten best that the setting was chosen for."""
    probes: int
    """Lists that are searched."""
    candidates: int
    """Rows that are scored by int8, when up to `MEASURED` are asked for."""
    texts_at_10: float
    clips_at_10: float
    texts_at_100: float
    clips_at_100: float


class CompressedVectors:
    """Vectors of a large segment, opened for reading."""

    def __init__(self, folder: Path, *, dim: int, rows: int, points: Sequence[Point]) -> None:
        """Open the files in ``folder``; the codes are read into memory.

        Raises:
            LibraryError: a file is missing or damaged, or does not hold ``rows`` vectors of ``dim`` dimensions.
        """
        self._codes = read_index(folder / CODES_FILE, mapped=False)
        check_holds(self._codes, folder / CODES_FILE, rows, dim)
        self._int8 = FlatVectors(folder / INT8_FILE, dim=dim, rows=rows)
        self._exact = FlatVectors(folder / FP16_FILE, dim=dim, rows=rows)
        self._lists = faiss.extract_index_ivf(self._codes)
        self._points = sorted(points)

    @property
    def lists(self) -> int:
        """Inverted lists of the codes."""
        return int(self._lists.nlist)

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return self._exact.dim

    def __len__(self) -> int:
        """Vectors in the segment."""
        return len(self._exact)

    def vectors_at(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32 [n, dim], the vectors in these rows, as fp16 keeps them."""
        return self._exact.vectors_at(rows)

    def scores_at(self, rows: NDArray[np.int64], queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [queries, n], the dot product of each query with the vector in each of these ``rows``."""
        return self._exact.scores_at(rows, queries)

    def scores(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [queries, len], likewise with all vectors; a pass over all of the fp16 file."""
        return self._exact.scores(queries)

    def search(
        self, queries: NDArray[np.float32], count: int, *, recall: float, passing: NDArray[np.uint8] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The rows of the highest dot products, as `SegmentVectors.search` says.

        A recall that no setting reaches is answered by a pass over all fp16 vectors, as is 1.0. Where few rows pass, all
        of these are scored by fp16: that is exact too. Where many do, they are searched by their codes, of more lists than
        without a filter; the recall is then as measured if the filter has nothing to do with the query, and may be less
        if it keeps only what is far from it.
        """
        point = next((point for point in self._points if point.recall >= recall), None)
        if point is None or (passing is not None and self._exact_is_cheap(point, passing)):
            return self._exact.search(queries, count, passing=passing)
        return self.search_with(queries, count, point.probes, point.candidates, passing)

    def _exact_is_cheap(self, point: Point, passing: NDArray[np.uint8]) -> bool:
        """Whether scoring all rows that pass takes 30 ms at most, or no longer than a search by codes."""
        num_passing = count_passing(passing)
        exact_ns = min(num_passing * FOUND_NS, scan_cost_ns(len(self), num_passing))
        probes = self._probes_among(point.probes, num_passing)
        return exact_ns <= max(EXACT_BUDGET_NS, cost_ns(len(self), probes / self.lists, point.candidates))

    def search_with(
        self,
        queries: NDArray[np.float32],
        count: int,
        probes: int,
        candidates: int,
        passing: NDArray[np.uint8] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """`search` by these numbers of lists and candidates; by more lists where too few of their rows pass."""
        queries = np.ascontiguousarray(queries, np.float32)
        rows = np.full((len(queries), count), -1, np.int64)
        scores = np.full((len(queries), count), -np.inf, np.float32)
        available = len(self) if passing is None else count_passing(passing)
        selector = None if passing is None else bitmap_selector(passing, len(self))
        probes = self._probes_among(probes, available)
        asked = np.arange(len(queries))
        while len(asked):
            found = self._found(queries[asked], min(count, len(self)), probes, candidates, selector)
            lacking = np.array([len(of_query) < min(count, available) for of_query in found]) & (probes < self.lists)
            for number in np.flatnonzero(~lacking):
                query = asked[number]
                best, of_best = self._exact.ranked(queries[query], found[number], count)
                rows[query, : len(best)], scores[query, : len(best)] = best, of_best
            asked, probes = asked[lacking], min(4 * probes, self.lists)
        return rows, scores

    def _probes_among(self, probes: int, available: int) -> int:
        """Lists to search where ``available`` rows pass: the nearest of fewer rows lie farther away, in more lists."""
        return min(self.lists, math.ceil(probes * math.sqrt(len(self) / max(available, 1)) - 0.01))

    def _found(
        self, queries: NDArray[np.float32], count: int, probes: int, candidates: int, selector: Any
    ) -> list[NDArray[np.int64]]:
        """For each query up to ``count`` rows: the best by int8 of the best by their codes.

        For more than `MEASURED` rows, more candidates are scored by int8.
        """
        final = min(max(_MIN_FINAL, count), len(self))
        candidates = min(max(math.ceil(candidates * max(count / MEASURED, 1) ** 0.5), final), len(self))
        by_codes = self._by_codes(queries, candidates, probes, selector)
        return [
            self._int8.ranked(query, of_query[of_query >= 0], final)[0]
            for query, of_query in zip(queries, by_codes, strict=True)
        ]

    def candidates_by_codes(
        self, queries: NDArray[np.float32], count: int, probes: int, passing: NDArray[np.uint8] | None = None
    ) -> NDArray[np.int64]:
        """int64 [queries, count], the best by their codes alone, best first; -1 pads."""
        selector = None if passing is None else bitmap_selector(passing, len(self))
        return self._by_codes(np.ascontiguousarray(queries, np.float32), count, probes, selector)

    def _by_codes(self, queries: NDArray[np.float32], count: int, probes: int, selector: Any) -> NDArray[np.int64]:
        """int64 [queries, count], likewise."""
        with threads_for(len(queries)):
            reduced = self._codes.chain.at(0).apply(queries)
            nearness, lists = self._lists.quantizer.search(reduced, probes)
        if len(queries) >= MANY_QUERIES:
            return self._by_codes_of(reduced, nearness, lists, count, selector)[1]

        def of_part(part: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
            return self._by_codes_of(reduced, nearness[:, part::_PARTS], lists[:, part::_PARTS], count, selector)

        found = in_threads(of_part, range(min(_PARTS, probes)))
        scores, rows = (np.concatenate(of_parts, axis=1) for of_parts in zip(*found, strict=True))
        return np.take_along_axis(rows, np.argsort(-scores, axis=1, kind="stable")[:, :count], axis=1)

    def _by_codes_of(
        self,
        reduced: NDArray[np.float32],
        nearness: NDArray[np.float32],
        lists: NDArray[np.int64],
        count: int,
        selector: Any,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Scores and rows [queries, count], the best by their codes in these lists of each query; row -1 pads.

        Args:
            reduced: float32 [queries, coded dimensions].
            nearness: float32 [queries, lists], dot products with the lists' centres.
            lists: int64 [queries, lists].
            count: how many rows.
            selector: of the rows that pass; None for all.
        """
        nearness, lists = np.ascontiguousarray(nearness), np.ascontiguousarray(lists)
        scores = np.empty((len(reduced), count), np.float32)
        rows = np.empty((len(reduced), count), np.int64)
        params = faiss.SearchParametersIVF(sel=selector, nprobe=lists.shape[1])
        given = map(faiss.swig_ptr, (lists, nearness, scores, rows))
        with threads_for(len(reduced)):
            self._lists.search_preassigned_c(len(reduced), faiss.swig_ptr(reduced), count, *given, False, params, None)
        return scores, rows

    def lists_of_rows(self) -> NDArray[np.int32]:
        """int32 [len], the list that holds each row."""
        held = self._lists.invlists
        lists = np.empty(len(self), np.int32)
        for number in range(self.lists):
            if size := held.list_size(number):
                lists[faiss.rev_swig_ptr(held.get_ids(number), size)] = number
        return lists

    def lists_by_nearness(self, queries: NDArray[np.float32]) -> NDArray[np.int64]:
        """int64 [queries, lists], all lists in the order in which a search of each query takes them."""
        with threads_for(len(queries)):
            reduced = self._codes.chain.at(0).apply(np.ascontiguousarray(queries, np.float32))
            return np.asarray(self._lists.quantizer.search(reduced, self.lists)[1])
