"""`pipeline.picture.colour` for all frames of a stream, by a table of colours: 25 times as fast, off by a level on average.

Whole frames of 4K take `pipeline.picture.colour.Converter` seconds each. FFmpeg looks them up in a table that it made once.
"""

from __future__ import annotations

import tempfile
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

import av
import numpy as np
from av.filter import Graph
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from numpy.typing import NDArray

from pipeline.picture.colour import SWSCALE_MATRICES, Conversion, Matrix, is_dolby_ipt

_NODES = 65  # nodes of the table along each axis
_STEPS = 100_000  # steps that its numbers are rounded to
_LOWEST, _HIGHEST = -0.75, 1.25  # the range of its numbers, of which 0 to 1 is shown
# The matrices that swscale converts to RGB first. A table over RGB is more exact: its edges are those of the real colours.
_TO_RGB: dict[int, Colorspace] = {
    matrix: SWSCALE_MATRICES[matrix] for matrix in (Matrix.BT709, Matrix.BT470BG, Matrix.SMPTE170M, Matrix.BT2020)
}


class _Coding(NamedTuple):
    """All that the conversion of a frame's colours depends on: frames alike in it share a table."""

    rgb: bool
    space: int
    primaries: int
    trc: int
    range: ColorRange

    @classmethod
    def of(cls, frame: av.VideoFrame) -> _Coding:
        dolby = is_dolby_ipt(frame)
        full = dolby or frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
        space = Matrix.IPT_C2 if dolby else frame.colorspace
        if space == Matrix.UNSPECIFIED:  # as `Conversion` takes it
            hdr = frame.color_trc in (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)
            wide = frame.color_primaries == ColorPrimaries.BT2020
            wide |= hdr and frame.color_primaries == ColorPrimaries.UNSPECIFIED
            space = Matrix.BT2020 if wide else Matrix.SMPTE170M
        return cls(
            frame.format.is_rgb,
            space,
            frame.color_primaries,
            frame.color_trc,
            ColorRange.JPEG if full else ColorRange.MPEG,
        )


class TableConverter:
    """Converts the frames of one stream to RGB of BT.709."""

    def __init__(self) -> None:
        self._planes = VideoReformatter()
        self._coding: _Coding | None = None
        self._graph: Graph | None = None

    def __call__(self, frame: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
        """The frame in that size, in RGB of 16 bit."""
        coding = _Coding.of(frame)
        placed = self._placed(frame, coding, width, height)
        if self._graph is None or coding != self._coding:
            self._coding, self._graph = coding, _looking_up(coding, placed)
        self._graph.vpush(placed)
        converted = self._graph.vpull()
        assert isinstance(converted, av.VideoFrame)
        return converted

    def _placed(self, frame: av.VideoFrame, coding: _Coding, width: int, height: int) -> av.VideoFrame:
        """The frame as RGB of its own primaries and transfer; or its coded values in the places of R, G and B."""
        options: dict[str, Any] = {"width": width, "height": height, "threads": 1, "src_color_range": coding.range}
        if coding.rgb or coding.space in _TO_RGB:
            space = {} if coding.rgb else {"src_colorspace": _TO_RGB[coding.space]}
            return self._planes.reformat(frame, format="gbrp16le", dst_color_range=ColorRange.JPEG, **space, **options)
        same = {"src_colorspace": Colorspace.ITU709, "dst_colorspace": Colorspace.ITU709, "dst_color_range": coding.range}
        values = self._planes.reformat(frame, format="yuv444p16le", **same, **options)
        placed = av.VideoFrame(width, height, "gbrp16le")
        for target, source in zip(placed.planes, (1, 2, 0), strict=True):  # FFmpeg has green, blue, red
            target.update(bytes(values.planes[source]))
        return placed


def _looking_up(coding: _Coding, placed: av.VideoFrame) -> Graph:
    text, linear = _table(coding)
    with tempfile.NamedTemporaryFile("w", suffix=".cube") as file:
        file.write(text)
        file.flush()
        graph = Graph()
        value = f"clip(val/65535*{_HIGHEST - _LOWEST}+{_LOWEST},0,1)"
        srgb = f"st(0,{value});if(lt(ld(0),0.0031308),12.92*ld(0),1.055*pow(ld(0),1/2.4)-0.055)"
        shown = f"round(65535*({srgb if linear else value}))"
        graph.link_nodes(
            graph.add_buffer(width=placed.width, height=placed.height, format=placed.format, time_base=Fraction(1, 25)),
            graph.add("lut3d", file=file.name),
            graph.add("lutrgb", r=shown, g=shown, b=shown),
            graph.add("buffersink"),
        ).configure()
    return graph


@lru_cache(maxsize=2)
def _table(coding: _Coding) -> tuple[str, bool]:
    """The table as a .cube file, with red changing fastest; and whether it holds linear light.

    Its numbers are scaled to hold colours that BT.709 lacks too: cut off before FFmpeg interpolates, they would tint those
    next to them.
    """
    axis = np.linspace(0, 65535, _NODES).round().astype(np.uint16)
    third, second, first = np.meshgrid(axis, axis, axis, indexing="ij")
    values: NDArray[np.uint16] = np.stack([first, second, third], axis=-1).reshape(-1, 3)
    rgb = coding.rgb or coding.space in _TO_RGB
    grid = av.VideoFrame(16, 16, "gbrp16le" if rgb else "yuv444p16le")
    grid.color_primaries, grid.color_trc = coding.primaries, coding.trc
    grid.colorspace, grid.color_range = (Matrix.RGB, ColorRange.JPEG) if rgb else (coding.space, coding.range)
    convert = Conversion(grid, full=grid.color_range == ColorRange.JPEG)
    scaled = (convert.before_clipping(values) - _LOWEST) / (_HIGHEST - _LOWEST)
    texts = [f"{number / _STEPS:.5f}" for number in range(_STEPS + 1)]
    numbers = (scaled.clip(0, 1) * _STEPS).round().astype(int).tolist()
    return f"LUT_3D_SIZE {_NODES}\n" + "\n".join(f"{texts[r]} {texts[g]} {texts[b]}" for r, g, b in numbers), convert.linear
