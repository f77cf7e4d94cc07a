from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from index.snapshot.vectors import VectorIndex, write_vectors
from schemas.errors import LibraryError


def nearest(index: VectorIndex, query: NDArray[np.float32], k: int) -> list[tuple[int, float]]:
    """The ``k`` clips of the highest dot product, best first, with it."""
    (scores,) = index.scores(query[None])
    best = np.argsort(-scores, kind="stable")[:k]
    return list(zip(index.ids()[best].tolist(), scores[best].tolist(), strict=True))


def test_scores_give_the_true_nearest_with_their_own_ids(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(500, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = rng.integers(0, 2**63 - 1, 500)
    halves = [(ids[:200], vectors[:200]), (ids[200:], vectors[200:])]
    assert write_vectors(tmp_path / "i.faiss", 16, halves) == 500
    index = VectorIndex(tmp_path / "i.faiss")
    assert (len(index), index.dim) == (500, 16)
    for query in vectors[:20]:
        scores = vectors @ query
        best = np.argsort(-scores)[:10]
        found = nearest(index, query, 10)
        assert [clip_id for clip_id, _ in found] == ids[best].tolist()
        assert [score for _, score in found] == pytest.approx(scores[best].tolist(), abs=1e-6)


def test_fewer_vectors_than_asked_for(tmp_path: Path) -> None:
    write_vectors(tmp_path / "i.faiss", 4, [(np.array([7, 9]), np.eye(4, dtype=np.float32)[:2])])
    assert nearest(VectorIndex(tmp_path / "i.faiss"), np.array([0, 1, 0, 0], np.float32), 10) == [(9, 1.0), (7, 0.0)]


def test_an_empty_index_finds_nothing(tmp_path: Path) -> None:
    write_vectors(tmp_path / "i.faiss", 4, [])
    assert nearest(VectorIndex(tmp_path / "i.faiss"), np.zeros(4, np.float32), 10) == []


def test_a_file_that_is_no_index_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "i.faiss").write_bytes(b"no index")
    with pytest.raises(LibraryError, match="cannot be read as an index; run the ingest again"):
        VectorIndex(tmp_path / "i.faiss")
    with pytest.raises(LibraryError, match="cannot be read as an index"):
        VectorIndex(tmp_path / "missing.faiss")


def test_all_scores_are_by_row_and_rows_are_found_by_id(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 8)).astype(np.float32)
    ids = rng.permutation(np.arange(0, 3000, 10))
    write_vectors(tmp_path / "i.faiss", 8, [(ids, vectors)])
    index = VectorIndex(tmp_path / "i.faiss")
    assert (index.vectors_at(np.array([3, 299, 0])) == vectors[[3, 299, 0]]).all()
    assert index.scores(vectors[:3]) == pytest.approx(vectors[:3] @ vectors.T, abs=1e-5)
    assert index.scores_at(np.array([3, 299, 0]), vectors[:2]) == pytest.approx(
        vectors[:2] @ vectors[[3, 299, 0]].T, abs=1e-5
    )
    assert index.rows_of(ids[[7, 0, 299]]).tolist() == [7, 0, 299]
    assert index.rows_of(np.array([-1, 5, 2991, ids[1]])).tolist() == [-1, -1, -1, 1]


def test_an_empty_index_has_no_scores(tmp_path: Path) -> None:
    write_vectors(tmp_path / "i.faiss", 4, [])
    index = VectorIndex(tmp_path / "i.faiss")
    assert index.scores(np.zeros((2, 4), np.float32)).shape == (2, 0)
    assert index.rows_of(np.array([1, 2])).tolist() == [-1, -1]
