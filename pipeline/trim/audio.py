"""The sound of a piece of a video: copied where an MP4 file can hold it, else encoded as AAC."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from fractions import Fraction
from functools import partial
from typing import Any, cast

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.container.channels import Channels
from schemas.records import Span
from schemas.times import ROUNDING_S
from schemas.video_meta import VideoMeta

_AAC_RATES = frozenset({96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000})
_ANY_RATE = 48000
_FORMAT = "fltp"

_ROUNDING_S = Fraction(str(ROUNDING_S))


def audio_stream(container: av.container.InputContainer) -> av.AudioStream | None:
    """The audio stream that a player would play; None where there is none that this FFmpeg can decode."""
    stream = container.streams.best("audio")
    return stream if isinstance(stream, av.AudioStream) and stream.codec_context is not None else None


def sound_of(
    source: av.container.InputContainer,
    target: av.container.OutputContainer,
    meta: VideoMeta,
    span: Span,
    copied: Collection[str],
) -> Sound:
    """The sound of a piece; an empty one where the source has none that can be placed in time.

    Args:
        source: the video's container.
        target: the piece's container.
        meta: the metadata of the source.
        span: the piece, beginning at what becomes its time 0.
        copied: codecs whose packets are copied.
    """
    audio = audio_stream(source) if meta.timed else None
    start_s, end_s = (meta.start_pts * meta.time_base + Fraction(time_s) for time_s in span)
    return Sound(audio, target, start_s, end_s, copied)


class Sound:
    """Writes one interval of a source's sound into a target, from time 0.

    Attributes:
        sources: the stream whose packets it takes; empty where there is none.
        done: whether no later packet belongs to the interval.
        damaged: number of packets that could not be decoded.
    """

    def __init__(
        self,
        source: av.AudioStream | None,
        target: av.container.OutputContainer,
        start_s: Fraction,
        end_s: Fraction,
        copied: Collection[str],
    ) -> None:
        """Prepare for [start_s, end_s), in seconds of the source's packets; ``copied`` are codecs that stay as they are."""
        self.sources: tuple[av.AudioStream, ...] = () if source is None else (source,)
        self.done = source is None
        self.damaged = 0
        self._start_s, self._end_s = start_s, end_s
        self._target, self._copied = target, copied
        self._started = False
        self._resampler: av.AudioResampler | None = None
        self._early: list[av.Packet[Any]] | None = []

    def begin(self) -> None:
        """Add a stream to the target, and write the packets that came before."""
        early, self._early = self._early, None
        for source in self.sources:
            self._add_stream(source)
        for packet in early or ():
            self.take(packet)

    def _add_stream(self, source: av.AudioStream) -> None:
        if source.codec_context.name in self._copied:
            self._stream = self._target.add_stream_from_template(source, opaque=True)
            return
        rate = source.codec_context.sample_rate
        rate = rate if rate in _AAC_RATES else _ANY_RATE
        self._channels = Channels(source.codec_context)
        layout = "mono" if self._channels.number == 1 else "stereo"
        stream = self._target.add_stream("aac", rate=rate, layout=layout)
        assert isinstance(stream, av.AudioStream)
        self._stream = stream
        self._make_resampler = partial(av.AudioResampler, format=_FORMAT, layout=layout, rate=rate)
        self._resampler = self._make_resampler()

    def take(self, packet: av.Packet[Any]) -> None:
        """Write a packet of the sound, as far as it is within the interval."""
        if self._early is not None:
            self._early.append(packet)
            return
        if packet.pts is None or packet.time_base is None:
            return
        time_s = packet.pts * packet.time_base
        self.done |= time_s >= self._end_s
        if self.done:
            return
        if time_s + (packet.duration or 0) * packet.time_base <= self._start_s + _ROUNDING_S and time_s < self._start_s:
            return
        if self._resampler is not None:
            self._encode(packet)
            return
        shift = round(self._start_s / packet.time_base)
        packet.pts -= shift
        packet.dts = None if packet.dts is None else packet.dts - shift
        packet.stream = self._stream
        self._target.mux(packet)

    def finish(self) -> None:
        """Write what the encoder still holds."""
        if self._resampler is not None and self._started:
            self._put(self._resampler.resample(None))
            self._target.mux(self._stream.encode(None))

    def _encode(self, packet: av.Packet[Any]) -> None:
        assert self._resampler is not None
        try:
            for frame in cast("list[av.AudioFrame]", packet.decode()):
                if frame.pts is not None and frame.time_base is not None:
                    rate = Fraction(1, frame.sample_rate)
                    ordered = self._channels.in_order(frame)
                    ordered.pts, ordered.time_base = round((frame.pts * frame.time_base - self._start_s) / rate), rate
                    self._put(self._resampled(ordered))
        except av.FFmpegError:
            self.damaged += 1

    def _resampled(self, frame: av.AudioFrame) -> list[av.AudioFrame]:
        assert self._resampler is not None
        try:
            return self._resampler.resample(frame)
        except ValueError:  # from here on it has another rate, or other channels
            rest = self._resampler.resample(None)
            self._resampler = self._make_resampler()
            return [*rest, *self._resampler.resample(frame)]

    def _put(self, frames: Iterable[av.AudioFrame]) -> None:
        """Encode the samples of ``frames`` that are within the interval."""
        for frame in frames:
            samples: NDArray[np.float32] = frame.to_ndarray().astype(np.float32, copy=False)  # [channels, samples]
            pts, rate = frame.pts or 0, frame.sample_rate
            inside = samples[:, max(0, -pts) : max(0, round((self._end_s - self._start_s) * rate) - pts)]
            if inside.size:
                part = av.AudioFrame.from_ndarray(np.ascontiguousarray(inside), format=_FORMAT, layout=frame.layout.name)
                part.sample_rate, part.pts, part.time_base = rate, max(0, pts), Fraction(1, rate)
                self._target.mux(self._stream.encode(part))
                self._started = True
