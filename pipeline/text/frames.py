"""Which frames of a video are read: one each second, without those that show what the one before shows.

The frames are those that an ingest of clips of that length would take the middle of, decoded the same way, so that they are
turned, cropped and timed as players show them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.decoders.registry import load_decoder
from pipeline.picture.resize import shown_size
from pipeline.process import decode_jobs
from pipeline.sampling import covered_s, frames_on_screen, plan_spans
from schemas.errors import VideoError
from schemas.models import Geometry, ModelInput
from schemas.records import Clip, Span, SpanDone, VideoInfo
from schemas.video_meta import VideoMeta

Pixels = NDArray[np.uint8]

# Looks that are decoded at a time: at 1,280 x 720 83 MB, and as much again while they are put together.
_LOOKS_PER_JOB = 30

# Frames are compared in grey, at this length of the longer side, in squares of this many pixels: of 1,280 x 720, a square is
# 21 pixels wide, as high as a small line of text. A square has changed when its mean absolute difference is larger than this
# many of 255 levels. A line of 16 pixels that is 30 levels brighter than what is behind it makes 4.0. H.264 makes 1.2 of a
# slide at crf 18, 2.0 at 23, 3.4 at 28, 9 at 35. What is taken for a change is read once more, and makes no other rows.
_COMPARED_SIDE = 480
_SQUARE = 8
_CHANGED_LEVELS = 3.0


def frames_to_read(video: VideoInfo, meta: VideoMeta, *, step_s: float, longest_side: int) -> Iterator[tuple[Span, Pixels]]:
    """The frames of a video in which text is looked for, and how long the text of each stands.

    Args:
        video: the file.
        meta: what `pipeline.probe.probe` says of it.
        step_s: seconds from one look to the next.
        longest_side: frames are shrunk to this length of the longer side, in pixels.

    Yields:
        A span, and the frame uint8 [height, width, 3], RGB, that can be seen from its start to its end as far as looks
        tell. The spans ascend and do not overlap; where no frame could be decoded, there is none.

    Raises:
        VideoError: its times are broken, or no frame of it can be decoded.
    """
    spans = _spans(meta, step_s)
    size = shown_size(meta.coded_width, meta.coded_height, meta.rotation_deg, meta.pixel_aspect)
    jobs = plan_spans(video, meta, spans, (ModelInput(1, _fitted(*size, longest_side)),), job_s=_LOOKS_PER_JOB * step_s)
    reasons: list[str] = []
    kept: tuple[Span, Pixels] | None = None
    compared: NDArray[np.float32] | None = None
    for item in decode_jobs(jobs, load_decoder("pyav")):
        if isinstance(item, SpanDone):
            reasons += [problem.reason for problem in item.problems]
            continue
        assert isinstance(item, Clip)
        frame = item.frames[0][0]
        small = small_grey(frame)
        if kept is not None and compared is not None and item.span.start_s <= kept[0].end_s and not changed(compared, small):
            kept = kept[0]._replace(end_s=item.span.end_s), kept[1]
            continue
        if kept is not None:
            yield kept
        kept, compared = (item.span, frame.copy()), small  # a copy, which lets go of the other frames of its job
    if kept is None:
        raise VideoError("decode", "; ".join(dict.fromkeys(reasons)) or "it holds no frame that could be decoded")
    yield kept


def _spans(meta: VideoMeta, step_s: float) -> list[Span]:
    """The spans between looks, as long as one frame stays on screen: of a slide show they are as long as its slides.

    A look is in the middle of each ``step_s``; with 1 s, at 0.5, 1.5, ...
    """
    length_s = covered_s(meta)
    num_looks = max(1, int(np.ceil(length_s / step_s - 0.5)))
    looks_s = (np.arange(num_looks, dtype=np.float64) + 0.5) * step_s if num_looks > 1 else np.array([length_s / 2])
    seen = looks_s >= meta.first_s  # before the first frame there is no picture
    seen[-1] = True
    frames = frames_on_screen(meta.frame_times_s, looks_s)
    first = np.flatnonzero(seen)[0]
    begins = first + np.flatnonzero(np.diff(frames[first:], prepend=-1))
    edges_s = [round(float(index) * step_s, 6) for index in begins] + [length_s]
    return [Span(start_s, end_s) for start_s, end_s in pairwise(edges_s)]


def _fitted(width: int, height: int, longest_side: int) -> Geometry:
    """The geometry that shrinks a picture of this size to ``longest_side``; smaller ones stay as they are."""
    scale = min(1.0, longest_side / max(width, height))
    return Geometry(resize=(max(1, round(height * scale)), max(1, round(width * scale))), crop=None)


def small_grey(frame: Pixels) -> NDArray[np.float32]:
    """A frame as it is compared, float32 [height, width] in whole squares."""
    height, width = frame.shape[:2]
    scale = min(1.0, _COMPARED_SIDE / max(height, width))
    size = [max(1, round(side * scale / _SQUARE)) * _SQUARE for side in (width, height)]
    grey = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.float32)


def largest_change(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """The mean absolute difference of the square that changed most, in levels of 255; both are from `small_grey`."""
    height, width = before.shape
    squares = np.abs(after - before).reshape(height // _SQUARE, _SQUARE, width // _SQUARE, _SQUARE)
    return float(squares.mean(axis=(1, 3)).max())


def changed(before: NDArray[np.float32], after: NDArray[np.float32]) -> bool:
    """Whether a line of text may have come or gone between two frames, as `small_grey` gives them."""
    return largest_change(before, after) > _CHANGED_LEVELS
