"""Writes frames as files that browsers show: a JPEG picture, an animated WebP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from pipeline.previews.quick import Pixels

_JPEG_QUALITY = 82
_WEBP_QUALITY = 70
_WEBP_METHOD = 1  # of 0 to 6: two thirds of the default's time for files a tenth larger

# An animation takes as long as its span, within these bounds for each of its frames.
_SHORTEST_MS, _LONGEST_MS = 120, 500


def write_jpeg(frame: Pixels, output: Path) -> None:
    """Write a frame as a JPEG file.

    Args:
        frame: uint8 [height, width, 3], RGB.
        output: the file.

    Raises:
        OSError: it cannot be written.
    """
    Image.fromarray(frame).save(output, "JPEG", quality=_JPEG_QUALITY)


def write_webp(frames: Sequence[Pixels], span_s: float, output: Path) -> None:
    """Write frames as an animated WebP file that repeats.

    Args:
        frames: uint8 [height, width, 3] each, RGB.
        span_s: seconds of the span that they come from.
        output: the file.

    Raises:
        OSError: it cannot be written.
    """
    first, *others = (Image.fromarray(frame) for frame in frames)
    each_ms = round(min(_LONGEST_MS, max(_SHORTEST_MS, 1000 * span_s / len(frames))))
    first.save(
        output,
        "WEBP",
        save_all=True,
        append_images=others,
        duration=each_ms,
        loop=0,
        quality=_WEBP_QUALITY,
        method=_WEBP_METHOD,
    )
