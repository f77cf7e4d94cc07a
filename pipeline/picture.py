"""The picture of a piece of a video that is encoded anew: H.264 that plays anywhere, each frame at its own time."""

from __future__ import annotations

from fractions import Fraction

import av

from schemas.records import VideoMeta

# Quality that is hard to tell from the source; and no B-frames, so that every frame's time is stored as it is.
_X264 = {"crf": "18", "preset": "veryfast", "bf": "0"}
_X264_FORMAT = "yuv420p"

# Sources that count coarser are encoded in this: a piece may begin anywhere between two of their ticks.
_TIME_BASE = Fraction(1, 90_000)


class Picture:
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
        keep_orientation(stream, meta)
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


def keep_orientation(stream: av.VideoStream, meta: VideoMeta) -> None:
    """Have players turn and mirror a stream as they do the source."""
    if meta.rotation_deg or meta.mirrored:
        stream.set_display_rotation(meta.rotation_deg, hflip=meta.mirrored)
