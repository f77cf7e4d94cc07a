"""Brings a decoded frame into a model's geometry: turned as shown, resized, cropped at the centre, uint8 RGB.

There are two ways. ``exact`` converts the whole frame to RGB and then resizes it, as PIL does in the models' published
processors: 0.1 of 255 levels from theirs on average. ``fast`` does both in one step, over a quarter of the bytes, which
takes a quarter of the time at 1080p. FFmpeg's conversion of a whole 8-bit 4:2:0 frame rounds down, by about one level, while
that of a scaled one rounds right; so one level is taken off, since models are trained on what programs show. What is left is
half a level: logits of VideoMAE-base with a standard deviation of 2 moved by 0.07 at most on 14 real clips, where bf16 moves
them by 0.04 (``python -m benchmarks.models``). What it does to probabilities and embeddings, ``python -m benchmarks.ingest``
prints.

Geometries of torchvision's transforms are exact in both ways: FFmpeg's filters all antialias.

HDR and the like are converted by `pipeline.picture.colour`: to twice the size, then to RGB, then to the model's size.
Values of PQ must not be averaged over many pixels: the middle of black and white is 59 of 255 there, and not 128.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from pipeline.picture.colour import Converter, is_ordinary
from schemas.models import Geometry
from schemas.options import Scaling

# The formats whose whole frames FFmpeg converts to RGB by a way of its own.
_ROUNDED_DOWN = frozenset({"yuv420p", "yuvj420p"})

_FILTERS = {"bilinear": Interpolation.BILINEAR, "bicubic": Interpolation.BICUBIC}


def shown_size(width: int, height: int, rotation_deg: int, pixel_aspect: Fraction) -> tuple[int, int]:
    """(width, height) in square pixels after rotation. 720 x 576 with pixels of 16:15 turned by 90 gives 576 x 768."""
    width = max(1, round(width * pixel_aspect))
    return (height, width) if rotation_deg % 180 else (width, height)


class Scaler:
    """Scales the frames of one video; keeps FFmpeg's scaling context between them."""

    def __init__(
        self,
        geometry: Geometry,
        *,
        rotation_deg: int = 0,
        mirrored: bool = False,
        pixel_aspect: Fraction = Fraction(1),
        scaling: Scaling = "exact",
    ) -> None:
        self._antialiases = geometry.transform == "pil"
        self._fast = scaling == "fast" and self._antialiases
        self._geometry = geometry
        self._mirrored = mirrored
        self._turns = rotation_deg // 90 % 4
        self._pixel_aspect = pixel_aspect
        self._to_rgb = VideoReformatter()
        self._resize = VideoReformatter()
        self._converter = Converter()

    def __call__(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """The frame in the model's geometry: uint8 [height, width, 3]."""
        width, height = shown_size(frame.width, frame.height, self._turns * 90, self._pixel_aspect)
        width, height = self._geometry.resized(width, height)
        if self._turns % 2:
            width, height = height, width
        options: dict[str, Any] = {
            "width": width,
            "height": height,
            "interpolation": _FILTERS[self._geometry.interpolation],
            "threads": 1,
        }
        if not is_ordinary(frame):
            sizes = (max(width, min(2 * width, frame.width)), max(height, min(2 * height, frame.height)))
            frame = av.VideoFrame.from_ndarray(self._converter(frame, *sizes), format="rgb24")
        at_once = self._fast and frame.format.name in _ROUNDED_DOWN and (width, height) != (frame.width, frame.height)
        if at_once:  # by planes, since straight to packed RGB the colours of two neighbours become one
            scaled = self._resize.reformat(frame, format="gbrp", **options)
        else:
            scaled = self._to_rgb.reformat(frame, format="rgb24", threads=1)
            scaled = self._resize.reformat(scaled, **options) if self._antialiases else scaled
        pixels = scaled.to_ndarray().astype(np.uint8, copy=False)
        if not self._antialiases:
            pixels = resize_from_nearest(pixels, width, height, self._geometry.interpolation)
        pixels = np.rot90(pixels[:, ::-1] if self._mirrored else pixels, self._turns)
        pixels = np.ascontiguousarray(centre_crop(pixels, self._geometry.crop, to_nearest=not self._antialiases))
        return np.maximum(pixels, 1) - np.uint8(1) if at_once else pixels


def resize_from_nearest(
    pixels: NDArray[np.uint8], width: int, height: int, interpolation: Literal["bilinear", "bicubic"]
) -> NDArray[np.uint8]:
    """A picture in a new size, each pixel of the nearest 2 x 2 or 4 x 4: what torch calls ``antialias=False``."""
    if pixels.shape[:2] == (height, width):
        return pixels
    import cv2  # 30 MB that most decode workers never need

    how = cv2.INTER_LINEAR if interpolation == "bilinear" else cv2.INTER_CUBIC
    return cv2.resize(pixels, (width, height), interpolation=how).astype(np.uint8, copy=False)


def centre_crop(pixels: NDArray[np.uint8], crop: tuple[int, int] | None, *, to_nearest: bool = False) -> NDArray[np.uint8]:
    """The centre of a picture, ``crop`` (height, width) in size, padded with black where the picture is smaller.

    Of 59 rows or columns to leave out, 29 are before the crop; with ``to_nearest`` 30, and 28 of 57: halves go to even.
    """
    if crop is None:
        return pixels
    for axis, length in enumerate(crop):
        spare = pixels.shape[axis] - length
        if spare < 0:
            before = (-spare + 1) // 2
            widths = [(0, 0)] * 3
            widths[axis] = (before, -spare - before)
            pixels = np.pad(pixels, widths)
        else:
            before = round(spare / 2) if to_nearest else spare // 2
            pixels = pixels[(slice(None),) * axis + (slice(before, before + length),)]
    return pixels
