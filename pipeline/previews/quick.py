"""Frames from within a span, found without reading a container's packets first: by seeking, and by decoding little.

The exact way (`pipeline.previews.frames`) demuxes the whole file once, to know when each frame is shown. Here FFmpeg's own
index leads to a keyframe, which is often within the span, and is then the picture. Where none is, frames are decoded from
the keyframe before, without those that no other frame refers to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.container.reading import READING_ERRORS, decode, open_video, track_index, video_stream
from pipeline.picture.colour import Stated
from pipeline.picture.crop import Cropper, stated_crop
from pipeline.picture.resize import Scaler, shown_size
from pipeline.picture.turn import turned
from pipeline.probe import check_pixels, check_unlocked
from pipeline.sampling import sample_times_s
from schemas.models import Geometry
from schemas.options import MAX_PIXELS
from schemas.records import Span

Pixels = NDArray[np.uint8]

# Containers that hold an index and say when each frame is shown, and codecs whose frames come at the times of their packets.
_CONTAINERS = frozenset({"mov", "matroska"})
_CODECS = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "mjpeg", "prores"})
_SELECTIVE = frozenset({"h264", "hevc"})

# A picture of at most half the frame's size does not show the edges of blocks that are left as they are: 42 dB or more, for
# three quarters of the time.
_UNFILTERED = {"skip_loop_filter": "nokey"}

# Without a keyframe in the span, a picture goes from the span's start towards its middle as far as this many pixels allow to
# decode from the keyframe before: two seconds of 1080p at 25 frames a second, all of a GOP of 360p.
_PIXELS = 50 * 1920 * 1080
# It is at least this share of the span after its start: there the end of what comes before may still be seen.
_SHARE = 0.1

# Frames of a longer span are sought one by one. Those of a shorter one are decoded in one pass.
_PASS_S = 16.0

# Seconds that are sought back further, where seeking leads to a later place.
_BACK_S = (0, 1, 10)


class _NotQuick(Exception):
    """This video needs the exact way."""


def quick_frames(path: str, span: Span, count: int, width: int, *, track: int | None = None) -> list[Pixels] | None:
    """Frames from within a span, evenly spread over it as far as that is cheap.

    Args:
        path: the video.
        span: an interval of the video.
        count: how many frames; one is from near the middle.
        width: pixels across, as shown; smaller pictures are not enlarged.
        track: the video track, from 1; None takes the best.

    Returns:
        uint8 [height, width, 3] each, RGB, as players show them; None where only the exact way finds frames of the span.

    Raises:
        VideoError: it is no video, it is encrypted, or its frames are too large.
    """
    parts = [span]
    if count > 1 and span.end_s - span.start_s > _PASS_S:
        edges = np.linspace(span.start_s, span.end_s, count + 1)
        parts, count = [Span(float(a), float(b)) for a, b in pairwise(edges)], 1
    try:
        with open_video(path) as container:
            video = _Video(container, track, width)
            return [pixels for part in parts for pixels in video.frames(part, count)]
    except (*READING_ERRORS, ValueError, _NotQuick):
        return None  # the exact way says what is wrong


class _Video:
    """An open video, whose frames are found by seeking."""

    def __init__(self, container: av.container.InputContainer, track: int | None, width: int) -> None:
        if not _CONTAINERS & set(container.format.name.split(",")):
            raise _NotQuick
        self._container = container
        self._stream = video_stream(container, track_index(container, track))
        self._context = self._stream.codec_context
        check_pixels(self._context.width, self._context.height, MAX_PIXELS)
        self._codec = self._context.codec.canonical_name
        if self._codec not in _CODECS or not self._stream.time_base:
            raise _NotQuick
        self._time_base: Fraction = self._stream.time_base
        start_pts = round(Fraction(container.start_time or 0, av.time_base) / self._time_base)
        stream_start = self._stream.start_time
        self._start_pts = start_pts if stream_start is None else min(start_pts, stream_start)
        self._context.thread_count = 1
        if self._codec in _SELECTIVE and 2 * width <= min(self._context.width, self._context.height):
            self._context.options = _UNFILTERED
        self._rate = float(self._stream.average_rate or 25)
        self._stated = Stated.of(self._context)
        self._picture = _Picture(container, self._stream, width)

    def frames(self, span: Span, count: int) -> list[Pixels]:
        """``count`` frames of a span.

        Raises:
            _NotQuick: none is found there.
        """
        start, end = self._ticks(span.start_s), self._ticks(span.end_s)
        middle = (start + end) // 2
        before = self._keyframe(middle)
        if count > 1:
            return self._passing(start, end, [self._ticks(time_s) for time_s in sample_times_s(span, count)])
        within = before if start <= before < end else self._keyframe(end - 1)
        if start <= within < end:
            return [self._alone(within)]
        allowed = before + round(_PIXELS / (self._context.width * self._context.height * self._rate) / self._time_base)
        least = start + round(_SHARE * (end - start))
        return self._passing(start, end, [min(middle, max(least, allowed))])

    def _ticks(self, time_s: float) -> int:
        return round(Fraction(time_s) / self._time_base) + self._start_pts

    def _keyframe(self, tick: int) -> int:
        """The time in ticks of a keyframe at or before ``tick``, mostly the last; the container is placed at it."""
        for back_s in _BACK_S:
            target = tick - round(back_s / self._time_base)
            self._container.seek(target, stream=self._stream)
            landed = next((packet for packet in self._packets() if packet.pts is not None), None)
            if landed is not None and landed.pts is not None and landed.is_keyframe and landed.pts <= tick:
                check_unlocked(landed, self._context)
                self._container.seek(target, stream=self._stream)
                return landed.pts
        raise _NotQuick

    def _packets(self) -> Iterator[av.Packet[Any]]:
        return (packet for packet in self._container.demux(self._stream) if packet.size)

    def _alone(self, keyframe: int) -> Pixels:
        """The frame of the keyframe that the container is placed at."""
        self._context.flush_buffers()
        self._context.skip_frame = "DEFAULT"
        packet = next(self._packets())
        frames = [] if packet.is_discard else [*decode(packet), *self._context.decode(None)]
        self._context.flush_buffers()
        for frame in frames:
            if frame.pts == keyframe:
                return self._shown(frame)
        raise _NotQuick

    def _passing(self, start: int, end: int, targets: Sequence[int]) -> list[Pixels]:
        """The frames nearest to ``targets``, which ascend, decoded from the keyframe before the first on."""
        self._keyframe(targets[0])
        shown: list[Pixels] = []
        latest: av.VideoFrame | None = None
        for frame in self._decoded(targets[-1]):
            if frame.pts is None or not start <= frame.pts < end:
                continue
            while len(shown) < len(targets) and targets[len(shown)] <= frame.pts:
                target = targets[len(shown)]
                nearer = latest is not None and latest.pts is not None and target - latest.pts < frame.pts - target
                shown.append(self._shown(latest if latest is not None and nearer else frame))
            latest = frame
        if latest is None:
            raise _NotQuick
        return shown + [self._shown(latest)] * (len(targets) - len(shown))

    def _decoded(self, last: int) -> Iterator[av.VideoFrame]:
        """The frames from the container's place on, up to one that is shown at ``last`` or later."""
        self._context.flush_buffers()
        self._context.skip_frame = "NONREF" if self._codec in _SELECTIVE else "DEFAULT"
        for packet in self._packets():
            try:
                yield from decode(packet)
            except av.FFmpegError:
                continue
            if packet.pts is not None and packet.pts >= last:
                break
        yield from self._context.decode(None)
        self._context.flush_buffers()

    def _shown(self, frame: av.VideoFrame) -> Pixels:
        if frame.interlaced_frame and self._codec == "h264":
            raise _NotQuick  # it may be one of two fields
        self._stated.complete(frame)
        return self._picture(frame)


class _Picture:
    """Brings a video's frames to the pixels that are shown."""

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream, width: int) -> None:
        self._cropper = Cropper(stated_crop(container, stream))
        self._pixel_aspect = Fraction(stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or 1)
        self._width = width
        self._scaler: Scaler | None = None

    def __call__(self, frame: av.VideoFrame) -> Pixels:
        """The frame cropped, turned and scaled."""
        check_pixels(frame.width, frame.height, MAX_PIXELS)
        rotation_deg, mirrored = turned(frame)
        frame = self._cropper(frame)
        if self._scaler is None:
            size = shown_size(frame.width, frame.height, rotation_deg, self._pixel_aspect)
            self._scaler = Scaler(
                fitted(*size, self._width),
                rotation_deg=rotation_deg,
                mirrored=mirrored,
                pixel_aspect=self._pixel_aspect,
                scaling="fast",
            )
        return self._scaler(frame)


def fitted(shown_width: int, shown_height: int, width: int) -> Geometry:
    """The geometry that makes a picture ``width`` pixels wide, or leaves it as wide as it is shown."""
    width = min(width, shown_width)
    return Geometry(resize=(max(1, round(shown_height * width / shown_width)), width), crop=None)
