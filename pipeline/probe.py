"""Read a container's packets without decoding them: the true times, the frame count, and what is missing."""

from __future__ import annotations

import os
from fractions import Fraction

import av
import numpy as np

from schemas.errors import VideoError
from schemas.records import Keyframe, VideoMeta

# Shorter than its header says by more than this counts as cut off: real headers round, and differ by a frame or two.
_MISSING_LEAST_S = 0.5
_MISSING_SHARE = 0.02


def probe(path: str) -> VideoMeta:
    """Demux the best video stream of ``path``, and decode its first frame for the rotation a player would apply.

    Costs 1-2 % of decoding the whole file.

    Raises:
        VideoError: no video container, no video stream, or no frame with a time.
    """
    try:
        with av.open(path) as container:
            stream = video_stream(container)
            packets = _demux(container, stream)
            if len(packets.pts) == 0:
                raise VideoError("probe", packets.broken or "the video stream holds no frame with a time")
            time_base = stream.time_base or Fraction(1, av.time_base)
            start_pts = round(Fraction(container.start_time or 0, av.time_base) / time_base)
            problems = [packets.broken] if packets.broken else []
            end_s = float((int(packets.pts[-1]) + packets.last_duration - start_pts) * time_base)
            if missing := _missing(container, stream, time_base, start_pts, end_s):
                problems.append(missing)
            return VideoMeta(
                container=_container_name(container.format.name, path),
                codec=stream.codec_context.name,
                coded_width=stream.codec_context.width,
                coded_height=stream.codec_context.height,
                rotation_deg=_rotation_deg(path),
                pixel_aspect=Fraction(stream.sample_aspect_ratio or 1),
                time_base=time_base,
                start_pts=min(start_pts, int(packets.pts[0])),
                pts=packets.pts,
                last_duration=packets.last_duration,
                keyframes=packets.keyframes,
                problems=tuple(problems),
            )
    except av.FFmpegError as exc:
        raise VideoError("probe", f"no video container that FFmpeg can read: {describe(exc)}") from exc


def _container_name(names: str, path: str) -> str:
    """FFmpeg calls one demuxer ``mov,mp4,m4a,3gp,3g2,mj2``: the file's ending tells which, where it is among them."""
    ending = os.path.splitext(path)[1].lstrip(".").lower()
    return ending if ending in names.split(",") else names.split(",")[0]


def describe(exc: av.FFmpegError) -> str:
    """FFmpeg's own words for an error, without the path."""
    return str(exc.strerror or exc)


def video_stream(container: av.container.InputContainer) -> av.video.stream.VideoStream:
    """The stream a player would show.

    Raises:
        VideoError: there is none, it is a still cover picture, or this FFmpeg has no decoder for it.
    """
    stream = container.streams.best("video")
    if stream is None:
        kinds = sorted({stream.type for stream in container.streams})
        raise VideoError("probe", f"no video stream; the file holds {', '.join(kinds) or 'no stream at all'}")
    assert isinstance(stream, av.video.stream.VideoStream)
    if stream.disposition & av.stream.Disposition.attached_pic:
        raise VideoError("probe", "no video stream but a still cover picture")
    if stream.codec_context is None:
        raise VideoError("probe", "this FFmpeg has no decoder for the video stream's codec")
    return stream


class _Packets:
    """What the demux pass collected; all times in ticks."""

    def __init__(self, pts: list[int], durations: list[int], keyframes: list[Keyframe], broken: str | None) -> None:
        order = np.argsort(np.asarray(pts, np.int64), kind="stable")
        self.pts = np.asarray(pts, np.int64)[order]
        self.keyframes = tuple(sorted(keyframes))
        self.broken = broken
        self.last_duration = 0
        if len(pts):
            steps = np.diff(self.pts)
            self.last_duration = durations[int(order[-1])] or (int(np.median(steps)) if len(steps) else 0)


def _demux(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> _Packets:
    pts: list[int] = []
    durations: list[int] = []
    keyframes: list[Keyframe] = []
    broken = None
    try:
        for packet in container.demux(stream):
            time = packet.pts if packet.pts is not None else packet.dts
            if time is None or packet.size == 0:
                continue  # the flush packet at the end, and packets no frame can be placed by
            if packet.is_keyframe:
                keyframes.append(Keyframe(time, packet.dts if packet.dts is not None else time))
            if not packet.is_discard:  # an edit list hides these from viewers
                pts.append(time)
                durations.append(packet.duration or 0)
    except av.FFmpegError as exc:
        broken = f"the container breaks off: {describe(exc)}"
    return _Packets(pts, durations, keyframes, broken)


def _missing(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    time_base: Fraction,
    start_pts: int,
    end_s: float,
) -> str | None:
    """Say what the header promises beyond the last frame, or None where it keeps its word."""
    if stream.duration is not None:
        promised_s = float(((stream.start_time or 0) + stream.duration - start_pts) * time_base)
        found_s = end_s
    elif container.duration is not None:
        # The container's duration may be its audio's: only where no stream gets there is something missing.
        promised_s = container.duration / av.time_base
        found_s = end_s
        if promised_s - found_s > _MISSING_LEAST_S:
            found_s = max(found_s, _end_of_any_stream_s(container))
    else:
        return None
    if promised_s - found_s > max(_MISSING_LEAST_S, _MISSING_SHARE * promised_s):
        return f"cut off: the header promises {promised_s:.1f} s, frames end at {found_s:.1f} s"
    return None


def _end_of_any_stream_s(container: av.container.InputContainer) -> float:
    start_s = (container.start_time or 0) / av.time_base
    end_s = 0.0
    container.seek(container.start_time or 0)
    try:
        for packet in container.demux():
            if packet.dts is not None and packet.time_base:
                end_s = max(end_s, float((packet.dts + (packet.duration or 0)) * packet.time_base) - start_s)
    except av.FFmpegError:
        return end_s  # where it breaks off is where it ends
    return end_s


def _rotation_deg(path: str) -> int:
    """FFmpeg puts the display matrix on frames, so one has to be decoded; 0 where none can be."""
    try:
        with av.open(path) as container:
            stream = video_stream(container)
            stream.thread_count = 1
            for frame in container.decode(stream):
                return round(frame.rotation / 90) * 90
    except av.FFmpegError:
        return 0  # the decode step will say what is wrong with the frames
    return 0
