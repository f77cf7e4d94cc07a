"""Encodes the picture of a piece of a video: H.264 that plays anywhere, each frame at its own time.

Pixels keep the matrix and the range that they come with, and the piece states both. What 8-bit H.264 cannot hold (RGB, HDR
and the like, `pipeline.picture.colour`) becomes BT.709 of limited range, as screens of standard range show it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import av
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc, VideoReformatter

from pipeline.picture.colour import SWSCALE_MATRICES, Matrix, Stated, is_ordinary
from pipeline.picture.colour_table import TableConverter
from pipeline.picture.crop import Cropper
from pipeline.trim.form import PieceForm
from schemas.video_meta import VideoMeta

_X264_FORMAT = "yuv420p"

# Sources that count coarser are encoded in this: a piece may begin anywhere between two of their ticks.
_TIME_BASE = Fraction(1, 90_000)

# Primaries and transfer that go with a matrix, where a source says nothing of them.
_COMPANIONS: dict[int, tuple[ColorPrimaries, ColorTrc]] = {
    Matrix.BT709: (ColorPrimaries.BT709, ColorTrc.BT709),
    Matrix.BT470BG: (ColorPrimaries.BT470BG, ColorTrc.SMPTE170M),
    Matrix.SMPTE170M: (ColorPrimaries.SMPTE170M, ColorTrc.SMPTE170M),
    Matrix.SMPTE240M: (ColorPrimaries.SMPTE240M, ColorTrc.SMPTE240M),
}
# All programs take smaller pictures that state nothing for BT.601. Pictures as large as this, players take for BT.709 and
# converters for BT.601: there the piece states nothing either, so that each program shows it as it shows the source.
_LARGE = (1280, 720)


class Colours(NamedTuple):
    """A stream's colours as it states them, in FFmpeg's numbers."""

    space: int
    primaries: int
    trc: int
    range: int

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Colours:
        """The colours that a piece states whose first frame this is."""
        if _goes_by_rgb(frame):
            return _BT709
        space, primaries, trc = frame.colorspace, frame.color_primaries, frame.color_trc
        if space == Matrix.UNSPECIFIED and frame.width < _LARGE[0] and frame.height < _LARGE[1]:
            space = Matrix.SMPTE170M
        companions = _COMPANIONS.get(space, (ColorPrimaries.UNSPECIFIED, ColorTrc.UNSPECIFIED))
        if primaries == ColorPrimaries.UNSPECIFIED:
            primaries = companions[0]
        if trc == ColorTrc.UNSPECIFIED:
            trc = companions[1]
        return cls(space, primaries, trc, _range(frame))


_BT709 = Colours(Matrix.BT709, ColorPrimaries.BT709, ColorTrc.BT709, ColorRange.MPEG)


def _goes_by_rgb(frame: av.VideoFrame) -> bool:
    """Whether a frame's values are not Y'CbCr, or a kind that players of H.264 do not show right."""
    return frame.format.is_rgb or len(frame.format.components) < 3 or not is_ordinary(frame)


def _range(frame: av.VideoFrame) -> int:
    if frame.color_range != ColorRange.UNSPECIFIED:
        return frame.color_range
    return ColorRange.JPEG if frame.format.name.startswith("yuvj") else ColorRange.MPEG


class Picture:
    """Encodes frames, with the rotation and the shape of pixels that the source states."""

    def __init__(
        self, target: av.container.OutputContainer, meta: VideoMeta, stated: Stated, first: av.VideoFrame, form: PieceForm
    ) -> None:
        """Prepare for a piece.

        Args:
            target: the piece's container.
            meta: the metadata of the source.
            stated: the colours that the source's container states.
            first: the first frame.
            form: how it is encoded.
        """
        stated.complete(first)
        self._colours, self._stated, self._cropper = Colours.of(first), stated, Cropper(meta.crop)
        rate = Fraction(min(240.0, max(1.0, meta.fps))).limit_denominator(1001)
        stream = target.add_stream("libx264", rate=rate, options=dict(form.x264))
        assert isinstance(stream, av.VideoStream)
        self._stream, self._target, self._time_base = stream, target, min(meta.time_base, _TIME_BASE)
        stream.width, stream.height = form.encoded_size(meta.coded_width, meta.coded_height)
        stream.pix_fmt = _X264_FORMAT
        stream.time_base = stream.codec_context.time_base = self._time_base
        stream.codec_context.sample_aspect_ratio = meta.pixel_aspect
        keep_orientation(stream, meta)
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = self._colours
        self._table, self._to_rgb, self._to_target = TableConverter(), VideoReformatter(), VideoReformatter()
        self._durations: dict[int, int] = {}  # by pts
        self._latest = -1

    def take(self, frame: av.VideoFrame, start_s: float, end_s: float) -> None:
        """Show ``frame`` in [start_s, end_s)."""
        converted = self._converted(frame)
        pts = max(self._latest + 1, round(Fraction(start_s) / self._time_base))
        converted.pts, converted.time_base = pts, self._time_base
        converted.pict_type = 0  # or the encoder would make keyframes where the source did
        self._latest = pts
        self._durations[pts] = max(1, round(Fraction(end_s) / self._time_base) - pts)
        self._mux(converted)

    def finish(self) -> None:
        """Write what the encoder still holds."""
        if self._latest >= 0:
            self._mux(None)

    def _converted(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame in the target's size, format and colours."""
        size = (self._stream.width, self._stream.height)
        self._stated.complete(frame)
        frame = self._cropper(frame)
        bounds: int | None = None  # the range of the values; None leaves it to RGB's
        if not is_ordinary(frame):
            frame = self._table(frame, *size)
        elif not frame.format.is_rgb and _goes_by_rgb(frame):
            frame = self._to_rgb.reformat(frame, format="rgb24", threads=1)
        elif not frame.format.is_rgb:
            bounds = _range(frame)
            if frame.colorspace == Matrix.UNSPECIFIED:
                frame.colorspace = self._colours.space
        options: dict[str, Any] = {"dst_color_range": self._colours.range, "src_color_range": bounds}
        if self._colours.space in SWSCALE_MATRICES:
            options["dst_colorspace"] = SWSCALE_MATRICES[self._colours.space]
        return self._to_target.reformat(frame, *size, format=_X264_FORMAT, threads=1, **options)

    def _mux(self, frame: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(frame):
            packet.duration = self._durations.pop(packet.pts or 0, packet.duration or 0)
            self._target.mux(packet)


def keep_orientation(stream: av.VideoStream, meta: VideoMeta) -> None:
    """State the source's rotation and mirroring in a stream of the piece."""
    if meta.rotation_deg or meta.mirrored:
        stream.set_display_rotation(meta.rotation_deg, hflip=meta.mirrored)


def keep_colours(stream: av.VideoStream, first: av.VideoFrame, stated: Stated) -> None:
    """State a copied stream's own colours in the piece's container.

    Otherwise the container might call full range limited, which many players believe: the source's container may know
    nothing of ranges.
    """
    stated.complete(first)
    context = stream.codec_context
    context.colorspace, context.color_primaries, context.color_trc = first.colorspace, first.color_primaries, first.color_trc
    context.color_range = ColorRange.JPEG if first.format.name.startswith("yuvj") else first.color_range
