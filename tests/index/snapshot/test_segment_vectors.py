from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from index.snapshot.flat_vectors import FlatVectors
from index.snapshot.segment_vectors import SegmentVectors, open_vectors, write_vectors
from schemas.errors import LibraryError


def unit(rng: np.random.Generator, count: int, dim: int) -> NDArray[np.float32]:
    """Random vectors of length 1."""
    vectors = rng.normal(size=(count, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def written(folder: Path, vectors: NDArray[np.float32]) -> SegmentVectors:
    """The vectors, written in batches of 700 and opened."""
    batches = (vectors[at : at + 700] for at in range(0, len(vectors), 700))
    return open_vectors(folder, write_vectors(folder, vectors.shape[1], batches))


def best(scores: NDArray[np.float32], count: int, passes: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """The rows of the highest scores that pass, best first, the first of equal ones first."""
    rows = np.arange(len(scores)) if passes is None else np.flatnonzero(passes)
    return rows[np.argsort(-scores[rows], kind="stable")[:count]]


def test_flat_scores_are_dot_products_and_searches_give_the_highest(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors, queries = unit(rng, 3000, 24), unit(rng, 40, 24)
    new = written(tmp_path, vectors)
    assert (len(new), new.dim) == (3000, 24)
    expected = new.scores(queries)
    assert np.abs(expected - queries.astype(np.float64) @ vectors.T.astype(np.float64)).max() < 1e-6
    rows, scores = new.search(queries, 12, recall=0.95)
    for query in range(40):
        assert rows[query].tolist() == best(expected[query], 12).tolist()
        assert (scores[query] == expected[query, rows[query]]).all()
    some = np.array([2999, 0, 17])
    assert (new.vectors_at(some) == vectors[some]).all()
    assert (new.scores_at(some, queries) == expected[:, some]).all()


def test_of_equal_scores_the_first_rows_come_first(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    vectors = unit(rng, 4, 8)[rng.integers(0, 4, 1000)]
    index = written(tmp_path, vectors)
    (rows,), _ = index.search(vectors[:1], 10, recall=1.0)
    assert rows.tolist() == best(index.scores(vectors[:1])[0], 10).tolist()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.05, 0.5, 1.0])
def test_a_filter_gives_the_best_of_what_passes(tmp_path: Path, share: float) -> None:
    rng = np.random.default_rng(2)
    vectors, queries = unit(rng, 2001, 16), unit(rng, 5, 16)
    passes = rng.random(2001) < share
    index = written(tmp_path, vectors)
    rows, scores = index.search(queries, 10, recall=1.0, passing=np.packbits(passes, bitorder="little"))
    for query, dense in enumerate(index.scores(queries)):
        expected = best(dense, 10, passes)
        assert rows[query].tolist() == [*expected, *[-1] * (10 - len(expected))]
        assert scores[query].tolist() == [*dense[expected], *[-np.inf] * (10 - len(expected))]


def test_no_vectors_and_fewer_than_asked_for(tmp_path: Path) -> None:
    empty = written(tmp_path, np.empty((0, 4), np.float32))
    assert empty.search(np.ones((1, 4), np.float32), 2, recall=1.0)[0].tolist() == [[-1, -1]]
    assert empty.scores(np.ones((2, 4), np.float32)).shape == (2, 0)
    assert empty.vectors_at(np.empty(0, np.int64)).shape == (0, 4)
    two = written(tmp_path, np.eye(4, dtype=np.float32)[:2])
    assert two.search(np.array([[0, 1, 0, 0]], np.float32), 3, recall=1.0)[0].tolist() == [[1, 0, -1]]


def test_vectors_in_memory_are_asked_as_those_in_a_file(tmp_path: Path) -> None:
    vectors = unit(np.random.default_rng(4), 300, 16)
    kept, file = FlatVectors.of(vectors), written(tmp_path, vectors)
    assert (len(kept), kept.dim) == (300, 16)
    assert (kept.vectors_at(np.array([299, 0])) == vectors[[299, 0]]).all()
    assert (kept.scores(vectors[:3]) == file.scores(vectors[:3])).all()
    for few in (None, np.packbits(np.arange(300) % 50 == 0, bitorder="little")):
        rows, scores = kept.search(vectors[:3], 4, passing=few)
        rows_in_file, scores_in_file = file.search(vectors[:3], 4, recall=1.0, passing=few)
        assert (rows == rows_in_file).all()
        assert (scores == scores_in_file).all()
    assert FlatVectors.of(vectors[:0]).search(vectors[:1], 2)[0].tolist() == [[-1, -1]]


def test_a_filter_of_another_size_is_refused(tmp_path: Path) -> None:
    index = written(tmp_path, np.eye(9, dtype=np.float32))
    with pytest.raises(ValueError, match=r"passing is uint8 \[1\], expected uint8 \[2\]"):
        index.search(np.ones((1, 9), np.float32), 2, recall=1.0, passing=np.zeros(1, np.uint8))


def test_damaged_files_are_errors(tmp_path: Path) -> None:
    vectors = unit(np.random.default_rng(3), 500, 8)
    info = write_vectors(tmp_path, 8, [vectors])
    with pytest.raises(LibraryError, match=r"holds 500 vectors of 8 dimensions, expected 501 of 8; run the ingest again"):
        open_vectors(tmp_path, info | {"rows": 501})
    with pytest.raises(LibraryError, match="are of kind 'new', expected flat"):
        open_vectors(tmp_path, info | {"kind": "new"})
    file = tmp_path / info["files"][0]
    whole = file.read_bytes()
    for content in (b"no index", whole[:-1], whole[:40], b""):
        file.write_bytes(content)
        with pytest.raises(LibraryError, match="cannot be read as an index; run the ingest again"):
            open_vectors(tmp_path, info)
    file.unlink()
    with pytest.raises(LibraryError, match="cannot be read as an index"):
        open_vectors(tmp_path, info)
