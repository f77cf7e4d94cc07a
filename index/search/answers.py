"""Answers as users see them: ranked segments with their confidence, and with what the library knows of their clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from index.search.moments import Segment
from index.search.ranking import Ranking
from index.snapshot.clips import SnapshotClips
from schemas.models import Label
from schemas.search import Moment, Part


def describe(
    clips: SnapshotClips,
    ranking: Ranking,
    segments: Sequence[tuple[Segment, int]],
    confidences: Sequence[float],
    tracks: dict[str, int],
) -> tuple[Moment, ...]:
    """The moments of an answer, best first.

    Args:
        clips: of the snapshot.
        ranking: whose positions the segments have.
        segments: each with how many moments of its video answer as well.
        confidences: of the segments, in [0, 1].
        tracks: by path, the video track that was indexed of videos that have several.
    """
    ids = ranking.timeline.ids
    positions = sorted({position for segment, _ in segments for position in (segment.best, *segment.clips)})
    known = {row["clip_id"]: row for row in clips.rows_as_dicts(ranking.timeline.rows[positions])}
    moments = []
    for number, ((segment, moments_of_video), confidence) in enumerate(zip(segments, confidences, strict=True), start=1):
        best = known[int(ids[segment.best])]
        moments.append(
            Moment(
                rank=number,
                score=float(ranking.score[segment.best]),
                path=best["path"],
                video_id=best["video_id"],
                clip_id=best["clip_id"],
                start_s=segment.start_s,
                end_s=segment.end_s,
                label=best["label"],
                label_score=best["label_score"],
                confidence=confidence,
                best_start_s=best["start_s"],
                best_end_s=best["end_s"],
                windows=len(segment.clips),
                labels=_labels(known[int(ids[position])] for position in segment.clips),
                moments=moments_of_video,
                parts=tuple(
                    Part(int(ids[part.best]), float(scores.score[part.best]), part.start_s, part.end_s)
                    for part, scores in zip(segment.parts, ranking.parts, strict=False)  # one thing alone has no parts
                ),
                track=tracks.get(best["path"]),
            )
        )
    return tuple(moments)


def _labels(clips: Iterable[dict[str, Any]]) -> tuple[Label, ...]:
    """The labels of some clips, each once with its highest probability, best first."""
    highest: dict[str, float] = {}
    for clip in clips:
        if clip["label"] is not None:
            highest[clip["label"]] = max(clip["label_score"], highest.get(clip["label"], 0.0))
    return tuple(Label(label, score) for label, score in sorted(highest.items(), key=lambda item: -item[1]))
