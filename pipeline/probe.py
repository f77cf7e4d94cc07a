"""Reads a container's packets without decoding them: the true times, the number of frames, and what is missing."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.container.completeness import what_is_missing
from pipeline.container.h264_fields import FieldPairs
from pipeline.container.packed_frames import PackedFrames
from pipeline.container.packet_times import PacketTimes, join
from pipeline.container.reading import (
    BYTE_SEEKABLE,
    FIRST_PACKETS,
    READING_ERRORS,
    decode,
    describe,
    open_video,
    track_index,
    video_stream,
    video_tracks,
)
from pipeline.container.seeking import seek_reads_most
from pipeline.picture.colour import Stated, is_ordinary
from pipeline.picture.crop import stated_crop
from pipeline.picture.turn import turned
from pipeline.sampling import JOB_S
from schemas.errors import VideoError
from schemas.options import MAX_FRAMES, MAX_PIXELS
from schemas.video_meta import Keyframe, Part, VideoMeta

# The codec tags of encrypted tracks.
_LOCKED_TAGS = frozenset({"encv", "drmi"})


def probe(path: str, *, max_pixels: int = MAX_PIXELS, max_frames: int = MAX_FRAMES, track: int | None = None) -> VideoMeta:
    """Demux the best video stream of ``path``, and decode its first frame for the rotation that a player applies.

    Costs 1-2 % of decoding the whole file.

    Args:
        path: the video, of any source.
        max_pixels: pixels of a frame, above which a video is refused before one is decoded.
        max_frames: frames, above which a video is refused.
        track: the video track to take in place of the best, from 1; of a file with fewer, the best is taken.

    Raises:
        VideoError: no video container, no video stream, no frame, or more than the limits allow.
    """
    try:
        with open_video(path) as container:
            stream_index = track_index(container, track)
            stream = video_stream(container, stream_index)
            tracks = [video_track.index for video_track in video_tracks(container)]
            width, height = stream.codec_context.width, stream.codec_context.height
            check_pixels(width, height, max_pixels)
            packets = _demux(path, container, stream, max_frames)
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
            elif not packets.parts and (
                missing := what_is_missing(
                    container,
                    stream,
                    num_packets=packets.count,
                    end_pts=int(packets.pts[-1]) + packets.last_duration,
                    longest_gap_s=float(int(np.diff(packets.pts).max(initial=0)) * time_base),
                )
            ):
                problems.append(missing)
            first_frame = packets.first_frame or _FirstFrame(0, False, width, height, False)
            width, height = first_frame.width, first_frame.height
            crop = stated_crop(container, stream)
            if crop and crop.left + crop.right < width and crop.top + crop.bottom < height:
                width, height = width - crop.left - crop.right, height - crop.top - crop.bottom
            else:
                crop = None
            return VideoMeta(
                container=_container_name(container.format.name, path),
                codec=stream.codec_context.codec.canonical_name,
                coded_width=width,
                coded_height=height,
                rotation_deg=first_frame.rotation_deg,
                mirrored=first_frame.mirrored,
                pixel_aspect=Fraction(stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or 1),
                time_base=time_base,
                start_pts=min(start_pts, int(packets.pts[0])),
                pts=packets.pts,
                last_duration=packets.last_duration,
                keyframes=packets.keyframes,
                timed=timed,
                problems=tuple(problems),
                parts=packets.parts,
                coded_as_fields=packets.coded_as_fields,
                seeks_read_all=packets.seeks_read_all,
                crop=crop,
                wide_colours=first_frame.wide_colours,
                late=packets.late,
                stream_index=stream_index,
                track=tracks.index(stream.index) + 1 if stream.index in tracks else 1,
                num_tracks=max(1, len(tracks)),
            )
    except READING_ERRORS as exc:
        raise VideoError("probe", f"no video container that FFmpeg can read: {describe(exc)}") from exc


def _container_name(names: str, path: str) -> str:
    """One of a demuxer's names, such as ``mov,mp4,m4a,3gp,3g2,mj2``: the file's ending if that is one, or the first."""
    ending = os.path.splitext(path)[1].lstrip(".").lower()
    return ending if ending in names.split(",") else names.split(",")[0]


class _FirstFrame(NamedTuple):
    """The facts about all frames that the first one tells; see `VideoMeta`. Width and height are before cropping."""

    rotation_deg: int
    mirrored: bool
    width: int
    height: int
    wide_colours: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Packets:
    """The result of the demux pass; times in ticks.

    Attributes:
        pts: int64, presentation times of the frames to be shown, ascending.
        last_duration: how long the last of them is shown.
        keyframes: where decoding can start, ascending.
        count: number of packets in the stream, shown or not.
        parts: as in `VideoMeta`.
        coded_as_fields: as in `VideoMeta`.
        seeks_read_all: as in `VideoMeta`.
        broken: why reading stopped before the end; None where it did not.
        first_frame: None where the first packets gave no frame.
        late: as in `VideoMeta`.
    """

    pts: NDArray[np.int64]
    last_duration: int
    keyframes: tuple[Keyframe, ...]
    count: int
    parts: tuple[Part, ...]
    coded_as_fields: bool
    seeks_read_all: bool
    broken: str | None
    first_frame: _FirstFrame | None
    late: int = 0


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Refuse frames that would fill the memory.

    Raises:
        VideoError: a frame of this size holds more pixels than allowed.
    """
    if width * height > max_pixels:
        raise VideoError(
            "probe",
            f"its frames are {width} x {height}, expected {max_pixels / 1e6:g} million pixels; raise --max-pixels",
        )


def _demux(path: str, container: av.container.InputContainer, stream: av.VideoStream, max_frames: int) -> _Packets:
    rows: list[tuple[int, int, int, int, bool, bool]] = []  # pts, dts, duration, pos, keyframe, hidden
    broken = None
    count = 0
    has_fields = False
    first_frame: _FirstFrame | None = None
    context = stream.codec_context
    context.thread_count = 1
    fields = FieldPairs(context.extradata) if context.name == "h264" else None
    packed = PackedFrames(context)
    try:
        for packet in container.demux(stream):
            if not count and packet.size:
                check_unlocked(packet, context)
            if first_frame is None and packet.size and count < FIRST_PACKETS:
                first_frame = _first_frame_of(packet, context)
            time = packet.pts if packet.pts is not None else packet.dts
            count += packet.size > 0 or time is not None
            if count > max_frames:
                raise VideoError("probe", f"it holds more than {max_frames} frames; raise --max-frames")
            second = False
            if fields is not None and packet.size:
                fields = None if fields.frames_only else fields
                second = fields is not None and fields.second_field(bytes(packet))
                has_fields |= second
            if time is None or packet.size == 0:
                count -= second
                continue  # the flush packet at the end, and packets no frame can be placed by
            # An edit list hides some frames from viewers.
            dts = packet.dts if packet.dts is not None else time
            pos = packet.pos if packet.pos is not None else -1
            hidden = packet.is_discard or second
            packed.take(packet, dts)
            rows.append((time, dts, packet.duration or 0, pos, packet.is_keyframe and not second, hidden))
    except READING_ERRORS as exc:
        broken = f"the container breaks off: {describe(exc)}"
    placed = _placed(path, rows, container.format.name, stream, has_fields, count, broken, first_frame)
    if not packed.packed_dts or not len(placed.pts):
        return placed
    keyframes = packed.placed(placed.keyframes, placed.last_duration)
    return replace(placed, keyframes=keyframes, late=int(placed.pts[0]) - rows[0][1])


def _placed(
    path: str,
    rows: list[tuple[int, int, int, int, bool, bool]],
    format_name: str,
    stream: av.VideoStream,
    has_fields: bool,
    count: int,
    broken: str | None,
    first_frame: _FirstFrame | None,
) -> _Packets:
    """The result of the demux pass: when the packets' frames are shown, and where decoding can start."""
    table = np.asarray(rows, np.int64).reshape(-1, 6)
    times = PacketTimes(*(np.ascontiguousarray(column) for column in table.T[:4]))
    time_base = stream.time_base or Fraction(1, av.time_base)
    joined = join(times, time_base)
    if not rows or not joined.usable:
        empty = np.zeros(0, np.int64)
        return _Packets(empty, 0, (), count, (), has_fields, False, broken, first_frame)
    at, dts = times.pts + joined.shift, times.dts + joined.shift
    shown = (table[:, 5] == 0) & ~joined.stray
    if not shown.any():
        raise VideoError("probe", "its edit list hides every frame: it was cut where nothing is left")
    order = np.argsort(at[shown], kind="stable")
    pts = at[shown][order]
    usual = int(np.median(np.diff(pts))) if len(pts) > 1 else 0
    last_duration = (0 if has_fields or format_name == "avi" else int(times.duration[shown][order[-1]])) or usual or 1
    keys = np.flatnonzero((table[:, 4] != 0) & ~joined.stray)
    keyframes = sorted(Keyframe(int(at[key]), int(dts[key])) for key in keys)
    seeks_read_all = False
    # MP4 and MOV always hold an index.
    if not joined.parts and "mov" not in format_name.split(",") and len(keyframes) > 1:
        length_s = float(int(pts[-1] - pts[0]) * time_base)
        seeks_read_all = length_s > JOB_S and seek_reads_most(path, format_name, stream.index, keyframes[-1])
    if (joined.parts or seeks_read_all) and format_name in BYTE_SEEKABLE:
        keyframes = sorted(Keyframe(int(at[key]), int(dts[key]), int(times.pos[key])) for key in keys if times.pos[key] >= 0)
        seeks_read_all = not keyframes
    elif joined.parts:  # each time is there several times
        keyframes = []
    return _Packets(
        pts=pts,
        last_duration=last_duration,
        keyframes=tuple(keyframes),
        count=count,
        parts=joined.parts,
        coded_as_fields=has_fields,
        seeks_read_all=seeks_read_all,
        broken=broken,
        first_frame=first_frame,
    )


def check_unlocked(packet: av.Packet[av.VideoStream], context: av.VideoCodecContext) -> None:
    """Refuse an encrypted packet, which a decoder would turn into noise.

    Raises:
        VideoError: the packet is encrypted.
    """
    if context.codec_tag in _LOCKED_TAGS or packet.has_sidedata("encryption_info"):
        raise VideoError("probe", "encrypted: its frames need a key that vidsift does not have; decrypt it first")


def _first_frame_of(packet: av.Packet[av.VideoStream], context: av.VideoCodecContext) -> _FirstFrame | None:
    """The facts about all frames that the first one tells; None where this packet gives no frame.

    They are read from a frame since a container may state another size, and FFmpeg puts the display matrix on frames. A
    decoder holds frames back to put them in order, so it is flushed after a keyframe, and gives it at once. Where decoding
    fails, the container's statements are taken: the decode step will report what is wrong.
    """
    stated = Stated.of(context)
    try:
        frames = decode(packet)
        if not frames and packet.is_keyframe and not packet.is_discard:
            frames = context.decode(None)
            context.flush_buffers()
        if not frames:
            return None
        stated.complete(frames[0])
        return _FirstFrame(*turned(frames[0]), frames[0].width, frames[0].height, not is_ordinary(frames[0]))
    except av.FFmpegError:
        return None  # such as a packet before the first keyframe
    except Exception:  # noqa: BLE001 - whatever a library raises here
        return _FirstFrame(0, False, context.width, context.height, False)
