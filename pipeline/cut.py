"""Cut a piece out of a video into a file of its own: copied where it can begin at a keyframe, else encoded anew."""

from __future__ import annotations

import errno
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np

from pipeline.decoders.pyav import seek_keyframe
from pipeline.picture import Picture, keep_orientation
from pipeline.probe import READING_ERRORS, describe, open_video, video_stream
from pipeline.sample import frames_on_screen, keyframe_before
from pipeline.sound import Sound, audio_stream
from schemas.errors import JobError, VideoError
from schemas.records import Keyframe, Span, VideoMeta

How = Literal["copied", "re-encoded"]

# A copy can begin at keyframes alone, and end where no frame is missing before its last. It may show this much more at
# either end than was asked for.
_MORE_S = 0.5

# What MP4 holds and players know. AVI stores no presentation times, so that copies out of it would show them wrong.
_COPIED = frozenset({"h264", "hevc", "av1", "vp9", "mpeg4"})
_NEVER_COPIED_FROM = frozenset({"avi"})

# Errors of the disk that is written to, which are no fault of the video.
_OURS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class Cut:
    """A piece of a video as it was written.

    Attributes:
        how: whether the video's packets were copied or its frames encoded anew.
        start_s: what of the source the file's first moment shows; up to half a second before what was asked for.
        end_s: the same for its end; up to half a second later.
        sound: whether there is any.
        problems: what is wrong with the source there, in sentences.
    """

    how: How
    start_s: float
    end_s: float
    sound: bool
    problems: tuple[str, ...] = ()


class _Unfit(Exception):
    """This way of cutting does not do for this source; another may."""


class _GoesBack(_Unfit):
    """The container stores no times, and FFmpeg's guesses go wrong: frames have to be counted."""


def cut_video(path: str, meta: VideoMeta, span: Span, output: Path) -> Cut:
    """Write what ``path`` shows in ``span``, with its sound, as an MP4 file that begins at time 0.

    Of several sounds the one that a player would play is taken; subtitles are left out. How the picture is to be turned and
    the shape of its pixels are kept.

    Args:
        path: the source.
        meta: what `pipeline.probe.probe` says of it.
        span: within the video.
        output: the file to write.

    Raises:
        VideoError: nothing of the span can be decoded.
        JobError: the disk is full.
    """
    keyframe = copy_start(meta, span)
    ways: list[Callable[[], Cut]] = []
    if keyframe is not None:
        ways.append(lambda: _copy(path, meta, span, keyframe, output))
    ways.append(lambda: _encode_from_keyframe(path, meta, span, output))
    ways.append(lambda: _encode(path, meta, span, output, seek=False, counted=not meta.timed))
    reason = "it holds no frame that could be decoded"
    for way in ways:
        try:
            return way()
        except _Unfit as exc:
            reason = str(exc) or reason
        except (*READING_ERRORS, ValueError) as exc:
            output.unlink(missing_ok=True)
            if getattr(exc, "errno", None) in _OURS:
                raise JobError(f"{str(output)!r} cannot be written: {describe(exc)}; make room, and export again") from exc
            reason = describe(exc)
        except BaseException:
            output.unlink(missing_ok=True)
            raise
    output.unlink(missing_ok=True)
    raise VideoError("decode", reason)


def has_sound(path: str) -> bool:
    """Whether there is sound that a player would play."""
    try:
        with open_video(path) as container:
            return audio_stream(container) is not None
    except READING_ERRORS:
        return False


def copy_start(meta: VideoMeta, span: Span) -> Keyframe | None:
    """The keyframe that a copy of ``span`` would begin at: at most half a second before it; None where none is."""
    if not meta.timed or meta.codec not in _COPIED or meta.container in _NEVER_COPIED_FROM:
        return None
    start_pts = _ticks(meta, span.start_s)
    position = bisect_right(meta.keyframes, start_pts, key=lambda keyframe: keyframe.pts) - 1
    if position < 0:
        return None
    keyframe = meta.keyframes[position]
    near = (start_pts - keyframe.pts) * meta.time_base <= _MORE_S
    return keyframe if near and keyframe.pts >= int(meta.pts[0]) else None


def _copy(path: str, meta: VideoMeta, span: Span, keyframe: Keyframe, output: Path) -> Cut:
    """Packets from ``keyframe`` on, until all frames before the span's end are there and none is missing between them.

    Decoding times are made anew: after seeking in Matroska the first packets have none.
    """
    count, latest, early = _copied(path, meta, span, keyframe)
    first = int(np.searchsorted(meta.pts, keyframe.pts))
    with open_video(path) as source, av.open(str(output), "w", format="mp4") as target:
        video, audio = video_stream(source), audio_stream(source)
        copied = target.add_stream_from_template(video, opaque=True)
        keep_orientation(copied, meta)
        sound = _sound(audio, target, meta, keyframe.pts * meta.time_base, span)
        seek_keyframe(source, video, keyframe)
        done = 0
        for packet in source.demux([video] if sound is None or audio is None else [video, audio]):
            if sound is not None and packet.stream is audio:
                sound.take(packet)
            elif done < count and packet.pts is not None and packet.pts >= keyframe.pts:
                packet.dts = int(meta.pts[first + done]) - early - keyframe.pts
                packet.pts -= keyframe.pts
                packet.stream = copied
                target.mux(packet)
                done += 1
            if done == count and (sound is None or sound.done):
                break
        if sound is not None:
            sound.finish()
    return Cut("copied", _seconds(meta, keyframe.pts), _end_s(meta, latest), sound is not None)


def _copied(path: str, meta: VideoMeta, span: Span, keyframe: Keyframe) -> tuple[int, int, int]:
    """How many packets a copy takes, when the last frame among them is shown, and by how much decoding runs ahead.

    Packets that come after the keyframe and are shown before it need what came before it, and are left out.
    """
    last_pts = _last_before(meta, _ticks(meta, span.end_s))
    first = int(np.searchsorted(meta.pts, keyframe.pts))
    count, latest, early = 0, keyframe.pts, 0
    with open_video(path) as source:
        video = video_stream(source)
        seek_keyframe(source, video, keyframe)
        for packet in source.demux(video):
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
                if _end_s(meta, latest) - span.end_s > _MORE_S:
                    break
                return count, latest, early
    raise _Unfit("it cannot be copied")


class _Wanted:
    """Tells the frames of a piece from the others that have to be decoded on the way.

    Attributes:
        first_pts: the frame on screen at the piece's start.
        latest_pts: the last one that was picked; None before there is one.
        done: all have come.
    """

    def __init__(self, meta: VideoMeta, span: Span) -> None:
        self.first_pts = int(meta.pts[frames_on_screen(meta.frame_times_s, np.array([span.start_s]))[0]])
        self.latest_pts: int | None = None
        self.done = False
        self._meta = meta
        self._last_pts = max(self.first_pts, _last_before(meta, _ticks(meta, span.end_s)))
        self._index: int | None = None

    def count_from(self, keyframe: Keyframe | None) -> None:
        """Give frames the times of `VideoMeta.pts` in turn, for containers that store none of their own."""
        self._index = int(np.searchsorted(self._meta.pts, keyframe.pts)) if keyframe else 0

    def pick(self, frame: av.VideoFrame, *, strict: bool) -> int | None:
        """When a frame appears, in ticks, if it belongs to the piece.

        Raises:
            _Unfit: ``strict``, and the first frame does not come, or times go back.
        """
        pts = frame.pts
        if self._index is not None:
            pts = int(self._meta.pts[min(self._index, self._meta.num_frames - 1)])
            self._index += 1
        if pts is None or pts < self.first_pts:
            return None
        if strict and self.latest_pts is None and pts > self.first_pts:
            raise _Unfit("its first frame does not come")
        if self.latest_pts is not None and pts <= self.latest_pts:
            if strict and self._index is None:
                raise _GoesBack("its frames come with times that go back")
            return None
        self.done |= pts >= self._last_pts
        if pts > self._last_pts:
            return None
        self.latest_pts = pts
        return pts


def _encode_from_keyframe(path: str, meta: VideoMeta, span: Span, output: Path) -> Cut:
    try:
        return _encode(path, meta, span, output, seek=True, counted=not meta.timed)
    except _GoesBack:
        return _encode(path, meta, span, output, seek=True, counted=True)


def _encode(path: str, meta: VideoMeta, span: Span, output: Path, *, seek: bool, counted: bool) -> Cut:
    """Frames from the one on screen at the span's start, decoded from the keyframe before it or from the beginning."""
    wanted = _Wanted(meta, span)
    keyframe = keyframe_before(meta.keyframes, wanted.first_pts) if seek else None
    if counted:
        wanted.count_from(keyframe)
    problems: set[str] = set()
    with open_video(path) as source, av.open(str(output), "w", format="mp4") as target:
        video, audio = video_stream(source), audio_stream(source)
        video.codec_context.thread_count = 1
        picture = Picture(video, target, meta)
        sound = _sound(audio, target, meta, meta.start_pts * meta.time_base + Fraction(span.start_s), span)
        if keyframe is not None:
            seek_keyframe(source, video, keyframe)
        for packet in source.demux([video] if sound is None or audio is None else [video, audio]):
            if sound is not None and packet.stream is audio:
                sound.take(packet)
            elif not wanted.done:
                for frame in _decoded(packet, problems):
                    pts = wanted.pick(frame, strict=seek)
                    if pts is not None:
                        end_s = min(span.end_s, _end_s(meta, pts))
                        picture.take(frame, _seconds(meta, pts) - span.start_s, end_s - span.start_s)
            if wanted.done and (sound is None or sound.done):
                break
        picture.finish()
        if sound is not None:
            sound.finish()
            problems |= {"its sound is damaged"} if sound.damaged else set()
    if wanted.latest_pts is None:
        raise _Unfit("; ".join(sorted(problems)))
    if not wanted.done:
        problems.add("its last frames could not be decoded")
    end_s = min(span.end_s, _end_s(meta, wanted.latest_pts))
    return Cut("re-encoded", span.start_s, end_s, sound is not None, tuple(sorted(problems)))


def _decoded(packet: av.Packet[Any], problems: set[str]) -> Iterator[av.VideoFrame]:
    try:
        frames = packet.decode()
    except av.FFmpegError as exc:
        problems.add(f"a packet could not be decoded: {describe(exc)}")
        return
    yield from frames


def _sound(
    audio: av.AudioStream | None, target: av.container.OutputContainer, meta: VideoMeta, zero_s: Fraction, span: Span
) -> Sound | None:
    if audio is None or not meta.timed:
        return None
    return Sound(audio, target, zero_s, (meta.start_pts * meta.time_base) + Fraction(span.end_s))


def _ticks(meta: VideoMeta, time_s: float) -> int:
    return round(Fraction(time_s) / meta.time_base) + meta.start_pts


def _seconds(meta: VideoMeta, pts: int) -> float:
    return float((pts - meta.start_pts) * meta.time_base)


def _last_before(meta: VideoMeta, pts: int) -> int:
    return int(meta.pts[max(0, int(np.searchsorted(meta.pts, pts)) - 1)])


def _end_pts(meta: VideoMeta, pts: int) -> int:
    """When the frame shown from ``pts`` on disappears."""
    after = int(np.searchsorted(meta.pts, pts, side="right"))
    return int(meta.pts[after]) if after < meta.num_frames else int(meta.pts[-1]) + meta.last_duration


def _end_s(meta: VideoMeta, pts: int) -> float:
    return _seconds(meta, _end_pts(meta, pts))
