"""Cuts a piece out of a video into a file of its own: copied where it can begin at a keyframe, else encoded anew."""

from __future__ import annotations

import errno
from bisect import bisect_right
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import av
import numpy as np

from pipeline.container.reading import FIRST_PACKETS, READING_ERRORS, decode, describe, open_video, packets, video_stream
from pipeline.picture.colour import Stated
from pipeline.trim.audio import audio_stream, sound_of
from pipeline.trim.form import FOR_PLAYERS, PieceForm
from pipeline.trim.reencode import encode, encode_from_keyframe
from pipeline.trim.timestamps import Cut, TrimNotPossible, disappears_s, frame_start_s, last_before, seconds_to_pts
from pipeline.trim.video_encoder import keep_colours, keep_orientation
from schemas.errors import JobError, VideoError
from schemas.records import Span
from schemas.video_meta import Keyframe, VideoMeta

# A copy begins at a keyframe, and ends where no frame before its last is missing. It may show this many seconds more at
# either end than was asked for.
_MORE_S = 0.5

# AVI stores no presentation times, so copies of it would be shown wrong.
_NEVER_COPIED_FROM = frozenset({"avi"})

# Errors of the disk that is written to, and not of the video.
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})


def cut_video(path: str, meta: VideoMeta, span: Span, output: Path, form: PieceForm = FOR_PLAYERS) -> Cut:
    """Write ``span`` of a video, with its sound, as an MP4 file that begins at time 0.

    Of several audio streams, the one that a player would play is taken; subtitles are left out. The rotation of the picture
    and the shape of its pixels are kept.

    Args:
        path: the video.
        meta: the result of `pipeline.probe.probe` for it.
        span: an interval within the video.
        output: the file to write.
        form: what is copied, and how the rest is encoded.

    Raises:
        VideoError: no frame of the span can be decoded.
        JobError: the disk is full.
    """
    keyframe = copy_start(meta, span, form)
    ways: list[Callable[[], Cut]] = []
    if keyframe is not None:
        ways.append(lambda: _copy(path, meta, span, keyframe, output, form))
    ways.append(lambda: encode_from_keyframe(path, meta, span, output, form))
    ways.append(lambda: encode(path, meta, span, output, form, seek=False, counted=not meta.timed))
    reason = "it holds no frame that could be decoded"
    for way in ways:
        try:
            return way()
        except TrimNotPossible as exc:
            reason = str(exc) or reason
        except (*READING_ERRORS, ValueError) as exc:
            output.unlink(missing_ok=True)
            if getattr(exc, "errno", None) in _DISK_ERRORS:
                raise JobError(f"{str(output)!r} cannot be written: {describe(exc)}; make room, and export again") from exc
            reason = describe(exc)
        except BaseException:
            output.unlink(missing_ok=True)
            raise
    output.unlink(missing_ok=True)
    raise VideoError("decode", reason)


def has_sound(path: str) -> bool:
    """Whether a video has sound that a player would play. False where it cannot be read."""
    try:
        with open_video(path) as container:
            return audio_stream(container) is not None
    except READING_ERRORS:
        return False


def copy_start(meta: VideoMeta, span: Span, form: PieceForm = FOR_PLAYERS) -> Keyframe | None:
    """The keyframe that a copy of ``span`` begins at, up to half a second before it; None where there is none."""
    if not meta.timed or meta.codec not in form.codecs or meta.container in _NEVER_COPIED_FROM:
        return None
    if form.formats is not None and meta.crop is not None:  # MP4's own crop, which browsers do not know
        return None
    start_pts = seconds_to_pts(meta, span.start_s)
    position = bisect_right(meta.keyframes, start_pts, key=lambda keyframe: keyframe.pts) - 1
    if position < 0:
        return None
    keyframe = meta.keyframes[position]
    is_near = (start_pts - keyframe.pts) * meta.time_base <= _MORE_S
    return keyframe if is_near and keyframe.pts >= int(meta.pts[0]) else None


def _copy(path: str, meta: VideoMeta, span: Span, keyframe: Keyframe, output: Path, form: PieceForm) -> Cut:
    """Copy packets from ``keyframe`` on, until all frames before the span's end are there, without a gap.

    Decoding times are computed: after seeking in Matroska, the first packets have none.

    Raises:
        TrimNotPossible: there is no such run of packets.
    """
    count, latest, early = _copied_packets(path, meta, span, keyframe)
    first = int(np.searchsorted(meta.pts, keyframe.pts))
    shown = _first_frame(path, meta, keyframe)
    if form.formats is not None and (shown is None or shown.format.name not in form.formats):
        raise TrimNotPossible("its pixels have a format that is not copied")
    with open_video(path) as source, av.open(str(output), "w", format="mp4", options=dict(form.mp4)) as target:
        video = video_stream(source, meta.stream_index)
        copied = target.add_stream_from_template(video, opaque=True)
        keep_orientation(copied, meta)
        if shown is not None:
            keep_colours(copied, shown, Stated.of(video.codec_context))
        sound = sound_of(source, target, meta, Span(frame_start_s(meta, keyframe.pts), span.end_s), form.sound)
        sound.begin()
        done = 0
        for packet in packets(source, video, sound.sources, start=keyframe, parts=meta.parts):
            if packet.stream is not video:
                sound.take(packet)
            elif done < count and packet.pts is not None and packet.pts >= keyframe.pts:
                packet.dts = int(meta.pts[first + done]) - early - keyframe.pts
                packet.pts -= keyframe.pts
                packet.stream = copied
                target.mux(packet)
                done += 1
            if done == count and sound.done:
                break
        sound.finish()
    return Cut("copied", frame_start_s(meta, keyframe.pts), disappears_s(meta, latest), bool(sound.sources))


def _first_frame(path: str, meta: VideoMeta, keyframe: Keyframe) -> av.VideoFrame | None:
    """The first frame that can be decoded from a keyframe on."""
    with open_video(path) as source:
        video = video_stream(source, meta.stream_index)
        video.codec_context.thread_count = 1
        for packet in islice(packets(source, video, start=keyframe, parts=meta.parts), FIRST_PACKETS):
            try:
                for frame in decode(packet):
                    return frame
            except av.FFmpegError:
                continue
    return None


def _copied_packets(path: str, meta: VideoMeta, span: Span, keyframe: Keyframe) -> tuple[int, int, int]:
    """The number of packets that a copy takes, the pts of their last frame, and how many ticks decoding runs ahead.

    Packets that follow the keyframe and are shown before it depend on what came before it, and are left out.

    Raises:
        TrimNotPossible: there is no run of packets without a gap that ends near the span's end.
    """
    last_pts = last_before(meta, seconds_to_pts(meta, span.end_s))
    first = int(np.searchsorted(meta.pts, keyframe.pts))
    count, latest, early = 0, keyframe.pts, 0
    with open_video(path) as source:
        video = video_stream(source, meta.stream_index)
        for packet in packets(source, video, start=keyframe, parts=meta.parts):
            pts = packet.pts
            if not packet.size or (not count and pts is not None and pts < keyframe.pts):
                continue  # the flush packet, or seeking went further back
            if pts is None or packet.is_discard or (not count and pts > keyframe.pts):
                break
            if pts < keyframe.pts:
                continue
            early = max(early, int(meta.pts[min(first + count, meta.num_frames - 1)]) - pts)
            count, latest = count + 1, max(latest, pts)
            if latest >= last_pts and count == int(np.searchsorted(meta.pts, latest, side="right")) - first:
                if disappears_s(meta, latest) - span.end_s > _MORE_S:
                    break
                return count, latest, early
    raise TrimNotPossible("it cannot be copied")
