"""Candidates: which clips may answer a question, before any of them is scored.

In a small library every clip is a candidate. In a large one they are the clips nearest to the texts and examples, found
by FAISS. The videos of the best of them are scored, and the moments with the highest scores are the answer. Backgrounds and
confidence do not depend on the candidates: they come from a sample of the library (`index.snapshot.sample`).

With candidates, what is exact and what is not: the scores, the backgrounds and the confidence are those of a scan of
everything. For one text or example, so is the answer, but for clips that FAISS misses (`SearchOptions.recall`): videos are
added until no video that is left out has a better clip than twice as many videos as there are answers. For several texts,
for texts that answers must not resemble, and for one thing followed by another, the best are looked for among the clips
nearest to any of the parts, and to all of them together: a clip that is far down in each of these lists is missed. Of a
video with more than `2 * AROUND` clips, those within `AROUND` clips of a candidate stand for the video.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from index.search.question import EncodedQuestion
from index.search.timeline import ClipTimeline, timeline_of
from index.snapshot.clips import SnapshotClips
from schemas.search import SearchOptions

SCANNED_CLIPS = 200_000
"""A library of up to so many clips is scanned as a whole, which takes about 7 ms per 100,000 clips of 512 dimensions."""

AROUND = 512
"""Clips before and after a candidate that are scored with it, of a video with more than twice as many."""

MOST_RANKED = 16_384
"""Who asks for more clips than this gets a scan as well: FAISS is made to find a few."""

_MIN_NEAREST = 200
_MAX_NEAREST = 65_536
_DEEPER = 4
_VIDEOS_PER_ANSWER = 2
_VIDEOS_PER_PAIR = 8

Rows = NDArray[np.int64]
Score = Callable[[EncodedQuestion, ClipTimeline], NDArray[np.float64]]


class CandidateStage(Protocol):
    """Finds the clips that may answer a question."""

    def rows(self, question: EncodedQuestion, passing: NDArray[np.bool_] | None, count: int) -> Rows | None:
        """Rows of candidates in the snapshot.

        Args:
            question: the vectors of the texts and examples.
            passing: bool [rows of the snapshot], which clips meet the question's condition; None where it has none.
            count: how many candidates are wanted; there are fewer only where fewer clips pass.

        Returns:
            int64 [any], in any order, each once; None for all clips of the library.
        """


class AllClips:
    """The dense scan: every clip is a candidate, so no answer is missed, and every clip is scored."""

    def rows(self, question: EncodedQuestion, passing: NDArray[np.bool_] | None, count: int) -> Rows | None:
        """None: all clips."""
        return None


@dataclass(frozen=True, slots=True, eq=False)
class NearestClips:
    """The clips nearest to each text and example, and to their mean, as FAISS finds them.

    Attributes:
        clips: of the snapshot.
        recall: share of the ten nearest that are to be among them, on average; 1 is exact.
    """

    clips: SnapshotClips
    recall: float

    def rows(self, question: EncodedQuestion, passing: NDArray[np.bool_] | None, count: int) -> Rows:
        """The nearest ``count`` clips of each."""
        queries = question.wanted
        if len(queries) > 1:
            queries = np.concatenate([queries, queries.mean(axis=0, keepdims=True)])
        rows, _ = self.clips.search(queries, count, recall=self.recall, passing=passing)
        return np.unique(rows[rows >= 0])


def stage_for(clips: SnapshotClips, options: SearchOptions) -> CandidateStage:
    """The stage that suits a library's size and the number of answers."""
    if len(clips) <= SCANNED_CLIPS or max(options.k, options.rerank) > MOST_RANKED:
        return AllClips()
    return NearestClips(clips, options.recall)


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The clips that are scored: the candidates and their neighbours, since moments grow over these.

    Attributes:
        timeline: these clips.
        passing: bool [n], which of them meet the question's condition, and may be part of an answer.
    """

    timeline: ClipTimeline
    passing: NDArray[np.bool_]


def find_candidates(
    stage: CandidateStage,
    questions: Sequence[EncodedQuestion],
    clips: SnapshotClips,
    passing: NDArray[np.bool_] | None,
    options: SearchOptions,
    score: Score,
) -> Candidates | None:
    """The clips to be scored for all of ``questions``; None for all clips of the library.

    Args:
        stage: finds the candidates of one question.
        questions: the question; for one thing followed by another, the two.
        clips: of the snapshot.
        passing: bool [rows of the snapshot], which clips meet the condition; None where there is none.
        options: of the search.
        score: gives the scores float64 [n] of the clips of a timeline for a question.
    """
    num_passing = len(clips) if passing is None else int(np.count_nonzero(passing))
    best = max(options.rerank, options.k)
    depth = max(_MIN_NEAREST, 4 * best)
    while True:
        of_questions = []
        for question in questions:
            rows = stage.rows(question, passing, depth)
            if rows is None:
                return None
            timeline = timeline_of(clips, rows)
            of_questions.append((timeline, score(question, timeline)))
        seeds, enough = _seeds(of_questions, best, options.k)
        if enough or depth >= min(num_passing, _MAX_NEAREST):
            break
        depth *= _DEEPER
    timeline = timeline_of(clips, clips.rows_around(seeds, AROUND))
    return Candidates(timeline, clips.live[timeline.rows] if passing is None else passing[timeline.rows])


def _seeds(of_questions: Sequence[tuple[ClipTimeline, NDArray[np.float64]]], best: int, k: int) -> tuple[Rows, bool]:
    """Rows of the candidates whose videos are scored, and whether they are of enough videos.

    Those of one question are its best candidates: ``best`` of them, and as many more as it takes for twice ``k`` videos. Of
    one thing followed by another, the candidates of the videos whose worse half is best.
    """
    if len(of_questions) == 1:
        ((timeline, scores),) = of_questions
        order = np.argsort(-scores, kind="stable")
        first = np.sort(np.unique(timeline.video[order], return_index=True)[1])
        needed = _VIDEOS_PER_ANSWER * k
        enough = len(first) >= needed
        return timeline.rows[order[: max(best, first[needed - 1] + 1 if enough else len(order))]], enough
    distinct = np.unique(np.concatenate([timeline.video for timeline, _ in of_questions]))
    worse = np.full(len(distinct), np.inf)
    for timeline, scores in of_questions:
        highest = np.full(len(distinct), scores.min(initial=np.inf))
        np.maximum.at(highest, np.searchsorted(distinct, timeline.video), scores)
        worse = np.minimum(worse, highest)
    needed = max(_VIDEOS_PER_PAIR * k, best)
    chosen = distinct[np.argsort(-worse, kind="stable")[:needed]]
    rows = [timeline.rows[np.isin(timeline.video, chosen)] for timeline, _ in of_questions]
    return np.unique(np.concatenate(rows)), len(distinct) >= needed
