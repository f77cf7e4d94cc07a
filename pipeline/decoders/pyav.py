"""The default decoder: PyAV, one sequential pass, skipping frames that nobody wants where that is safe."""

from __future__ import annotations

from collections import Counter

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.colour import DOLBY_VISION, Stated, is_dolby_ipt
from pipeline.container import READING_ERRORS, describe, open_video, packets, video_stream
from pipeline.decoders import Decoded
from pipeline.decoders.av1 import Thinner
from pipeline.probe import check_pixels
from pipeline.scale import Scaler
from schemas.errors import VideoError
from schemas.records import SpanJob

# Leaving out unwanted frames that no other frame refers to gave the same pixels as a full decode on 53 files of these;
# with MPEG-4 it lost frames.
# FFmpeg's own skipping shifts frames of AV1, so there the packets are left out.
_SELECTIVE_CODECS = frozenset({"h264", "hevc", "av1"})

# Frames may come out of damaged files out of order: go on this far past the last wanted one before giving up on others.
_LATE_FRAMES = 32


class _Attempt:
    """What one pass over the file gives, by position in the job's wanted frames."""

    def __init__(self, job: SpanJob, first_index: int | None) -> None:
        """Prepare for a pass. ``first_index`` counts frames from there instead of going by their times."""
        self.frames: dict[int, tuple[NDArray[np.uint8], ...]] = {}
        self.problems: Counter[str] = Counter()
        self.wanted = {int(pts): position for position, pts in reversed(list(enumerate(job.frame_pts)))}
        self._last_pts = int(job.frame_pts[-1])
        self._max_pixels = job.max_pixels
        self._late = 0
        self._shown_pts: int | None = None
        self._by_order = None if first_index is None else {int(index): p for p, index in enumerate(job.frame_index)}
        self._index = first_index or 0
        self.goes_back = False
        self.stated: Stated | None = None
        self._scalers = [
            Scaler(
                wanted.geometry,
                rotation_deg=job.rotation_deg,
                mirrored=job.mirrored,
                pixel_aspect=job.pixel_aspect,
                scaling=job.scaling,
            )
            for wanted in job.inputs
        ]

    @property
    def done(self) -> bool:
        """All wanted frames are here, or will not come."""
        return len(self.frames) == len(self.wanted) or self._late > _LATE_FRAMES

    def take(self, frame: av.VideoFrame) -> None:
        """Keep the frame if it is wanted."""
        pts = frame.pts if frame.pts is not None else frame.dts
        if self._by_order is not None:
            position = self._by_order.get(self._index)
            self._late += self._index > max(self._by_order)
            self._index += 1
        elif pts is None:
            return
        else:
            position = self.wanted.get(pts)
            self.goes_back |= self._shown_pts is not None and pts < self._shown_pts
            self._shown_pts = pts
            self._late += pts > self._last_pts
        if position is not None:
            check_pixels(frame.width, frame.height, self._max_pixels)
            if self.stated is not None:
                self.stated.complete(frame)
            if frame.is_corrupt:
                self.problems["a sampled frame is damaged"] += 1
            if is_dolby_ipt(frame):
                self.problems[DOLBY_VISION] = 1
            self.frames[position] = tuple(scaler(frame) for scaler in self._scalers)


class PyAVDecoder:
    """Decodes in the calling thread: FFmpeg's own threads cost more CPU per frame than more processes do."""

    def decode(self, job: SpanJob) -> Decoded:
        """See `pipeline.decoders.Decoder.decode`.

        The first pass seeks and skips. Where frames are missing after it, a second one decodes everything from the
        file's beginning, as some containers cannot seek and some streams call frames disposable that are not. Where
        frames come out with times that go back (AVI stores none, and guesses go wrong with B-frames), they are counted
        from the keyframe instead: frames always come out in the order they are shown in.
        """
        # Of a frame that is coded as two fields, one may be wanted by its time and the other not.
        selective = job.codec in _SELECTIVE_CODECS and job.timed and not job.coded_as_fields
        attempt = self._pass(job, seek=True, selective=selective, first_index=None if job.timed else 0)
        if attempt.goes_back:
            attempt = self._pass(job, seek=True, selective=False, first_index=job.seek_index)
        elif len(attempt.frames) < len(job.frame_pts) and (selective or job.seek is not None):
            second = self._pass(job, seek=False, selective=False)
            second.frames = attempt.frames | second.frames
            attempt = second
        problems = [text if count == 1 else f"{text} ({count} times)" for text, count in attempt.problems.items()]
        if not attempt.frames:
            raise VideoError("decode", "; ".join(problems) or "no frame could be decoded")
        missing = len(job.frame_pts) - len(attempt.frames)
        if missing:
            problems.append(f"{missing} of {len(job.frame_pts)} sampled frames could not be decoded")
        positions = sorted(attempt.frames)
        return Decoded(
            positions=np.asarray(positions, np.int64),
            frames=tuple(np.stack(of_input) for of_input in zip(*(attempt.frames[p] for p in positions), strict=True)),
            problems=tuple(problems),
        )

    def _pass(self, job: SpanJob, *, seek: bool, selective: bool, first_index: int | None = None) -> _Attempt:
        attempt = _Attempt(job, first_index)
        try:
            with open_video(job.video.file.path) as container:
                stream = video_stream(container)
                context = stream.codec_context
                context.thread_count = 1
                attempt.stated = Stated.of(context)
                thinner = Thinner(context.extradata) if selective and job.codec == "av1" else None
                for packet in packets(container, stream, start=job.seek if seek else None, parts=job.joined):
                    time = packet.pts if packet.pts is not None else packet.dts
                    wanted = time is None or time in attempt.wanted
                    if selective and not thinner:
                        context.skip_frame = "DEFAULT" if wanted else "NONREF"
                    try:
                        frames = _decode_thinned(packet, thinner, wanted=wanted) if thinner else packet.decode()
                    except av.FFmpegError as exc:
                        attempt.problems[f"a packet could not be decoded: {describe(exc)}"] += 1
                        continue
                    for frame in frames:
                        attempt.take(frame)
                    if attempt.done:
                        break
        except READING_ERRORS as exc:
            attempt.problems[f"the container breaks off: {describe(exc)}"] += 1
        return attempt


def _decode_thinned(
    packet: av.Packet[av.video.stream.VideoStream], thinner: Thinner, *, wanted: bool
) -> list[av.VideoFrame]:
    """Decode a packet, or what other frames need of one whose own is not wanted."""
    data = bytes(packet)
    needed = thinner.needed(data)
    if wanted or len(needed) == len(data):
        return packet.decode()
    if not needed:
        return []
    rest = av.Packet(needed)
    rest.stream, rest.pts, rest.dts, rest.time_base = packet.stream, packet.pts, packet.dts, packet.time_base
    return packet.stream.codec_context.decode(rest)
