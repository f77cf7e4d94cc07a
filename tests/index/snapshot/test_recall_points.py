from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from index.snapshot.compressed_build import open_compressed, write_compressed
from index.snapshot.compressed_vectors import FP16_FILE, MEASURED, CompressedVectors, cost_ns
from index.snapshot.flat_vectors import FlatVectors, faiss
from index.snapshot.recall_points import Truth, choose_points, made_up_texts, tuning_truth

ROWS, DIM, LISTS = 12_000, 24, 24


class Case(NamedTuple):
    """A segment, and queries with what is best for them."""

    vectors: CompressedVectors
    truth: Truth


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("segment")
    rng = np.random.default_rng(2)
    clips = np.repeat(rng.normal(size=(ROWS // 40, DIM)), 40, axis=0) + 0.8 * rng.normal(size=(ROWS, DIM))
    vectors_of_clips = (clips / np.linalg.norm(clips, axis=1, keepdims=True)).astype(np.float32)
    info = write_compressed(folder, DIM, [vectors_of_clips], lists=LISTS, num_tuning=10)
    vectors = open_compressed(folder, info)
    exact = FlatVectors(folder / FP16_FILE, dim=DIM, rows=ROWS)
    truth = tuning_truth(exact, made_up_texts(vectors_of_clips, 60, seed=1), 60, seed=1)
    for begin in range(0, ROWS, 5_000):
        truth.add(begin, vectors.vectors_at(np.arange(begin, min(begin + 5_000, ROWS))))
    return Case(vectors, truth)


def recall_of(case: Case, probes: int, candidates: int) -> list[NDArray[np.float64]]:
    """float64 [queries] of texts and of clips: the share of the ten best among those that a search finds."""
    of_texts, _ = case.vectors.search_with(case.truth.texts, MEASURED, probes, candidates)
    of_clips = [
        case.vectors.search_with(clip[None], MEASURED, probes, candidates, case.truth.passing(number, ROWS))[0][0]
        for number, clip in enumerate(case.truth.clips)
    ]

    def shares(found: Sequence[NDArray[np.int64]] | NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.array([np.isin(best[:10], rows[:10]).mean() for rows, best in zip(found, wanted, strict=True)])

    return [shares(of_texts, case.truth.best_for_texts()), shares(of_clips, case.truth.best_for_clips())]


def test_chosen_settings_reach_their_recall_by_more_than_chance(case: Case) -> None:
    points = choose_points(case.vectors, case.truth)
    assert [point.recall for point in points] == [0.95, 0.99]
    for point in points:
        of_texts, of_clips = recall_of(case, point.probes, point.candidates)
        assert (point.texts_at_10, point.clips_at_10) == (round(of_texts.mean(), 4), round(of_clips.mean(), 4))
        for of_kind in (of_texts, of_clips):
            assert of_kind.mean() - of_kind.std() / np.sqrt(len(of_kind)) >= point.recall


def test_no_setting_a_fifth_cheaper_reaches_the_recall(case: Case) -> None:
    for point in choose_points(case.vectors, case.truth):
        limit = 0.8 * cost_ns(ROWS, point.probes / LISTS, point.candidates)
        for probes in range(1, LISTS + 1):
            for candidates in (300, 500, 800, 1_300, 2_100, 3_400, 5_500):
                if cost_ns(ROWS, probes / LISTS, candidates) < limit:
                    recalls = recall_of(case, probes, candidates)
                    assert min(of.mean() - 1.28 * of.std() / np.sqrt(len(of)) for of in recalls) < point.recall


def test_the_nearest_lists_are_those_that_a_search_looks_into(case: Case) -> None:
    lists = case.vectors.lists_of_rows()
    nearest = case.vectors.lists_by_nearness(case.truth.texts)
    assert np.sort(nearest, axis=1).tolist() == [list(range(LISTS))] * len(case.truth.texts)
    for probes in (1, 5, LISTS):
        found = case.vectors.candidates_by_codes(case.truth.texts, ROWS, probes)
        for rows, of_query in zip(found, nearest, strict=True):
            held = np.flatnonzero(np.isin(lists, of_query[:probes]))
            assert np.sort(rows[rows >= 0]).tolist() == held.tolist()
