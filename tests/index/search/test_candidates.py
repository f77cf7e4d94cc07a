"""Another candidate stage than the dense scan answers alike; backgrounds and confidence do not depend on it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from index.search.question import EncodedQuestion
from index.search.searcher import Searcher
from index.snapshot.clips import SnapshotClips
from jobs.evaluate.latency import index_recall
from schemas.search import Answer, SearchOptions
from tests.helpers.made_library import Made, WordEmbedder, background, embedder, make_library

__all__ = ["embedder"]


@dataclass
class Nearest:
    """Gives the clips nearest to any of what is wanted, as an approximate index would, and notes what it was asked."""

    clips: SnapshotClips
    count: int
    asked: list[tuple[int | None, int]] = field(default_factory=list)

    def rows(self, question: EncodedQuestion, passing: NDArray[np.bool_] | None, count: int) -> NDArray[np.int64] | None:
        self.asked.append((None if passing is None else int(passing.sum()), count))
        allowed = np.arange(len(self.clips)) if passing is None else np.flatnonzero(passing)
        scores = self.clips.scores(question.wanted).max(axis=0)[allowed]
        return allowed[np.argsort(-scores, kind="stable")[: self.count]]


@pytest.fixture
def library(tmp_path: Path, embedder: WordEmbedder) -> Path:
    """Film a jumps at 8-16 and 28-32 s, and is red from 12 s on; film b is a kitchen with a jump; others answer nothing."""
    jumping = [0.0, 0.1, 0.6, 0.59, 0.1, 0.0, 0.0, 0.4, 0.0]
    red = [0.0, 0.0, 0.0, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]
    film = [Made(i, "a", 4.0 * i, 4.0 * i + 4, {"jumping": jumping[i], "red": red[i]}) for i in range(9)]
    kitchen = [Made(20 + i, "b", 4.0 * i, 4.0 * i + 4, {"kitchen": 0.5, "jumping": 0.5 * (i == 1)}) for i in range(4)]
    return make_library(tmp_path / "library", [*film, *kitchen, *background(40)])


def search(library: Path, count: int, **options: Any) -> tuple[Answer, Nearest]:
    searcher = Searcher(library)
    stage = Nearest(searcher.snapshot.clips(), count)
    searcher = Searcher(library, candidates=stage)
    return searcher.search(SearchOptions(**{"rerank": 0, "k": 3, **options})), stage


@pytest.mark.parametrize(
    "options",
    [
        {"texts": ("jumping",)},
        {"texts": ("jumping",), "by": "clip"},
        {"texts": ("jumping",), "by": "video", "k": 2},
        {"texts": ("jumping", "red"), "k": 2},
        {"texts": ("jumping",), "without": ("red",)},
        {"texts": ("red",), "like": ("2",), "k": 1},
        {"like": ("2",), "k": 2},
        {"texts": ("jumping",), "then_text": "red", "k": 1},
        {"texts": ("jumping",), "where": "start_s >= 4"},
    ],
)
def test_candidates_that_hold_the_best_clips_give_the_same_answer(library: Path, options: dict[str, Any]) -> None:
    """Moments, scores and confidences: moments grow over neighbours that are no candidates themselves."""
    few, _ = search(library, 3, **options)
    expected = Searcher(library).search(SearchOptions(**{"rerank": 0, "k": 3, **options}))
    assert len(few.moments) == len(expected.moments) > 0
    for moment, dense in zip(few.moments, expected.moments, strict=True):
        assert replace(moment, score=0.0, confidence=0.0, parts=()) == replace(dense, score=0.0, confidence=0.0, parts=())
        assert (moment.score, moment.confidence) == pytest.approx((dense.score, dense.confidence), abs=1e-6)
        assert [(part.clip_id, part.start_s, part.end_s) for part in moment.parts] == [
            (part.clip_id, part.start_s, part.end_s) for part in dense.parts
        ]
    assert (few.clips, few.passed, few.stands_out) == (expected.clips, expected.passed, True)


def test_a_stage_is_told_the_condition_and_how_many_clips_are_ranked(library: Path) -> None:
    _, stage = search(library, 3, texts=("jumping",), where="start_s < 8", k=7)
    assert stage.asked == [(44, 200)]  # two clips of each film, and 40 of the background
    _, stage = search(library, 3, texts=("jumping",), then_text="red", rerank=500)
    assert stage.asked == [(None, 2000), (None, 2000)]


def test_what_is_no_candidate_is_not_answered(library: Path) -> None:
    answer, _ = search(library, 2, texts=("jumping",), k=10)
    assert {moment.video_id for moment in answer.moments} == {"a"}
    answer, _ = search(library, 0, texts=("jumping",), k=10)
    assert answer == Answer((), 53, 53, 0.0, False)


def test_recall_is_that_of_the_candidates(library: Path) -> None:
    """Of the ten best for jumping, those of film a and b; the truth comes from the tables."""
    stored = Searcher(library)
    vectors = stored.snapshot.clips()
    assert index_recall(library, stored, ["jumping", "red"]) == (1.0, 2)
    one_film = Searcher(library, candidates=Nearest(vectors, 1))
    recall, queries = index_recall(library, one_film, ["jumping"])
    assert queries == 1
    assert recall == pytest.approx(0.5)
