"""Candidates: which clips may answer a question, before any of them is scored.

Only the clips of the candidates' videos are scored and merged into moments, and the moments with the highest scores are the
answer. Backgrounds and confidence do not depend on the candidates: they come from a sample of the library
(`index.search.sample`). So whatever implements `CandidateStage` can take the place of `AllClips`, and nothing else changes:
an approximate index may miss some of the best clips, but the scores of those that it finds stay what they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from index.search.question import EncodedQuestion
from index.search.timeline import ClipTimeline


class CandidateStage(Protocol):
    """Finds the clips that may answer a question."""

    def rows(self, question: EncodedQuestion, passing: NDArray[np.int64] | None, count: int) -> NDArray[np.int64] | None:
        """Rows of candidates in the vector index.

        Args:
            question: the vectors of the texts and examples.
            passing: int64 [m], rows of the clips that meet the question's condition; None where it has none.
            count: how many clips are ranked at most; an implementation gives at least as many candidates where it can.

        Returns:
            int64 [any], in any order, each once; None for all clips of the library.
        """


class AllClips:
    """The dense scan: every clip is a candidate, so no answer is missed, and every clip is scored."""

    def rows(self, question: EncodedQuestion, passing: NDArray[np.int64] | None, count: int) -> NDArray[np.int64] | None:
        """None: all clips."""
        return None


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The clips that are scored: all clips of the candidates' videos, since moments grow over their neighbours.

    Attributes:
        timeline: these clips.
        passing: bool [n], which of them meet the question's condition, and may be part of an answer.
    """

    timeline: ClipTimeline
    passing: NDArray[np.bool_]


def find_candidates(
    stage: CandidateStage,
    questions: Sequence[EncodedQuestion],
    timeline: ClipTimeline,
    passing: NDArray[np.bool_],
    count: int,
) -> Candidates:
    """The clips to be scored for all of ``questions``.

    Args:
        stage: finds the candidates of one question.
        questions: the question; for one thing followed by another, the two.
        timeline: of the whole library.
        passing: bool [n], which clips of it meet the condition.
        count: how many clips are ranked at most.
    """
    passing_rows = None if passing.all() else timeline.rows[passing]
    found = [stage.rows(question, passing_rows, count) for question in questions]
    rows = [of_question for of_question in found if of_question is not None]
    if len(rows) < len(found):
        return Candidates(timeline, passing)
    positions = timeline.in_videos_of(np.unique(np.concatenate(rows)))
    return Candidates(timeline.at(positions), passing[positions])
