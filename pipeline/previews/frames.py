"""Frames from within a span of any video that can be ingested, as players show them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.decoders.pyav import PyAVDecoder
from pipeline.picture.resize import shown_size
from pipeline.previews.quick import Pixels, fitted, quick_frames
from pipeline.process import decode_jobs
from pipeline.sampling import plan_spans
from schemas.errors import VideoError
from schemas.models import ModelInput
from schemas.records import Clip, Span, SpanDone, VideoFile, VideoInfo
from schemas.video_meta import VideoMeta


def span_frames(
    path: str, meta: Callable[[], VideoMeta], span: Span, count: int, width: int, *, track: int | None = None
) -> list[Pixels]:
    """Frames of a span: the quick ones, or those that an ingest would take where there are none.

    Args:
        path: the video.
        meta: gives the result of `pipeline.probe.probe` for it; asked for where it is needed.
        span: an interval of the video.
        count: how many frames; one is from near the middle.
        width: pixels across, as shown; smaller pictures are not enlarged.
        track: the video track, from 1; None takes the best.

    Returns:
        uint8 [height, width, 3] each, RGB.

    Raises:
        VideoError: no frame of the span can be decoded.
    """
    frames = quick_frames(path, span, count, width, track=track)
    return exact_frames(path, meta(), span, count, width) if frames is None else frames


def exact_frames(path: str, meta: VideoMeta, span: Span, count: int, width: int) -> list[Pixels]:
    """The frames on screen at the middles of ``count`` equal parts of a span; see `span_frames`.

    Raises:
        VideoError: none of them can be decoded.
    """
    size = shown_size(meta.coded_width, meta.coded_height, meta.rotation_deg, meta.pixel_aspect)
    video = VideoInfo("", VideoFile(path, 0, 0))
    jobs = plan_spans(video, meta, [span], (ModelInput(count, fitted(*size, width)),))
    items = list(decode_jobs(jobs, PyAVDecoder()))
    frames = [np.asarray(frame) for item in items if isinstance(item, Clip) for frame in item.frames[0]]
    if not frames:
        reasons = [problem.reason for item in items if isinstance(item, SpanDone) for problem in item.problems]
        raise VideoError("decode", "; ".join(reasons) or "it holds no frame that could be decoded")
    return frames
