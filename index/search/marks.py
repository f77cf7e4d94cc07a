"""Marks: which of a search's answers a user called right and wrong, and how they move the scores of all others.

A linear probe (`index.search.linear_probe`) is fitted on the embeddings of the marked clips, with a sample of the library as
presumed negatives. Each clip's score moves by the probe's logit, in units of the logit's own spread over the sample, so that
the text and the marks count alike. Clips that were called wrong are no answers any more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.search.confidence import background_of
from index.search.linear_probe import fit
from index.search.timeline import ClipTimeline
from index.snapshot.clips import SnapshotClips
from schemas.errors import UsageError
from schemas.records import Span

# Clips of the library that are presumed not to show what was marked.
_PRESUMED = 500

# Where nothing was called right, so many of the best clips are presumed to be.
_PRESUMED_RIGHT = 5


@dataclass(frozen=True, slots=True)
class Marks:
    """Clip ids that a user called right and wrong."""

    right: tuple[int, ...] = ()
    wrong: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse marks that contradict each other."""
        if both := set(self.right) & set(self.wrong):
            raise UsageError(
                f"got clip {min(both)} as right and as wrong, expected one of the two; take one mark back", argument="right"
            )

    def __bool__(self) -> bool:
        """Whether anything is marked."""
        return bool(self.right or self.wrong)


def passing_marks(timeline: ClipTimeline, passing: NDArray[np.bool_], marks: Marks) -> NDArray[np.bool_]:
    """``passing``, bool [n], without the clips that were called wrong and those that show half of one of them or more."""
    wrong = np.flatnonzero(timeline.among(np.array(marks.wrong, np.int64)))
    passing = passing.copy()
    for position in wrong:
        clip = Span(float(timeline.start_s[position]), float(timeline.end_s[position]))
        near = timeline.overlapping(int(position), *clip)
        passing[near[shows_half_of(clip, timeline.start_s[near], timeline.end_s[near])]] = False
    return passing


def shows_half_of(clip: Span, start_s: NDArray[np.float64] | float, end_s: NDArray[np.float64] | float) -> NDArray[np.bool_]:
    """Whether [start_s, end_s) of a clip's video shows half of the clip or more: one, or many as arrays."""
    shared_s = np.minimum(end_s, clip.end_s) - np.maximum(start_s, clip.start_s)
    return np.asarray(shared_s >= 0.5 * (clip.end_s - clip.start_s))


def shift_by_marks(
    clips: SnapshotClips, timeline: ClipTimeline, scores: NDArray[np.float64], spread: float, marks: Marks
) -> NDArray[np.float64]:
    """How much marks move the score of each clip, float64 [n].

    Args:
        clips: of the snapshot.
        timeline: the n clips that are scored.
        scores: float64 [n], before the move.
        spread: of the scores over the library.
        marks: with at least one.

    Raises:
        UsageError: the library has no such clip.
    """
    right, wrong = (_rows(clips, ids, name) for ids, name in ((marks.right, "right"), (marks.wrong, "wrong")))
    if not len(right):
        best = np.argsort(-np.where(np.isin(timeline.rows, wrong), -np.inf, scores), kind="stable")
        right = timeline.rows[best[:_PRESUMED_RIGHT]]
    sample = clips.sample()
    sample = sample[~np.isin(sample, np.concatenate([right, wrong]))]
    sample = sample[np.unique(np.linspace(0, len(sample) - 1, min(_PRESUMED, len(sample))).astype(np.int64))]
    negatives = np.concatenate([wrong, sample])
    if not len(negatives):
        return np.zeros(len(timeline))
    # Each mark weighs as much as many presumed negatives: one wrong answer is worth a tenth of the sample.
    repeated = np.repeat(wrong, max(1, len(sample) // 10))
    rows = np.concatenate([right, negatives, repeated])
    positive = np.zeros(len(rows), np.bool_)
    positive[: len(right)] = True
    probe = fit(clips.vectors_at(rows).astype(np.float64), positive)
    weights = probe.weights.astype(np.float32)[None]
    background = background_of(clips.scores_at(sample if len(sample) else wrong, weights)[0].astype(np.float64))
    logits = clips.scores_at(timeline.rows, weights)[0].astype(np.float64)
    return np.asarray((logits - background.centre) * (spread / background.spread))


def _rows(clips: SnapshotClips, clip_ids: tuple[int, ...], argument: str) -> NDArray[np.int64]:
    """int64 [n], the rows of these clips."""
    if too_big := [clip_id for clip_id in clip_ids if not 0 <= clip_id < 2**63]:
        raise UsageError(f"the library has no clip {too_big[0]}; a search gives clip_id", argument=argument)
    rows = clips.rows_of(np.array(clip_ids, np.int64))
    if len(missing := np.flatnonzero(rows < 0)):
        raise UsageError(f"the library has no clip {clip_ids[missing[0]]}; a search gives clip_id", argument=argument)
    return rows
