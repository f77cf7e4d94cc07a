"""The default decoder: PyAV, one sequential pass, skipping frames that were not sampled where that is safe."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from functools import partial

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.container.reading import READING_ERRORS, decode, describe, open_video, packets, video_stream
from pipeline.decoders.av1_skipping import Av1FrameDropper
from pipeline.decoders.base import Decoded
from pipeline.picture.colour import DOLBY_VISION, Stated, is_dolby_ipt
from pipeline.picture.crop import Cropper
from pipeline.picture.resize import Scaler
from pipeline.probe import check_pixels
from schemas.errors import VideoError
from schemas.records import SpanJob
from schemas.video_meta import Keyframe

# Skipping frames that no other frame refers to gave the same pixels as a full decode on 53 files of these codecs; with
# MPEG-4 it lost frames. FFmpeg's own skipping shifts frames of AV1, so there the packets are stripped instead.
_SELECTIVE_CODECS = frozenset({"h264", "hevc", "av1"})

# Damaged files can give frames out of order: decode this many past the last sampled one before giving up on missing ones.
_MAX_LATE_FRAMES = 32


class _Attempt:
    """The frames of one job that one pass has decoded, by position among the job's sampled frames."""

    def __init__(self, job: SpanJob, *, counted: bool) -> None:
        self.frames: dict[int, tuple[NDArray[np.uint8], ...]] = {}
        self.damaged: set[int] = set()
        self.problems: Counter[str] = Counter()
        self.keys = [int(key) for key in (job.frame_index if counted else job.frame_pts)]
        self._late = 0

    @property
    def complete(self) -> bool:
        """All sampled frames are here."""
        return len(self.frames) == len(self.keys)

    @property
    def done(self) -> bool:
        """All sampled frames are here, or will not come any more."""
        return self.complete or self._late > _MAX_LATE_FRAMES

    def pass_by(self, key: int) -> None:
        """Count a decoded frame that the job did not sample."""
        self._late += key > self.keys[-1]


class _Pass:
    """One pass over the file, from which jobs take their frames one after the other.

    Attributes:
        goes_back: frames were decoded whose times go back.
        landed: decoding began at the keyframe where it was to begin.
    """

    def __init__(
        self, jobs: Sequence[SpanJob], *, start: Keyframe | None, selective: bool, first_index: int | None = None
    ) -> None:
        """Prepare for a pass.

        Args:
            jobs: what to decode, in the order in which `next_job` is asked for it.
            start: the keyframe to seek to; None begins with the file.
            selective: skip frames that no job sampled and no other frame refers to.
            first_index: number of the first frame that is decoded: frames are then told apart by their number. None tells
                them apart by their times.
        """
        first = jobs[0]
        self._job, self._start, self._selective = first, start, selective
        self._counted, self._index = first_index is not None, first_index or 0
        self._attempts = [_Attempt(job, counted=self._counted) for job in jobs]
        self._takers: dict[int, list[tuple[_Attempt, int]]] = {}
        for attempt in self._attempts:
            for position, key in enumerate(attempt.keys):
                self._takers.setdefault(key, []).append((attempt, position))
        self._current = self._attempts[0]
        self._shown_pts: int | None = None
        self._stated: Stated | None = None
        self._frames = self._decoded()
        self.goes_back = False
        self.landed = start is None
        self._cropper = Cropper(first.crop)
        self._scalers = [
            Scaler(
                geometry,
                rotation_deg=first.rotation_deg,
                mirrored=first.mirrored,
                pixel_aspect=first.pixel_aspect,
                scaling=first.scaling,
            )
            for geometry in first.geometries
        ]

    def next_job(self) -> _Attempt:
        """Decode on, until all frames of the next job are here or will not come any more."""
        self._current = self._attempts.pop(0)
        while not self._current.done and not self.goes_back:
            frame = next(self._frames, None)
            if frame is None:
                break
            self._take(frame)
        return self._current

    def close(self) -> None:
        """Close the file."""
        self._frames.close()

    def _take(self, frame: av.VideoFrame) -> None:
        """Scale the frame once, and give it to all jobs that sampled it."""
        key = frame.pts if frame.pts is not None else frame.dts
        if self._counted:
            key = self._index
            self._index += 1
        elif key is None:
            return
        else:
            self.goes_back |= self._shown_pts is not None and key < self._shown_pts
            self._shown_pts = key
        takers = self._takers.pop(key, ())
        if all(attempt is not self._current for attempt, _ in takers):
            self._current.pass_by(key)
        if not takers:
            return
        check_pixels(frame.width, frame.height, self._job.max_pixels)
        if self._stated is not None:
            self._stated.complete(frame)
        shown = self._cropper(frame)
        pixels = tuple(scaler(shown) for scaler in self._scalers)
        for attempt, position in takers:
            attempt.frames[position] = pixels
            if frame.is_corrupt:
                attempt.damaged.add(position)
                attempt.problems["a sampled frame is damaged"] += 1
            if is_dolby_ipt(frame):
                attempt.problems[DOLBY_VISION] = 1

    def _decoded(self) -> Generator[av.VideoFrame]:
        """The file's frames from the start on, in presentation order."""
        job, selective = self._job, self._selective
        try:
            with open_video(job.video.file.path) as container:
                stream = video_stream(container, job.stream_index)
                context = stream.codec_context
                context.thread_count = 1
                self._stated = Stated.of(context)
                dropper = Av1FrameDropper(context.extradata) if selective and job.codec == "av1" else None
                for packet in packets(container, stream, start=self._start, parts=job.joined):
                    time = packet.pts if packet.pts is not None else packet.dts
                    self.landed |= self._start is not None and self._start.dts in (packet.dts, time)
                    sampled = time is None or time in self._takers
                    if selective and not dropper:
                        context.skip_frame = "DEFAULT" if sampled else "NONREF"
                    try:
                        frames = _decode_stripped(packet, dropper, sampled=sampled) if dropper else decode(packet)
                    except av.FFmpegError as exc:
                        self._current.problems[f"a packet could not be decoded: {describe(exc)}"] += 1
                        continue
                    yield from frames
        except READING_ERRORS as exc:
            self._current.problems[f"the container breaks off: {describe(exc)}"] += 1


class PyAVDecoder:
    """Decodes in the calling thread: more processes cost less CPU per frame than FFmpeg's own threads do."""

    def decode(self, job: SpanJob) -> Decoded:
        """See `pipeline.decoders.base.Decoder.decode`."""
        (decoded,) = self.decode_chain([job])
        if isinstance(decoded, VideoError):
            raise decoded
        return decoded

    def decode_chain(self, jobs: Sequence[SpanJob]) -> Iterator[Decoded | VideoError]:
        """See `pipeline.decoders.base.ChainDecoder.decode_chain`.

        The first pass seeks to the keyframe and skips frames. If frames are missing after it, a second pass decodes
        everything from the keyframe before: some streams mark frames as disposable that are not, and some are whole only a
        while after a keyframe. If that pass does not find its keyframe, a third one begins with the file, as some
        containers cannot seek. Each pass goes on with the jobs that are left.

        Frames whose times go back are counted from the keyframe instead, since decoders return frames in presentation order
        whatever their times: AVI stores no times, and FFmpeg's guesses are wrong with B-frames.
        """
        first = jobs[0]
        # Of a frame that is coded as two fields, only one field may have the time that was sampled.
        selective = first.codec in _SELECTIVE_CODECS and first.timed and not first.coded_as_fields
        later_passes = deque([partial(_Pass, start=first.seek, selective=selective, first_index=None if first.timed else 0)])
        if selective or first.seek is not None:
            later_passes.append(partial(_Pass, start=first.earlier, selective=False))
        running = later_passes.popleft()(jobs)
        try:
            for number, job in enumerate(jobs):
                attempt = running.next_job()
                if running.goes_back:
                    running.close()
                    later_passes.clear()
                    running = _Pass(jobs[number:], start=first.seek, selective=False, first_index=first.seek_index)
                    attempt = running.next_job()
                while later_passes and not attempt.complete:
                    running.close()
                    running = later_passes.popleft()(jobs[number:])
                    frames, damaged = attempt.frames, attempt.damaged
                    attempt = running.next_job()
                    attempt.damaged |= damaged - attempt.frames.keys()
                    attempt.frames = frames | attempt.frames
                    if not running.landed and not later_passes:
                        later_passes.append(partial(_Pass, start=None, selective=False))
                yield _result(job, attempt)
        finally:
            running.close()


def _result(job: SpanJob, attempt: _Attempt) -> Decoded | VideoError:
    problems = [text if count == 1 else f"{text} ({count} times)" for text, count in attempt.problems.items()]
    if not attempt.frames:
        return VideoError("decode", "; ".join(problems) or "no frame could be decoded")
    if missing := len(job.frame_pts) - len(attempt.frames):
        problems.append(f"{missing} of {len(job.frame_pts)} sampled frames could not be decoded")
    positions = sorted(attempt.frames)
    return Decoded(
        positions=np.asarray(positions, np.int64),
        frames=tuple(np.stack(frames) for frames in zip(*(attempt.frames[p] for p in positions), strict=True)),
        problems=tuple(problems),
        damaged=frozenset(attempt.damaged),
    )


def _decode_stripped(
    packet: av.Packet[av.video.stream.VideoStream], dropper: Av1FrameDropper, *, sampled: bool
) -> list[av.VideoFrame]:
    """Decode a packet; one whose frame was not sampled is first stripped of it, where no other frame refers to it."""
    data = bytes(packet)
    stripped = dropper.strip_unreferenced(data)
    if sampled or len(stripped) == len(data):
        return packet.decode()
    if not stripped:
        return []
    rest = av.Packet(stripped)
    rest.stream, rest.pts, rest.dts, rest.time_base = packet.stream, packet.pts, packet.dts, packet.time_base
    return packet.stream.codec_context.decode(rest)
