"""Colours beyond what screens of standard range show, brought into BT.709: PQ, HLG, BT.2020, Display P3, and rare matrices.

The light that an HDR screen would give is computed, in units of diffuse white (203 cd/m², ITU-R BT.2408), and turned into
BT.709's primaries. What is brighter than most of diffuse white is compressed up to 1,000 cd/m², in proportion, so that hues
stay. Light becomes values as in sRGB. So a clip of standard range that was put into PQ or HLG comes out as it was, but for
its white, which becomes 244 of 255 to leave room for highlights.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import Any, NamedTuple, TypeVar

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_Entry = TypeVar("_Entry", bound=np.generic)


class Matrix(IntEnum):
    """FFmpeg's numbers of the matrices between RGB and what is coded (AVColorSpace, ITU-T H.273); PyAV names only some."""

    RGB = 0
    BT709 = 1
    UNSPECIFIED = 2
    FCC = 4
    BT470BG = 5
    SMPTE170M = 6
    SMPTE240M = 7
    YCGCO = 8
    BT2020 = 9
    ICTCP = 14
    IPT_C2 = 15


# The matrices that swscale converts by itself, and what it calls them; RGB and what is not stated need no name. It refuses
# the others.
SWSCALE_MATRICES: dict[int, Colorspace] = {
    Matrix.BT709: Colorspace.ITU709,
    Matrix.FCC: Colorspace.FCC,
    Matrix.BT470BG: Colorspace.ITU601,
    Matrix.SMPTE170M: Colorspace.ITU601,
    Matrix.SMPTE240M: Colorspace.SMPTE240M,
    Matrix.BT2020: Colorspace.BT2020,
}
_ORDINARY_MATRICES = frozenset({Matrix.RGB, Matrix.UNSPECIFIED, *SWSCALE_MATRICES})
_ORDINARY_RANGES = frozenset({ColorRange.UNSPECIFIED, ColorRange.MPEG, ColorRange.JPEG})
_HDR = frozenset({ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67})

# Kr and Kb of each Y'CbCr matrix.
_WEIGHTS: dict[int, tuple[float, float]] = {
    Matrix.BT709: (0.2126, 0.0722),
    Matrix.FCC: (0.30, 0.11),
    Matrix.SMPTE240M: (0.212, 0.087),
    Matrix.BT2020: (0.2627, 0.0593),
}
_WEIGHTS_601 = (0.299, 0.114)

# From linear light in other primaries to BT.709's. Those of BT.601 are so near that all programs take them for the same.
_TO_BT709 = {
    ColorPrimaries.BT2020: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    ColorPrimaries.SMPTE432: ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),
}

# ICtCp of ITU-R BT.2100 for PQ and for HLG, and IPT of SMPTE ST 2128 (Dolby Vision's profile 5): to L'M'S', and LMS to
# BT.2020.
_ICTCP_PQ = np.linalg.inv(np.array([[2048, 2048, 0], [6610, -13613, 7003], [17933, -17390, -543]]) / 4096)
_ICTCP_HLG = np.linalg.inv(np.array([[2048, 2048, 0], [3625, -7465, 3840], [9500, -9212, -288]]) / 4096)
_ICTCP_LMS = np.linalg.inv(np.array([[1688, 2146, 262], [683, 2951, 462], [99, 309, 3688]]) / 4096)
_IPT = np.array([[8192, 799, 1681], [8192, -933, 1091], [8192, 267, -5545]]) / 8192
_IPT_LMS = np.array(
    [[3.06441879, -2.16597676, 0.10155818], [-0.65612108, 1.78554118, -0.12943749], [0.01736321, -0.04725154, 1.03004253]]
) @ (np.array([[17081, -349, -349], [-349, 17081, -349], [-349, -349, 17081]]) / 16383)

_WHITE_NITS = 203.0  # diffuse white in HDR
_PEAK_NITS = 1000.0  # what highlights are compressed from; HLG is shown on such a screen too
_KNEE = 0.8  # light up to this much of diffuse white stays as it is

_STEPS = 1 << 14  # of tables
_ROWS = 1 << 16  # pixels that are converted at a time: they stay in the processor's cache

DOLBY_VISION = "it is Dolby Vision of profile 5, whose colours are only approximate here"


def is_ordinary(frame: av.VideoFrame) -> bool:
    """Whether swscale's conversion to RGB gives the colours that models know."""
    return (
        frame.color_primaries not in _TO_BT709
        and frame.color_trc not in _HDR
        and frame.colorspace in _ORDINARY_MATRICES
        and frame.color_range in _ORDINARY_RANGES
        and not is_dolby_ipt(frame)
    )


class Stated(NamedTuple):
    """A stream's colours as its container states them, in FFmpeg's numbers; to be read before anything is decoded.

    What the stream itself states, which comes with its frames, takes precedence: containers are made by many programs.
    """

    space: int
    trc: int
    primaries: int
    range: int

    @classmethod
    def of(cls, context: av.VideoCodecContext) -> Stated:
        """The colours that the container states, of a stream of which no packet has been decoded."""
        return cls(context.colorspace, context.color_trc, context.color_primaries, context.color_range)

    def complete(self, frame: av.VideoFrame) -> None:
        """Fill in the colours that a frame leaves open."""
        if frame.colorspace == Matrix.UNSPECIFIED and not frame.format.is_rgb:
            frame.colorspace = self.space
        if frame.color_trc == ColorTrc.UNSPECIFIED:
            frame.color_trc = self.trc
        if frame.color_primaries == ColorPrimaries.UNSPECIFIED:
            frame.color_primaries = self.primaries
        if frame.color_range == ColorRange.UNSPECIFIED:
            frame.color_range = self.range


def is_dolby_ipt(frame: av.VideoFrame) -> bool:
    """Whether a frame is Dolby Vision without colours that other screens can show: profile 5.

    Streams of that profile often say nothing of their colours but in each frame's metadata.
    """
    if frame.colorspace == Matrix.IPT_C2:
        return True
    if frame.colorspace != Matrix.UNSPECIFIED or frame.color_trc != ColorTrc.UNSPECIFIED:
        return False
    return frame.format.components[0].bits >= 10 and frame.side_data.get("DOVI_METADATA") is not None


class Converter:
    """Converts frames that are not ordinary; keeps FFmpeg's scaling context between them."""

    def __init__(self) -> None:
        self._planes = VideoReformatter()

    def __call__(
        self, frame: av.VideoFrame, width: int, height: int, interpolation: Interpolation = Interpolation.BILINEAR
    ) -> NDArray[np.uint8]:
        """uint8 [height, width, 3]: the frame in that size, in RGB of BT.709's primaries and standard range."""
        # Planes are scaled as they are: the same space on both sides.
        same: dict[str, Any] = {"src_colorspace": Colorspace.ITU709, "dst_colorspace": Colorspace.ITU709}
        rgb = frame.format.is_rgb
        full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj") or is_dolby_ipt(frame)
        bounds = ColorRange.JPEG if full else ColorRange.MPEG
        scaled = self._planes.reformat(
            frame,
            width=width,
            height=height,
            format="gbrp16le" if rgb else "yuv444p16le",
            interpolation=interpolation,
            src_color_range=bounds,
            dst_color_range=bounds,
            threads=1,
            **({} if rgb else same),
        )
        coded = scaled.to_ndarray().reshape(-1, 3).astype(np.uint16, copy=False)
        convert = Conversion(frame, full=full)
        pixels = np.empty(coded.shape, np.uint8)
        for start in range(0, len(coded), _ROWS):
            part = slice(start, start + _ROWS)
            pixels[part] = convert(coded[part])
        return pixels.reshape(height, width, 3)


class Conversion:
    """Converts colours: from uint16 [n, 3] as coded to uint8 [n, 3] as shown."""

    def __init__(self, frame: av.VideoFrame, *, full: bool) -> None:
        dolby = is_dolby_ipt(frame)
        self._trc = ColorTrc.SMPTE2084 if dolby else frame.color_trc
        hdr = self._trc in _HDR
        self._hdr = hdr
        primaries = frame.color_primaries
        if dolby or (hdr and primaries == ColorPrimaries.UNSPECIFIED):
            primaries = ColorPrimaries.BT2020
        bits = frame.format.components[0].bits
        largest = (1 << 16) - (1 << (16 - min(bits, 16)))
        self._lms: Floats | None = None
        space = Matrix.IPT_C2 if dolby else frame.colorspace
        if frame.format.is_rgb:
            matrix, self._offset, scale = np.eye(3), np.zeros(3, np.float32), np.full(3, 1 / 65535)
        else:
            self._offset = np.array([0 if full else 16 << 8, 1 << 15, 1 << 15], np.float32)
            scale = np.array([1, 1, 1]) / largest if full else 1 / (256 * np.array([219, 224, 224]))
            matrix = _to_rgb(space, wide=primaries == ColorPrimaries.BT2020, hlg=self._trc == ColorTrc.ARIB_STD_B67)
            if space in (Matrix.ICTCP, Matrix.IPT_C2):
                self._lms = (_IPT_LMS if space == Matrix.IPT_C2 else _ICTCP_LMS).T.astype(np.float32)
        self._matrix = (matrix * scale).T.astype(np.float32)
        gamut = _TO_BT709.get(ColorPrimaries(primaries)) if primaries in _TO_BT709 else None
        self._gamut = None if gamut is None else np.array(gamut, np.float32).T

    def __call__(self, coded: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """The colours of ``coded``, uint16 [n, 3], as shown: uint8 [n, 3]."""
        values = self.before_clipping(coded)
        if not self.linear:
            return np.asarray((values * 255 + 0.5).clip(0, 255), np.uint8)
        shown: NDArray[np.uint8] = _looked_up(_srgb(), values)
        return shown

    @property
    def linear(self) -> bool:
        """Whether `before_clipping` gives light, and not values."""
        return self._hdr or self._gamut is not None

    def before_clipping(self, coded: NDArray[np.uint16]) -> Floats:
        """float32 [n, 3]: red, green and blue of BT.709, below 0 where it has no such colour."""
        values: Floats = (coded.astype(np.float32) - self._offset) @ self._matrix
        if not self.linear:
            return values
        light = _looked_up(_light(self._trc), values)
        if self._lms is not None:
            light = light @ self._lms
        if self._trc == ColorTrc.ARIB_STD_B67:  # what a screen of that peak makes of a scene's light
            scene = np.maximum(light @ np.array([0.2627, 0.6780, 0.0593], np.float32), 0)
            light *= (scene**0.2)[:, None] * np.float32(_PEAK_NITS / _WHITE_NITS)
        if self._gamut is not None:
            light = light @ self._gamut
        if self._hdr:
            brightest = np.maximum(np.maximum(light[:, 0], light[:, 1]), light[:, 2])  # 90 times as fast as max(axis=1)
            light *= _compression(brightest)[:, None]
        return light


def _to_rgb(space: int, *, wide: bool, hlg: bool) -> NDArray[Any]:
    """The matrix [3, 3] from Y, Cb, Cr to R'G'B', or from I and the two others to L'M'S'."""
    if space == Matrix.IPT_C2:
        return _IPT
    if space == Matrix.ICTCP:
        return _ICTCP_HLG if hlg else _ICTCP_PQ
    if space == Matrix.YCGCO:
        return np.array([[1.0, -1, 1], [1, 1, 0], [1, -1, -1]])
    # What says nothing, or what nobody writes, is taken for what goes with its primaries.
    kr, kb = _WEIGHTS.get(space, _WEIGHTS[Matrix.BT2020] if wide else _WEIGHTS_601)
    kg = 1 - kr - kb
    return np.array([[1, 0, 2 - 2 * kr], [1, -kb * (2 - 2 * kb) / kg, -kr * (2 - 2 * kr) / kg], [1, 2 - 2 * kb, 0]])


def _looked_up(table: NDArray[_Entry], values: Floats) -> NDArray[_Entry]:
    """The entries of a table over [0, 1] for ``values``; values outside take those of its ends."""
    entries: NDArray[_Entry] = table.take((values * (_STEPS - 1) + np.float32(0.5)).clip(0, _STEPS - 1).astype(np.intp))
    return entries


def _compression(brightest: Floats) -> Floats:
    """The factors for pixels whose largest component is ``brightest``, where 1 is diffuse white.

    Above the knee it is Reinhard's curve, which goes on at the same slope and reaches 1 at the peak. Diffuse white
    becomes 0.9.
    """
    peak = (_PEAK_NITS / _WHITE_NITS - _KNEE) / (1 - _KNEE)
    above = np.maximum(brightest - np.float32(_KNEE), 0) * np.float32(1 / (1 - _KNEE))
    above = above * (1 + above * np.float32(1 / peak**2)) / (1 + above)
    light: Floats = np.minimum(brightest, np.float32(_KNEE)) + above * np.float32(1 - _KNEE)
    return np.asarray(light / np.maximum(brightest, np.float32(1e-6)), np.float32)


@cache
def _light(trc: int) -> Floats:
    """A table of linear light over values in [0, 1].

    PQ's is in units of diffuse white; that of HLG and the others, in units of the largest value.
    """
    values = np.linspace(0, 1, _STEPS)
    if trc == ColorTrc.SMPTE2084:
        power = values ** (1 / 78.84375)
        light = (
            10_000
            / _WHITE_NITS
            * (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)
        )
    elif trc == ColorTrc.ARIB_STD_B67:
        light = np.where(values <= 0.5, values**2 / 3, (np.exp((values - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    else:
        light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)


@cache
def _srgb() -> NDArray[np.uint8]:
    """A table of sRGB values over linear light in [0, 1]."""
    light = np.linspace(0, 1, _STEPS)
    values = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return (values * 255 + 0.5).astype(np.uint8)
