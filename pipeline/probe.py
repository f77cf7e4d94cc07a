"""Read a container's packets without decoding them: the true times, the frame count, and what is missing."""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass, replace
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from schemas.errors import VideoError
from schemas.options import MAX_FRAMES, MAX_PIXELS
from schemas.records import Keyframe, VideoMeta

# Local files only: a playlist under a video's name must not make FFmpeg open a connection.
_OPTIONS = {"protocol_whitelist": "file"}

# What FFmpeg opens that is no video file but a list of others.
_PLAYLISTS = frozenset({"concat", "hls", "dash", "imf"})

# What reading a damaged container raises: FFmpeg's errors, and PyAV's own when a new stream turns up midway.
READING_ERRORS = (av.FFmpegError, IndexError)

# Times that go back by more than this are no reordering of frames but a second recording behind the first.
_BACK_S = 1.0

# Shorter than its header says by more than this counts as cut off: real headers round, and differ by a frame or two.
_MISSING_LEAST_S = 0.5
_MISSING_SHARE = 0.02

# Packets in which a first frame is looked for.
_FIRST_PACKETS = 64

# Containers that say all of a video that is not decoded here anyway. FFmpeg would decode the beginning of what it opens, to
# learn the format of the pixels: at 1080p that takes as long as ten frames.
_TELLING = frozenset({".mp4", ".m4v", ".mov"})
_MOST_STREAMS = 64


def probe(path: str, *, max_pixels: int = MAX_PIXELS, max_frames: int = MAX_FRAMES) -> VideoMeta:
    """Demux the best video stream of ``path``, and decode its first frame for the rotation a player would apply.

    Costs 1-2 % of decoding the whole file.

    Args:
        path: the file.
        max_pixels: larger frames are refused before one is decoded.
        max_frames: longer videos are refused.

    Raises:
        VideoError: no video container, no video stream, no frame, or more than the limits allow.
    """
    try:
        with open_video(path) as container:
            stream = video_stream(container)
            width, height = stream.codec_context.width, stream.codec_context.height
            check_pixels(width, height, max_pixels)
            packets = _demux(container, stream, max_frames)
            if packets.count == 0:
                raise VideoError("probe", packets.broken or "the video stream holds no frame")
            time_base = stream.time_base or Fraction(1, av.time_base)
            start_pts = round(Fraction(container.start_time or 0, av.time_base) / time_base)
            problems = [packets.broken] if packets.broken else []
            timed = len(packets.pts) > 0
            if not timed:  # a raw stream: count frames, at the rate that its header or FFmpeg supposes
                rate = stream.guessed_rate or stream.average_rate or Fraction(25)
                time_base, start_pts = 1 / rate, 0
                packets = replace(packets, pts=np.arange(packets.count), last_duration=1, keyframes=())
                problems.append(f"its frames carry no times: {float(rate):g} a second are assumed")
            elif missing := _missing(container, stream, packets, time_base, start_pts):
                problems.append(missing)
            if (back_s := float(packets.back * time_base)) > _BACK_S:
                problems.append(f"its times go back by {back_s:.1f} s: parts that claim the same time cannot be told apart")
            rotation_deg, mirrored = packets.orientation
            return VideoMeta(
                container=_container_name(container.format.name, path),
                codec=stream.codec_context.codec.canonical_name,
                coded_width=width,
                coded_height=height,
                rotation_deg=rotation_deg,
                mirrored=mirrored,
                pixel_aspect=Fraction(stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or 1),
                time_base=time_base,
                start_pts=min(start_pts, int(packets.pts[0])),
                pts=packets.pts,
                last_duration=packets.last_duration,
                keyframes=packets.keyframes,
                timed=timed,
                problems=tuple(problems),
            )
    except READING_ERRORS as exc:
        raise VideoError("probe", f"no video container that FFmpeg can read: {describe(exc)}") from exc


def open_video(path: str) -> av.container.InputContainer:
    """Open a local video file, and nothing else.

    Raises:
        VideoError: it is a playlist, which would have other files read in its place.
        av.FFmpegError: it is no video container.
    """
    # Titles and the like are in any encoding that a camera or a program of their time used.
    telling = os.path.splitext(path)[1].lower() in _TELLING
    undecoded = [{"skip_frame": "all"}] * _MOST_STREAMS if telling else None
    container = av.open(
        path,
        options=_OPTIONS,
        stream_options=undecoded,  # type: ignore[arg-type]  # its stub is wrong: a dictionary for each stream
        metadata_errors="replace",
    )
    if container.format.name in _PLAYLISTS:
        name = container.format.name
        container.close()
        raise VideoError("probe", f"no video but a playlist ({name}) of other files; ingest those")
    return container


def _container_name(names: str, path: str) -> str:
    """FFmpeg calls one demuxer ``mov,mp4,m4a,3gp,3g2,mj2``: the file's ending tells which, where it is among them."""
    ending = os.path.splitext(path)[1].lstrip(".").lower()
    return ending if ending in names.split(",") else names.split(",")[0]


def describe(exc: Exception) -> str:
    """FFmpeg's own words for an error, without the path."""
    return str(getattr(exc, "strerror", None) or exc)


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
        raise VideoError("probe", "this FFmpeg has no decoder for its codec; re-encode it with the program that made it")
    return stream


@dataclass(frozen=True, slots=True, eq=False)
class _Packets:
    """What the demux pass collected; times in ticks.

    Attributes:
        pts: int64, presentation times of the frames to be shown, ascending.
        last_duration: of the last of them.
        keyframes: where decoding can start.
        count: packets in the stream, whether shown or not.
        back: the furthest that decoding times go back.
        broken: why reading ended before the end, where it did.
        orientation: as `_orientation` says; (0, False) where no frame could be had of the first packets: the decode step
            will say what is wrong.
    """

    pts: NDArray[np.int64]
    last_duration: int
    keyframes: tuple[Keyframe, ...]
    count: int
    back: int
    broken: str | None
    orientation: tuple[int, bool]


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Refuse frames that would fill the memory.

    Raises:
        VideoError: a frame of this size holds more pixels than allowed.
    """
    if width * height > max_pixels:
        raise VideoError(
            "probe",
            f"its frames are {width} x {height}, allowed are {max_pixels / 1e6:g} million pixels; raise --max-pixels",
        )


def _demux(container: av.container.InputContainer, stream: av.video.stream.VideoStream, max_frames: int) -> _Packets:
    times: list[int] = []
    durations: list[int] = []
    keyframes: list[Keyframe] = []
    broken = None
    count = back = 0
    latest_dts: int | None = None
    orientation: tuple[int, bool] | None = None
    try:
        for packet in container.demux(stream):
            if orientation is None and packet.size and count < _FIRST_PACKETS:
                orientation = _orientation(packet, stream.codec_context)
            time = packet.pts if packet.pts is not None else packet.dts
            count += packet.size > 0 or time is not None
            if count > max_frames:
                raise VideoError("probe", f"it holds more than {max_frames} frames; raise --max-frames")
            if packet.dts is not None:
                back = max(back, (latest_dts if latest_dts is not None else packet.dts) - packet.dts)
                latest_dts = max(latest_dts if latest_dts is not None else packet.dts, packet.dts)
            if time is None or packet.size == 0:
                continue  # the flush packet at the end, and packets no frame can be placed by
            if packet.is_keyframe:
                keyframes.append(Keyframe(time, packet.dts if packet.dts is not None else time))
            if not packet.is_discard:  # an edit list hides these from viewers
                times.append(time)
                durations.append(packet.duration or 0)
    except READING_ERRORS as exc:
        broken = f"the container breaks off: {describe(exc)}"
    order = np.argsort(np.asarray(times, np.int64), kind="stable")
    pts = np.asarray(times, np.int64)[order]
    last_duration = 0
    if times:
        last_duration = durations[int(order[-1])] or (int(np.median(np.diff(pts))) if len(pts) > 1 else 0) or 1
    return _Packets(pts, last_duration, tuple(sorted(keyframes)), count, back, broken, orientation or (0, False))


def _missing(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    packets: _Packets,
    time_base: Fraction,
    start_pts: int,
) -> str | None:
    """Say what the header promises beyond what is there, or None where it keeps its word."""
    if stream.frames and packets.count < stream.frames * (1 - _MISSING_SHARE) - 1:
        return f"cut off: the header promises {stream.frames} frames, the file holds {packets.count}"
    found_s = float((int(packets.pts[-1]) + packets.last_duration - start_pts) * time_base)
    longest_gap_s = float(int(np.diff(packets.pts).max(initial=0)) * time_base)
    if stream.duration is not None and container.format.name.startswith("mov"):
        promised_s = float(((stream.start_time or 0) + stream.duration - start_pts) * time_base)
    elif container.duration is not None:
        # Elsewhere durations may be the sound's: only where no stream gets there is something missing.
        promised_s = container.duration / av.time_base
        if promised_s - found_s > _MISSING_LEAST_S:
            found_s = max(found_s, _end_of_any_stream_s(container))
    else:
        return None
    if promised_s - found_s > max(_MISSING_LEAST_S, _MISSING_SHARE * promised_s, 1.5 * longest_gap_s):
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
    except READING_ERRORS:
        return end_s  # where it breaks off is where it ends
    return end_s


def _orientation(packet: av.Packet[av.video.stream.VideoStream], context: av.VideoCodecContext) -> tuple[int, bool] | None:
    """How a player turns and mirrors the picture: counter-clockwise degrees, and whether left and right are swapped first.

    FFmpeg puts the display matrix on frames, so one has to be decoded. A decoder holds frames back to put them in order: it
    is flushed after a keyframe, and gives it at once. None where no frame came of this packet, and (0, False) where it
    cannot be decoded.
    """
    context.thread_count = 1
    try:
        frames = packet.decode()
        if not frames and packet.is_keyframe:
            frames = context.decode(None)
            context.flush_buffers()
    except av.FFmpegError:
        return 0, False
    if not frames:
        return None
    matrix = frames[0].side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 0, False
    # Row vectors times [[a, b], [c, d]], in 16.16 fixed point; a negative determinant mirrors.
    a, b, _, c, d = struct.unpack("<5i", memoryview(matrix)[:20])  # type: ignore[arg-type]
    if a * d - b * c >= 0:
        return round(frames[0].rotation / 90) * 90, False
    return round(math.degrees(math.atan2(c, -a)) / 90) * 90, True
