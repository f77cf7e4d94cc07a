"""Small video files of given frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

FPS = 25


def write_film(
    path: Path,
    frames: NDArray[np.uint8],
    *,
    codec: str = "libx264",
    rotation: int = 0,
    times: NDArray[np.int64] | None = None,
) -> Path:
    """Write frames uint8 [n, height, width, 3] at the times (default: one after the other), in units of 1/FPS s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = number if times is None else int(times[number]), Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def enlarged(frames: NDArray[np.uint8], times: int = 4) -> NDArray[np.uint8]:
    """The frames with each pixel repeated down and across."""
    return frames.repeat(times, axis=1).repeat(times, axis=2)
