"""The sound of a video as speech models take it: mono, 16 kHz, in chunks, with silence where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any, NamedTuple, Protocol, cast

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.container.channels import Channels
from pipeline.container.reading import READING_ERRORS, describe, open_video, shift_of, video_stream
from pipeline.trim.audio import audio_stream

RATE = 16_000
"""Samples a second of all sound here; Whisper and Silero's voice activity detector were trained on it."""

CHUNK_S = 30.0
"""Seconds of a chunk: 2 MB."""

# Sound goes on where a frame begins closer than this to where the one before it ends: times are rounded to ms in some files.
_JITTER_S = 0.04
# Sound that goes on after the last frame is heard for so long.
_PAST_END_S = 5.0


# Sound is sought, rather than decoded from the beginning, where it is wanted from later on; and from somewhat before, since
# decoders need some packets to settle.
_MIN_SEEK_S, _BEFORE_S = 10.0, 2.0


class SoundMeta(Protocol):
    """What `Sound` has to know of a video; see `schemas.video_meta.VideoMeta`."""

    @property
    def timed(self) -> bool: ...  # noqa: D102

    @property
    def end_s(self) -> float: ...  # noqa: D102

    @property
    def stream_index(self) -> int | None: ...  # noqa: D102

    @property
    def start_pts(self) -> int: ...  # noqa: D102

    @property
    def time_base(self) -> Fraction: ...  # noqa: D102

    @property
    def parts(self) -> Any: ...  # noqa: D102


class Chunk(NamedTuple):
    """A piece of sound.

    Attributes:
        start_s: when it begins, from the container's start time on.
        samples: float32 [num_samples], from -1 to 1, `RATE` a second.
    """

    start_s: float
    samples: NDArray[np.float32]


class Sound:
    """The sound of a video, chunk by chunk from time 0 on, or from later: iterate it once.

    Chunks follow each other without a gap; all but the last are of one length. What is missing is silent, up to the last
    sound. Only a chunk or two is held.

    Attributes:
        num_damaged: packets that could not be decoded, so far.
        problem: why the sound ended early, as a sentence; None where it did not.
    """

    def __init__(self, path: str, meta: SoundMeta, chunk_s: float = CHUNK_S, *, from_s: float = 0.0) -> None:
        """Prepare to read the track that a player would play.

        Args:
            path: the video.
            meta: its metadata, which says when its time 0 is.
            chunk_s: seconds of each chunk.
            from_s: sound before this is not wanted: chunks that end before it are left out.
        """
        self._from_s = from_s
        self._path, self._meta = path, meta
        chunk = round(chunk_s * RATE)
        first = int(from_s * RATE) // chunk * chunk
        self._line = _Line(chunk, first, round((meta.end_s + _PAST_END_S) * RATE))
        self.num_damaged = 0
        self.problem: str | None = None

    def __iter__(self) -> Iterator[Chunk]:
        """The chunks, by time; none where the video has no sound, or none that this FFmpeg can decode."""
        try:
            for frame, time_s in self._frames():
                yield from self._line.take(frame, time_s)
                if self._line.full:
                    break
        except READING_ERRORS as exc:
            self.problem = f"its sound breaks off: {describe(exc)}"
        yield from self._line.finish()

    def _frames(self) -> Iterator[tuple[av.AudioFrame, float | None]]:
        """The decoded frames, and when each begins; None where that is not said."""
        meta = self._meta
        with open_video(self._path) as container:
            audio = audio_stream(container)
            if audio is None or not meta.timed:
                return
            channels = Channels(audio.codec_context)
            video = video_stream(container, meta.stream_index)
            for stream in container.streams:
                if stream is not audio and not (meta.parts and stream is video):
                    stream.discard = av.stream.Discard.all
            zero_s = float(meta.start_pts * meta.time_base)
            tick_s = float(audio.time_base or 0)
            if self._from_s > _MIN_SEEK_S and tick_s and not meta.parts:
                with suppress(av.FFmpegError):  # what cannot be sought is read from the beginning
                    container.seek(round((self._from_s - _BEFORE_S + zero_s) / tick_s), stream=audio)
            for packet in container.demux(audio):
                if meta.parts and packet.pts is not None and (shift := shift_of(packet, video, meta.parts)):
                    packet.pts += shift
                for frame in self._decoded(packet):
                    time_s = None if frame.pts is None else frame.pts * tick_s - zero_s
                    yield channels.in_order(frame), time_s

    def _decoded(self, packet: av.Packet[Any]) -> list[av.AudioFrame]:
        try:
            return cast("list[av.AudioFrame]", packet.decode())
        except av.FFmpegError:
            self.num_damaged += 1
            return []


class _Line:
    """Lays frames on a line of samples, and cuts it into chunks."""

    def __init__(self, chunk: int, first: int, end: int) -> None:
        """Begin with the sample ``first``, cut every ``chunk`` samples, and end after ``end`` at the latest."""
        self._chunk, self._end = chunk, end
        self._pending: list[NDArray[np.float32]] = []
        self._num_pending = 0  # samples in those
        self._position = first  # of the next sample to be laid
        self._run: _Run | None = None

    @property
    def full(self) -> bool:
        """Whether no more sound is taken."""
        return self._position >= self._end

    def take(self, frame: av.AudioFrame, time_s: float | None) -> Iterator[Chunk]:
        """Lay a frame where its time says, or where the one before it ended, and give the chunks that are whole."""
        run = self._run
        if run is not None and (not run.fits(frame) or (time_s is not None and abs(time_s - run.end_s) > _JITTER_S)):
            yield from self._lay(run.finish())
            run = None
        if run is None:
            begin_s = self._position / RATE if time_s is None else time_s
            begin = round(begin_s * RATE)
            yield from self._silence(min(begin, self._end) - self._position)
            run = self._run = _Run(frame, begin_s, early=self._position - begin)
        yield from self._lay(run.resample(frame))

    def finish(self) -> Iterator[Chunk]:
        """The chunks that are left."""
        if self._run is not None:
            yield from self._lay(self._run.finish())
        self._run = None
        if self._num_pending:
            yield self._cut()

    def _silence(self, count: int) -> Iterator[Chunk]:
        while count > 0:
            part = min(count, self._chunk)
            yield from self._lay(np.zeros(part, np.float32))
            count -= part

    def _lay(self, samples: NDArray[np.float32]) -> Iterator[Chunk]:
        samples = samples[: max(0, self._end - self._position)]
        while len(samples):
            part = samples[: self._chunk - self._num_pending]
            samples = samples[len(part) :]
            self._pending.append(part)
            self._num_pending += len(part)
            self._position += len(part)
            if self._num_pending == self._chunk:
                yield self._cut()

    def _cut(self) -> Chunk:
        # Files of floating-point samples can hold anything.
        samples: NDArray[np.float32] = np.nan_to_num(np.concatenate(self._pending), nan=0.0, posinf=0.0, neginf=0.0)
        chunk = Chunk((self._position - self._num_pending) / RATE, samples.clip(-1.0, 1.0))
        self._pending, self._num_pending = [], 0
        return chunk


class _Run:
    """Frames that follow each other in time, with one rate, format and layout, which are resampled together.

    Attributes:
        end_s: when the next frame is expected.
    """

    def __init__(self, first: av.AudioFrame, begin_s: float, early: int) -> None:
        """Begin with ``first``; the first ``early`` samples of the result are dropped, where it is above 0."""
        self._form = _form(first)
        self._early = max(0, early)
        self.end_s = begin_s
        self._resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)

    def fits(self, frame: av.AudioFrame) -> bool:
        """Whether a frame is of the same form."""
        return _form(frame) == self._form

    def resample(self, frame: av.AudioFrame) -> NDArray[np.float32]:
        """The samples that are ready, float32 [num_samples]."""
        self.end_s += frame.samples / frame.sample_rate
        frame.pts = None
        return self._samples(self._resampler.resample(frame))

    def finish(self) -> NDArray[np.float32]:
        """The samples that the resampler still holds."""
        return self._samples(self._resampler.resample(None))

    def _samples(self, frames: list[av.AudioFrame]) -> NDArray[np.float32]:
        parts = [frame.to_ndarray()[0] for frame in frames]  # of one channel
        samples = parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, np.float32), *parts])
        dropped = min(self._early, len(samples))
        self._early -= dropped
        return samples[dropped:]


def _form(frame: av.AudioFrame) -> tuple[int, str, str]:
    return frame.sample_rate, frame.format.name, frame.layout.name
