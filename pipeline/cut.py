"""Cut a piece out of a video into a file of its own: copied where it can begin at a keyframe, else encoded anew."""

from __future__ import annotations

import errno
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np

from pipeline.decoders.pyav import seek_keyframe
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

# Quality that is hard to tell from the source; and no B-frames, so that every frame's time is stored as it is.
_X264 = {"crf": "18", "preset": "veryfast", "bf": "0"}
_X264_FORMAT = "yuv420p"

# Sources that count coarser are encoded in this: a piece may begin anywhere between two of their ticks.
_TIME_BASE = Fraction(1, 90_000)

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
    ways += [
        lambda: _encode(path, meta, span, output, seek=True, counted=not meta.timed),
        lambda: _encode(path, meta, span, output, seek=True, counted=True),
        lambda: _encode(path, meta, span, output, seek=False, counted=not meta.timed),
    ]
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
        _keep_orientation(copied, meta)
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


def _encode(path: str, meta: VideoMeta, span: Span, output: Path, *, seek: bool, counted: bool) -> Cut:
    """Frames from the one on screen at the span's start, decoded from the keyframe before it.

    ``counted`` gives frames the times of `VideoMeta.pts` in turn, for containers that store none of their own.
    """
    end_pts = _ticks(meta, span.end_s)
    first_pts = int(meta.pts[frames_on_screen(meta.frame_times_s, np.array([span.start_s]))[0]])
    last_pts = max(first_pts, _last_before(meta, end_pts))
    keyframe = keyframe_before(meta.keyframes, first_pts) if seek else None
    index = int(np.searchsorted(meta.pts, keyframe.pts)) if keyframe else 0
    problems: set[str] = set()
    shown = -1
    with open_video(path) as source, av.open(str(output), "w", format="mp4") as target:
        video, audio = video_stream(source), audio_stream(source)
        video.codec_context.thread_count = 1
        picture = _Picture(video, target, meta)
        sound = _sound(audio, target, meta, meta.start_pts * meta.time_base + Fraction(span.start_s), span)
        if keyframe is not None:
            seek_keyframe(source, video, keyframe)
        done = False
        for packet in source.demux([video] if sound is None or audio is None else [video, audio]):
            if sound is not None and packet.stream is audio:
                sound.take(packet)
            elif not done:
                try:
                    frames = packet.decode()
                except av.FFmpegError as exc:
                    problems.add(f"a packet could not be decoded: {describe(exc)}")
                    continue
                for frame in frames:
                    assert isinstance(frame, av.VideoFrame)
                    pts = int(meta.pts[min(index, meta.num_frames - 1)]) if counted else frame.pts
                    index += 1
                    if pts is None or pts < first_pts:
                        continue
                    if pts <= shown or (shown < 0 and pts > first_pts and seek):
                        raise _Unfit("its frames come with times that go back")
                    done |= pts >= last_pts
                    if pts <= last_pts:
                        shown = pts
                        picture.take(frame, _seconds(meta, pts) - span.start_s, min(span.end_s, _end_s(meta, pts)) - span.start_s)
            if done and (sound is None or sound.done):
                break
        picture.finish()
        if sound is not None:
            sound.finish()
            problems |= {"its sound is damaged"} if sound.damaged else set()
    if shown < 0:
        raise _Unfit("; ".join(sorted(problems)))
    if not done:
        problems.add("its last frames could not be decoded")
    return Cut("re-encoded", span.start_s, min(span.end_s, _end_s(meta, shown)), sound is not None, tuple(sorted(problems)))


class _Picture:
    """Encodes frames, turned and shaped for display as the source says."""

    def __init__(self, source: av.VideoStream, target: av.container.OutputContainer, meta: VideoMeta) -> None:
        rate = Fraction(min(240.0, max(1.0, meta.fps))).limit_denominator(1001)
        stream = target.add_stream("libx264", rate=rate, options=_X264)
        assert isinstance(stream, av.VideoStream)
        self._stream, self._target, self._time_base = stream, target, min(meta.time_base, _TIME_BASE)
        stream.width, stream.height = (max(2, size // 2 * 2) for size in (meta.coded_width, meta.coded_height))
        stream.pix_fmt = _X264_FORMAT
        stream.time_base = stream.codec_context.time_base = self._time_base
        stream.codec_context.sample_aspect_ratio = meta.pixel_aspect
        _keep_orientation(stream, meta)
        for name in ("color_range", "color_primaries", "color_trc", "colorspace"):
            setattr(stream.codec_context, name, getattr(source.codec_context, name))
        self._durations: dict[int, int] = {}  # by pts
        self._latest = -1

    def take(self, frame: av.VideoFrame, start_s: float, end_s: float) -> None:
        """Show ``frame`` in [start_s, end_s)."""
        ready = frame.reformat(width=self._stream.width, height=self._stream.height, format=_X264_FORMAT)
        pts = max(self._latest + 1, round(Fraction(start_s) / self._time_base))
        ready.pts, ready.time_base = pts, self._time_base
        ready.pict_type = 0  # or the encoder would make keyframes where the source did
        self._latest = pts
        self._durations[pts] = max(1, round(Fraction(end_s) / self._time_base) - pts)
        self._mux(ready)

    def finish(self) -> None:
        """Write what the encoder still holds."""
        if self._latest >= 0:
            self._mux(None)

    def _mux(self, frame: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(frame):
            packet.duration = self._durations.pop(packet.pts or 0, packet.duration or 0)
            self._target.mux(packet)


def _sound(
    audio: av.AudioStream | None, target: av.container.OutputContainer, meta: VideoMeta, zero_s: Fraction, span: Span
) -> Sound | None:
    if audio is None or not meta.timed:
        return None
    return Sound(audio, target, zero_s, (meta.start_pts * meta.time_base) + Fraction(span.end_s))


def _keep_orientation(stream: av.VideoStream, meta: VideoMeta) -> None:
    if meta.rotation_deg or meta.mirrored:
        stream.set_display_rotation(meta.rotation_deg, hflip=meta.mirrored)


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
