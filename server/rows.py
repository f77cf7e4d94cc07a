"""What rows of a library's catalogue stand for: the file of a video, the span of a moment."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pipeline.sources.paths import path_behind
from schemas.records import Span
from server.media.video_file import VideoFile
from server.problems import Problem


def moment_span(clip: dict[str, Any], video: dict[str, Any], start_s: float | None, end_s: float | None) -> Span:
    """The span of a clip, or another one of its video that is asked for.

    Args:
        clip: its row.
        video: the row of its video.
        start_s: where the span begins; None is the clip's start.
        end_s: where it ends; None is the clip's end.

    Raises:
        Problem: the video has no such span (400).
    """
    span = Span(clip["start_s"] if start_s is None else start_s, clip["end_s"] if end_s is None else end_s)
    longest = video["duration_s"] or span.end_s
    if not 0 <= span.start_s < span.end_s <= longest + 1:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            f"start: got {span.start_s:g} to {span.end_s:g} s, expected a moment of the {longest:g} s of the video",
        )
    return Span(span.start_s, min(span.end_s, longest))


def video_file(row: dict[str, Any]) -> VideoFile:
    """The file of a row of ``videos``."""
    return VideoFile(
        video_id=row["video_id"],
        path=path_behind(row["path"]),
        size_bytes=row["size_bytes"],
        modified_us=round(row["modified_at"].timestamp() * 1e6),
        codec=row["codec"],
        container=row["container"],
        track=row["track"],
    )
