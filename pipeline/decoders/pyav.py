"""The default decoder: PyAV, one sequential pass, skipping frames that nobody wants where that is safe."""

from __future__ import annotations

from dataclasses import dataclass, field

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.decoders import Decoded
from pipeline.probe import describe, video_stream
from pipeline.scale import Scaler
from schemas.errors import VideoError
from schemas.records import SpanJob

# Leaving out unwanted frames that no other frame refers to gave the same pixels as a full decode on 53 files of these;
# with MPEG-4 and AV1 it lost or shifted frames.
_SELECTIVE_CODECS = frozenset({"h264", "hevc"})

# Frames may come out of damaged files out of order: go on this far past the last wanted one before giving up on others.
_LATE_FRAMES = 32


@dataclass(slots=True)
class _Attempt:
    """Frames of one pass over the file, by position in the job's wanted frames."""

    frames: dict[int, tuple[NDArray[np.uint8], ...]] = field(default_factory=dict)
    problems: dict[str, int] = field(default_factory=dict)

    def note(self, problem: str) -> None:
        self.problems[problem] = self.problems.get(problem, 0) + 1


class PyAVDecoder:
    """Decodes in the calling thread: FFmpeg's own threads cost more CPU per frame than more processes do."""

    def decode(self, job: SpanJob) -> Decoded:
        """See `pipeline.decoders.Decoder.decode`.

        The first pass seeks and skips. Where frames are missing after it, a second one decodes everything from the
        file's beginning, as some containers cannot seek and some streams call frames disposable that are not.
        """
        selective = job.codec in _SELECTIVE_CODECS
        attempt = self._pass(job, seek=True, selective=selective)
        if len(attempt.frames) < len(job.frame_pts) and (selective or job.seek is not None):
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

    def _pass(self, job: SpanJob, *, seek: bool, selective: bool) -> _Attempt:
        attempt = _Attempt()
        wanted = {int(pts): position for position, pts in reversed(list(enumerate(job.frame_pts)))}
        scalers = [
            Scaler(wanted.geometry, rotation_deg=job.rotation_deg, pixel_aspect=job.pixel_aspect) for wanted in job.inputs
        ]
        last_pts = int(job.frame_pts[-1])
        late = 0
        try:
            with av.open(job.video.file.path) as container:
                stream = video_stream(container)
                context = stream.codec_context
                context.thread_count = 1
                if seek:
                    _seek(container, stream, job)
                for packet in container.demux(stream):
                    time = packet.pts if packet.pts is not None else packet.dts
                    if selective:
                        context.skip_frame = "DEFAULT" if time is None or time in wanted else "NONREF"
                    try:
                        frames = packet.decode()
                    except av.FFmpegError as exc:
                        attempt.note(f"a packet could not be decoded: {describe(exc)}")
                        continue
                    for frame in frames:
                        pts = frame.pts if frame.pts is not None else frame.dts
                        if pts is None:
                            continue
                        if (position := wanted.get(pts)) is not None:
                            if frame.is_corrupt:
                                attempt.note("a sampled frame is damaged")
                            attempt.frames[position] = tuple(scaler(frame) for scaler in scalers)
                        late += pts > last_pts
                    if len(attempt.frames) == len(wanted) or late > _LATE_FRAMES:
                        break
        except av.FFmpegError as exc:
            attempt.note(f"the container breaks off: {describe(exc)}")
        return attempt


def _seek(container: av.container.InputContainer, stream: av.video.stream.VideoStream, job: SpanJob) -> None:
    """Go to the keyframe that the first wanted frame needs.

    Containers index by pts or by dts, so the first try may land one keyframe late; the dts of the same keyframe cannot.
    """
    if job.seek is None:
        return
    for target in (job.seek.pts, job.seek.dts):
        container.seek(target, stream=stream)
        landed = next((packet.pts for packet in container.demux(stream) if packet.pts is not None), None)
        container.seek(target, stream=stream)
        if landed is not None and landed <= job.seek.pts:
            return
