"""Highlights: moments that stand out of their own video, chosen so that they differ from each other.

How far a clip stands out is the mean of two cosine distances: from the mean of its whole video, and from the mean of the
clips within half a minute. Clips are chosen by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): each time
the one that stands out most, less how much it resembles those that are chosen already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.search.timeline import ClipTimeline, timeline_of
from index.snapshot.clips import SnapshotClips
from index.snapshot.snapshot import Snapshot
from index.sql.catalog import several_tracks
from index.sql.filters import passing_mask
from index.storage.paths import Library
from pipeline.sources import absolute_path
from schemas.errors import UsageError
from schemas.models import Label
from schemas.records import path_text
from schemas.search import MOST, Moment, check_words

DEFAULT_K = 5

_AROUND_S = 30.0

# How much standing out counts against being different, in maximal marginal relevance.
_RELEVANCE = 0.5

# Clips that are chosen from: those that stand out most.
_POOL = 2000

# A clip is left out where black or still shots are more than this share of it.
_UNMOVED = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class HighlightOptions:
    """What highlights are asked for.

    Attributes:
        video: path of the video; None for all.
        where: an SQL condition that every clip has to meet; see `index.sql.filters`.
        k: how many at most; None is `DEFAULT_K`, or as many as fit where ``seconds`` is given.
        seconds: how long they may be together, at most; None sets no limit.
    """

    video: str | None = None
    where: str | None = None
    k: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be answered."""
        if self.video is None and self.where is None:
            raise UsageError("got neither a video nor a condition (`where`); give one of them", argument="video")
        if self.k is not None and not 1 <= self.k <= MOST:
            raise UsageError(f"got {self.k}, expected 1 to {MOST}", argument="k")
        if self.seconds is not None and not 0 < self.seconds < float("inf"):
            raise UsageError(f"got {self.seconds:g} s, expected more than 0 s", argument="seconds")
        if self.where is not None:
            check_words("where", [self.where], "give a condition, such as: duration_s > 60")

    @property
    def most(self) -> int:
        """``k``, or its default."""
        return self.k or (DEFAULT_K if self.seconds is None else MOST)


def highlights(folder: Path, options: HighlightOptions) -> tuple[Moment, ...]:
    """The highlights of a library, the one that was chosen first first.

    A moment's ``score`` says how far its clip stands out, in [0, 2]; its ``confidence`` is the share of its video's clips
    that stand out less.

    Args:
        folder: the library's.
        options: what is asked for.

    Raises:
        UsageError: the library has no such video.
        QueryError: the condition cannot be used.
        LibraryError: no library, or nothing published in it.
    """
    snapshot = Snapshot(Library(folder))
    try:
        clips = snapshot.clips()
        pool = _pool(snapshot, clips, options)
        if not pool.any():
            return ()
        timeline = timeline_of(clips, clips.rows_around(np.flatnonzero(pool), clips.num_rows))
        scores, confidences = stand_out(timeline, clips.vectors_at)
        positions = np.flatnonzero(pool[timeline.rows])
        best = positions[np.argsort(-scores[positions], kind="stable")[:_POOL]]
        vectors = clips.vectors_at(timeline.rows[best])
        chosen = best[list(_fitting(timeline, best, marginal_order(scores[best], vectors), options))]
        tracks = {row["path"]: row["track"] for row in several_tracks(snapshot.catalog)}
        return tuple(_moments(clips, timeline, chosen, scores, confidences, tracks))
    finally:
        snapshot.catalog.close()


def _pool(snapshot: Snapshot, clips: SnapshotClips, options: HighlightOptions) -> NDArray[np.bool_]:
    """Bool [rows of the snapshot]: the clips that may be chosen."""
    pool = clips.live.copy() if options.where is None else passing_mask(snapshot.catalog, options.where)
    if options.video is not None:
        found = snapshot.catalog.sql(
            "select video_id from videos where path = $path", {"path": path_text(absolute_path(options.video))}
        )
        if not len(found):
            raise UsageError(
                "the library has no such video; vidsift sql 'select path from videos' lists them",
                argument="video",
                value=options.video,
            )
        ids = snapshot.catalog.sql(
            "select clip_id from clips where video_id = $video_id", {"video_id": found["video_id"][0].as_py()}
        )
        of_video = np.zeros(clips.num_rows, np.bool_)
        of_video[clips.rows_of(ids["clip_id"].to_numpy())] = True
        pool &= of_video
    if snapshot.info.rows.get("annotations"):
        unmoved = snapshot.catalog.sql(
            "select clip_id from clips join shots on shots.video_id = clips.video_id and shots.picture <> 'moving' "
            "and shots.start_s < clips.end_s and shots.end_s > clips.start_s group by clip_id "
            "having sum(least(shots.end_s, clips.end_s) - greatest(shots.start_s, clips.start_s)) "
            "> $share * any_value(clips.end_s - clips.start_s)",
            {"share": _UNMOVED},
        )
        pool[clips.rows_of(unmoved["clip_id"].to_numpy())] = False
    return pool


def stand_out(
    timeline: ClipTimeline, vectors_at: Callable[[NDArray[np.int64]], NDArray[np.float32]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far each clip stands out of its video, and the share of the video's clips that stand out less, float64 [n] each.

    Args:
        timeline: all clips of some videos.
        vectors_at: gives the vectors float32 [n, dim] of rows.
    """
    scores, shares = np.zeros(len(timeline)), np.zeros(len(timeline))
    edges = np.flatnonzero(np.diff(timeline.video)) + 1
    for of_video in np.split(np.arange(len(timeline)), edges):
        vectors = vectors_at(timeline.rows[of_video]).astype(np.float64)
        middle_s = (timeline.start_s[of_video] + timeline.end_s[of_video]) / 2
        sums = np.concatenate([np.zeros((1, vectors.shape[1])), np.cumsum(vectors, axis=0)])
        first = np.searchsorted(middle_s, middle_s - _AROUND_S, "left")
        end = np.searchsorted(middle_s, middle_s + _AROUND_S, "right")
        around = _unit(sums[end] - sums[first])
        from_all = 1 - vectors @ _unit(vectors.sum(axis=0, keepdims=True))[0]
        scores[of_video] = (from_all + 1 - (vectors * around).sum(axis=1)) / 2
        order = np.sort(scores[of_video])
        shares[of_video] = np.searchsorted(order, scores[of_video]) / max(1, len(order) - 1)
    return scores, shares


def marginal_order(relevance: NDArray[np.float64], vectors: NDArray[np.float32]) -> Iterator[int]:
    """The numbers of clips in the order of maximal marginal relevance; relevance and likeness are each taken from 0 to 1.

    Args:
        relevance: float64 [n].
        vectors: float32 [n, dim], unit vectors.
    """
    low, high = float(relevance.min()), float(relevance.max())
    relative = (relevance - low) / max(high - low, 1e-9)
    likeness = np.zeros(len(relevance))
    left = np.ones(len(relevance), np.bool_)
    for _ in range(len(relevance)):
        value = np.where(left, _RELEVANCE * relative - (1 - _RELEVANCE) * likeness, -np.inf)
        best = int(np.argmax(value))
        left[best] = False
        likeness = np.maximum(likeness, vectors @ vectors[best])
        yield best


def _fitting(
    timeline: ClipTimeline, pool: NDArray[np.int64], order: Iterator[int], options: HighlightOptions
) -> Iterator[int]:
    """Of clips in an order, those that share no seconds with one before, as many and as long as is asked for."""
    taken: list[int] = []
    total_s = 0.0
    for number in order:
        position = int(pool[number])
        length_s = float(timeline.end_s[position] - timeline.start_s[position])
        if options.seconds is not None and total_s + length_s > options.seconds:
            continue
        if any(np.isin(timeline.overlapping(position, timeline.start_s[position], timeline.end_s[position]), taken)):
            continue
        taken.append(position)
        total_s += length_s
        yield number
        if len(taken) == options.most:
            return


def _moments(
    clips: SnapshotClips,
    timeline: ClipTimeline,
    chosen: NDArray[np.int64],
    scores: NDArray[np.float64],
    confidences: NDArray[np.float64],
    tracks: dict[str, int],
) -> Iterator[Moment]:
    rows = clips.rows_as_dicts(timeline.rows[chosen])
    for rank, (row, position) in enumerate(zip(rows, chosen.tolist(), strict=True), 1):
        labels = () if row["label"] is None else (Label(row["label"], row["label_score"]),)
        yield Moment(
            rank=rank,
            score=float(scores[position]),
            confidence=float(confidences[position]),
            best_start_s=row["start_s"],
            best_end_s=row["end_s"],
            windows=1,
            labels=labels,
            track=tracks.get(row["path"]),
            **row,
        )


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float64)
