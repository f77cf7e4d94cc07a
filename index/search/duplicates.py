"""Which videos of a library may share footage, and roughly where: by the embeddings of their clips, without decoding.

Each clip's nearest clips in other videos are asked for, as a search asks. Two videos are a candidate where such pairs of
clips lie along a line: the one's time against the other's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.search.time_lines import Line, Points, find_lines
from index.search.timeline import ClipTimeline, timeline_of
from index.snapshot.clips import SnapshotClips

NEAREST = 16
"""Clips of other videos that each clip is compared with."""

# More are asked for at first, since many of the nearest are often of the same video.
_ASKED = 48
_BATCH = 4096

_RECALL = 0.95

# Videos that each video is compared with: those with which it has the heaviest lines.
_MOST_PARTNERS = 20

# A line goes on over so many clips that are not near it.
_GAP_CLIPS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """Two videos that may share footage.

    Attributes:
        video: the snapshot's number of the one, the lesser.
        other: of the other.
        lines: from the times of the one to those of the other, the heaviest first; rough to a clip's length.
        weight: of the heaviest line; videos that share nothing have many light ones.
    """

    video: int
    other: int
    lines: tuple[Line, ...]
    weight: float


def find_candidates(clips: SnapshotClips) -> tuple[list[Candidate], ClipTimeline]:
    """The candidates, the heaviest first, and the clips of the snapshot that they are about."""
    timeline = timeline_of(clips, np.flatnonzero(clips.live))
    pairs = _matches(clips, timeline)
    length_s = float(np.median(timeline.end_s - timeline.start_s)) if len(timeline) else 0.0
    middle_s = (timeline.start_s + timeline.end_s) / 2
    found = []
    for (video, other), matches in pairs.items():
        one, two, weight = (np.array(column) for column in zip(*matches, strict=True))
        points = Points(middle_s[one], middle_s[two], np.ones(len(one)), weight)
        lines = find_lines(points, 0.75 * length_s, _GAP_CLIPS * length_s, 1e-9)
        found.append(Candidate(video, other, tuple(lines), lines[0].weight))
    return sorted(_partners(found), key=lambda one: (-one.weight, one.video, one.other)), timeline


def _partners(found: list[Candidate]) -> Iterator[Candidate]:
    """Those that are among the heaviest of either of their videos."""
    counts: dict[int, int] = defaultdict(int)
    for one in sorted(found, key=lambda one: (-one.weight, one.video, one.other)):
        if min(counts[one.video], counts[one.other]) < _MOST_PARTNERS:
            counts[one.video] += 1
            counts[one.other] += 1
            yield one


def _matches(clips: SnapshotClips, timeline: ClipTimeline) -> dict[tuple[int, int], list[tuple[int, int, float]]]:
    """For pairs of videos, the lesser first, the positions of clips that are near each other, and how much that says.

    What a clip's second nearest in a video says is half of what its nearest says, and so on: many clips of a long take are
    near each other, and the very nearest are those of the same second.
    """
    pairs: dict[tuple[int, int], list[tuple[int, int, float]]] = defaultdict(list)
    if len(np.unique(timeline.video)) < 2:
        return pairs
    position_of = np.full(clips.num_rows, -1, np.int64)
    position_of[timeline.rows] = np.arange(len(timeline))
    for begin in range(0, len(timeline), _BATCH):
        asked = np.arange(begin, min(begin + _BATCH, len(timeline)))
        rows, scores = _nearest_elsewhere(clips, timeline, asked)
        for position, near, near_scores in zip(asked.tolist(), rows, scores, strict=True):
            places: dict[int, int] = defaultdict(int)  # how many of a video were nearer
            for row, score in zip(near.tolist(), near_scores.tolist(), strict=True):
                if row >= 0:
                    first, second = sorted((position, int(position_of[row])))
                    other = int(timeline.video[position_of[row]])
                    places[other] += 1
                    weight = max(score, 1e-3) / places[other]
                    pairs[int(timeline.video[first]), int(timeline.video[second])].append((first, second, weight))
    return pairs


def _nearest_elsewhere(
    clips: SnapshotClips, timeline: ClipTimeline, asked: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each of these clips the nearest rows of other videos, int64 and float32 [n, NEAREST]; -1 where there are fewer."""
    video_of = np.full(clips.num_rows + 1, -1, np.int64)
    video_of[timeline.rows] = timeline.video
    own = timeline.video[asked]
    vectors = clips.vectors_at(timeline.rows[asked])
    rows, scores = clips.search(vectors, _ASKED, recall=_RECALL, passing=None)
    best_rows, best_scores = _first_elsewhere(rows, scores, video_of, own)
    short = np.flatnonzero(best_rows[:, -1] < 0)
    for video in np.unique(own[short]):
        of_video = short[own[short] == video]
        passing = clips.live.copy()
        passing[timeline.rows[timeline.video == video]] = False
        rows, scores = clips.search(vectors[of_video], NEAREST, recall=_RECALL, passing=passing)
        best_rows[of_video], best_scores[of_video] = _first_elsewhere(rows, scores, video_of, own[of_video])
    return best_rows, best_scores


def _first_elsewhere(
    rows: NDArray[np.int64], scores: NDArray[np.float32], video_of: NDArray[np.int64], own: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Of each list of rows the first `NEAREST` that are of other videos than ``own``."""
    elsewhere = (rows >= 0) & (video_of[rows] != own[:, None])
    order = np.argsort(~elsewhere, axis=1, kind="stable")[:, :NEAREST]
    kept = np.take_along_axis(elsewhere, order, 1)
    best_rows = np.where(kept, np.take_along_axis(rows, order, 1), -1)
    return best_rows, np.where(kept, np.take_along_axis(scores, order, 1), -np.inf).astype(np.float32)
