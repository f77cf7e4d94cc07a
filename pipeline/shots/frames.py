"""All frames of a video as thumbnails, as players show them: what shot detectors look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.container.reading import READING_ERRORS, decode, describe, open_video, packets, video_stream
from pipeline.picture.colour import Stated
from pipeline.picture.crop import Cropper
from pipeline.picture.resize import Scaler
from pipeline.probe import check_pixels
from schemas.errors import VideoError
from schemas.models import Geometry
from schemas.options import MAX_PIXELS
from schemas.video_meta import VideoMeta

WIDTH, HEIGHT = 48, 27
"""Pixels of a thumbnail: what TransNet V2 was trained on. Pictures of other shapes are squeezed into it, as there."""

CHUNK_FRAMES = 250
"""Thumbnails that are yielded together: 1 MB of pixels."""

_GEOMETRY = Geometry(resize=(HEIGHT, WIDTH), crop=None)


@dataclass(frozen=True, slots=True, eq=False)
class Thumbnails:
    """Consecutive frames of a video.

    Attributes:
        times_s: float64 [n], ascending: when each appears, in seconds from the container's start time.
        frames: uint8 [n, HEIGHT, WIDTH, 3], RGB.
    """

    times_s: NDArray[np.float64]
    frames: NDArray[np.uint8]


def thumbnails(path: str, meta: VideoMeta, *, max_pixels: int = MAX_PIXELS) -> Iterator[Thumbnails]:
    """All frames of a video that can be decoded whole, `CHUNK_FRAMES` at a time.

    Damaged frames are left out, as if the frame before stayed on screen: their grey blocks would look like another shot.

    Args:
        path: the video.
        meta: the result of `pipeline.probe.probe` for it.
        max_pixels: a frame that turns out larger is refused.

    Raises:
        VideoError: no frame of it can be decoded whole, or one is too large.
    """
    times_s: list[float] = []
    frames: list[NDArray[np.uint8]] = []
    for time_s, pixels in _Shown(path, meta, max_pixels).frames():
        times_s.append(time_s)
        frames.append(pixels)
        if len(frames) == CHUNK_FRAMES:
            yield Thumbnails(np.array(times_s), np.stack(frames))
            times_s, frames = [], []
    if frames:
        yield Thumbnails(np.array(times_s), np.stack(frames))


class _Shown:
    """One pass over a video's frames."""

    def __init__(self, path: str, meta: VideoMeta, max_pixels: int) -> None:
        self._path, self._meta, self._max_pixels = path, meta, max_pixels
        self._cropper = Cropper(meta.crop)
        self._scaler = Scaler(
            _GEOMETRY,
            rotation_deg=meta.rotation_deg,
            mirrored=meta.mirrored,
            pixel_aspect=meta.pixel_aspect,
            scaling="fast",
        )
        self._counted = not meta.timed
        self._count = 0
        self._latest_s = -np.inf

    def frames(self) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """Times in seconds, ascending, and thumbnails.

        Raises:
            VideoError: there are none.
        """
        meta = self._meta
        problem, any_shown = "", False
        try:
            with open_video(self._path) as container:
                stream = video_stream(container, meta.stream_index)
                stream.codec_context.thread_count = 1
                stated = Stated.of(stream.codec_context)
                for packet in packets(container, stream, parts=meta.parts):
                    try:
                        decoded = decode(packet)
                    except av.FFmpegError as exc:
                        problem = f"a packet could not be decoded: {describe(exc)}"
                        continue
                    for frame in decoded:
                        time_s = self._time_s(frame)
                        if time_s is None or frame.is_corrupt:
                            continue
                        check_pixels(frame.width, frame.height, self._max_pixels)
                        stated.complete(frame)
                        any_shown = True
                        yield time_s, self._scaler(self._cropper(frame))
        except READING_ERRORS as exc:
            problem = f"the container breaks off: {describe(exc)}"
        if not any_shown:
            raise VideoError("decode", problem or "no frame could be decoded whole")

    def _time_s(self, frame: av.VideoFrame) -> float | None:
        """When a frame appears; None for one that is not shown.

        From where times go back, frames are counted: decoders return them in the order in which they are shown, whatever
        their times.
        """
        meta, number = self._meta, self._count
        self._count += 1
        tick = frame.pts if frame.pts is not None else frame.dts
        if not self._counted and tick is not None:
            time_s = float((tick - meta.zero_pts) * meta.time_base)
            if tick < int(meta.pts[0]):
                return None
            self._counted = time_s < self._latest_s
        if self._counted:
            if number >= meta.num_frames:
                return None
            time_s = float((int(meta.pts[number]) - meta.zero_pts) * meta.time_base)
        if (tick is None and not self._counted) or time_s <= self._latest_s:
            return None
        self._latest_s = time_s
        return time_s
