"""Frames of a moment for people to look at: near enough in time, upright, in true colours, and found quickly.

A model has to be shown exact frames, for which a file is read from end to end once (`pipeline.probe`). A picture on a page
need not wait for that: decoding begins at the keyframe before the moment, and frames that no other frame refers to are
skipped. Where a file's times do not lead to the moment, it is probed after all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.container.reading import READING_ERRORS, decode, open_video, track_index, video_stream
from pipeline.frames import decode_seen
from pipeline.picture.colour import Stated
from pipeline.picture.crop import Cropper, stated_crop
from pipeline.picture.resize import Scaler
from pipeline.probe import check_pixels, orientation, probe
from schemas.errors import VideoError
from schemas.models import Geometry, ModelInput
from schemas.options import MAX_PIXELS
from schemas.records import Span
from schemas.times import ROUNDING_S
from schemas.video_meta import VideoMeta

Picture = NDArray[np.uint8]

# The demuxers whose times and seeking can be trusted.
_TRUSTED = frozenset({"mov", "mp4", "matroska", "webm"})

# Where in a moment its one picture is taken: later costs more frames, and the first ones may show what was before.
_EARLY = 0.25

# Frames that are decoded on the way to a moment before it is given up.
_MOST_FRAMES = 2_000


def still_frames(path: str, span: Span, count: int, short_edge: int, *, track: int | None = None) -> list[Picture]:
    """Frames of a moment, spread over it evenly; one alone is from its first half.

    Args:
        path: the video.
        span: the moment, in seconds.
        count: how many frames.
        short_edge: of each picture, in pixels.
        track: the video track, from 1; None for the one that players take.

    Returns:
        ``count`` frames or fewer, one or more, in the order of time: uint8 [height, width, 3], RGB, turned as players turn
        them, with square pixels.

    Raises:
        VideoError: no frame of the moment can be decoded.
    """
    geometry = Geometry(resize=short_edge, crop=None)
    try:
        frames = _near_frames(path, span, count, geometry, track)
    except (*READING_ERRORS, VideoError):
        frames = []
    if frames:
        return frames
    seen = decode_seen(path, probed(path, track), [span], ModelInput(count, geometry))
    return list(seen.frames[0])


@lru_cache(maxsize=32)
def probed(path: str, track: int | None) -> VideoMeta:
    """`pipeline.probe.probe`, which reads the file from end to end; what it found in the last files is kept.

    Raises:
        VideoError: as `pipeline.probe.probe` does.
    """
    return probe(path, track=track)


def _near_frames(path: str, span: Span, count: int, geometry: Geometry, track: int | None) -> list[Picture]:
    """Frames at about the wanted times; none where the file's times do not lead there."""
    with open_video(path) as container:
        if _TRUSTED.isdisjoint(container.format.name.split(",")):
            return []
        stream = video_stream(container, track_index(container, track))
        context = stream.codec_context
        check_pixels(context.width, context.height, MAX_PIXELS)
        context.thread_count = 1
        context.options = {"skip_loop_filter": "all"}
        stated = Stated.of(context)
        zero_s = Fraction(container.start_time or 0, av.time_base)
        wanted_s = [float(zero_s) + time_s for time_s in _times(span, count)]
        frames = _decoded(container, stream, float(zero_s) + span.start_s, float(zero_s) + span.end_s, wanted_s, count == 1)
        crop, scaler = stated_crop(container, stream), None
        pictures = list[Picture]()
        for frame in frames:
            if scaler is None:
                rotation_deg, mirrored = orientation(frame)
                aspect = Fraction(stream.sample_aspect_ratio or context.sample_aspect_ratio or 1)
                scaler = Scaler(geometry, rotation_deg=rotation_deg, mirrored=mirrored, pixel_aspect=aspect, scaling="fast")
                cropper = Cropper(crop)
            stated.complete(frame)
            pictures.append(scaler(cropper(frame)))
        return pictures


def _times(span: Span, count: int) -> Sequence[float]:
    """The wanted times of ``count`` frames of a moment, in seconds."""
    length_s = span.end_s - span.start_s
    if count == 1:
        return [span.start_s + _EARLY * length_s]
    return [span.start_s + (number + 0.5) / count * length_s for number in range(count)]


def _decoded(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    start_s: float,
    end_s: float,
    wanted_s: Sequence[float],
    any_keyframe: bool,
) -> Iterator[av.VideoFrame]:
    """The first frame at or after each of the wanted times, but for those that no other frame refers to.

    Args:
        container: the video, opened for this.
        stream: its video.
        start_s: where the moment begins, in seconds of the container's clock.
        end_s: where it ends.
        wanted_s: times, ascending.
        any_keyframe: a keyframe anywhere in the moment serves as well.
    """
    time_base = float(stream.time_base or 1)
    seek_s = end_s - time_base if any_keyframe else wanted_s[0]
    container.seek(max(0, int(seek_s / time_base)), stream=stream, backward=True)
    stream.codec_context.skip_frame = "NONREF"
    waiting, latest = list(wanted_s), None
    for number, (time_s, frame) in enumerate(_timed(container, stream, time_base)):
        if number > _MOST_FRAMES or time_s >= end_s:
            break
        if time_s < start_s - ROUNDING_S:
            continue
        if number == 0 and any_keyframe:
            yield frame
            return
        latest = frame
        while waiting and time_s >= waiting[0]:
            waiting.pop(0)
            yield frame
            latest = None
        if not waiting:
            return
    if latest is not None:
        yield latest


def _timed(
    container: av.container.InputContainer, stream: av.VideoStream, time_base: float
) -> Iterator[tuple[float, av.VideoFrame]]:
    """The frames that can be decoded, with their times in seconds, until one has none."""
    for packet in container.demux(stream):
        try:
            frames = decode(packet)
        except av.FFmpegError:
            continue
        for frame in frames:
            if frame.pts is None:
                return
            yield frame.pts * time_base, frame
