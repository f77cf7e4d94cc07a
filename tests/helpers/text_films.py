"""Pictures and films with text on them, in Pillow's own font, so that no font of the system is needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from demo.encoding import same_scheduling

Pixels = NDArray[np.uint8]


class Shown(NamedTuple):
    """A line of text on screen: when in seconds, its text, its top left corner in pixels, its height in pixels."""

    start_s: float
    end_s: float
    text: str
    left: int
    top: int
    size: int = 32


def plain(width: int = 640, height: int = 360) -> Pixels:
    """A dark picture without text."""
    return np.full((height, width, 3), (30, 50, 80), np.uint8)


def written(picture: Pixels, *lines: Shown) -> Pixels:
    """The picture with lines on it, white with a black outline."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    for line in lines:
        font = ImageFont.load_default(line.size)
        draw.text((line.left, line.top), line.text, font=font, fill="white", stroke_width=2, stroke_fill="black")
    return np.asarray(image)


def title(text: str, *, width: int = 640, height: int = 360, size: int = 48) -> Pixels:
    """A picture with one line in its middle."""
    across = ImageFont.load_default(size).getlength(text)
    return written(plain(width, height), Shown(0, 1, text, round((width - across) / 2), (height - size) // 2, size))


def film_frames(
    lines: Sequence[Shown], length_s: float, *, fps: int = 4, size: tuple[int, int] = (640, 360)
) -> list[Pixels]:
    """The frames of a film that shows lines for a time."""
    times_s = [index / fps for index in range(round(length_s * fps))]
    return [written(plain(*size), *(line for line in lines if line.start_s <= time_s < line.end_s)) for time_s in times_s]


def write_film(
    path: Path, frames: Iterable[Pixels], *, fps: int = 4, rotation: int = 0, pts: Sequence[int] | None = None
) -> Path:
    """Write frames as H.264, shown ``fps`` a second, or at ``pts`` in ticks of 1/fps."""
    with same_scheduling(), av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "20", "preset": "veryfast"})
        assert isinstance(stream, av.VideoStream)
        stream.pix_fmt = "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        for index, pixels in enumerate(frames):
            if not index:
                stream.height, stream.width = pixels.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts = index if pts is None else pts[index]
            frame.time_base = Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
