"""What a container cuts off the picture: the ``clap`` box of MP4 and MOV, PixelCrop of Matroska."""

from __future__ import annotations

import re
from fractions import Fraction

import av
import av.logging
import numpy as np
from av.filter import Graph
from numpy.typing import NDArray

from schemas.video_meta import Crop

# What FFmpeg prints of a stream; titles and the like stand in lines of another form.
_STREAM = re.compile(r"^  Stream #0:(\d+)", re.MULTILINE)
_CROPPING = re.compile(r"^      Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)$", re.MULTILINE)


def stated_crop(container: av.container.InputContainer, stream: av.VideoStream) -> Crop | None:
    """What players cut off every frame; None where nothing.

    FFmpeg knows it, PyAV does not pass it on; so it is read from what FFmpeg prints of a file.
    """
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        printed: str = container.dumps_format()  # type: ignore[attr-defined]  # PyAV's stubs lack it
    except UnicodeError:  # a title
        return None
    finally:
        av.logging.set_level(level)
    _, *parts = _STREAM.split(printed)
    of_stream = dict(zip(parts[::2], parts[1::2], strict=True)).get(str(stream.index), "")
    stated = _CROPPING.search(of_stream)
    crop = Crop(*(int(side) for side in stated.groups())) if stated else None
    return crop if crop and any(crop) else None


def crop_pixels(pixels: NDArray[np.uint8], crop: Crop, rotation_deg: int) -> NDArray[np.uint8]:
    """A picture [height, width, 3] that was turned already, without what is to be cut off the unturned one."""
    sides = [crop.top, crop.right, crop.bottom, crop.left]  # clockwise; turned counter-clockwise, the right side is on top
    turns = rotation_deg // 90 % 4
    top, right, bottom, left = sides[turns:] + sides[:turns]
    return pixels[top : pixels.shape[0] - bottom, left : pixels.shape[1] - right]


class Cropper:
    """Cuts decoded frames by FFmpeg's ``crop``; copies no pixel."""

    def __init__(self, crop: Crop | None) -> None:
        self._crop = crop
        self._graph: Graph | None = None
        self._fits: tuple[int, int, str] | None = None

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame without what is to be cut off; whole where nothing would be left of it."""
        if self._crop is None:
            return frame
        width = frame.width - self._crop.left - self._crop.right
        height = frame.height - self._crop.top - self._crop.bottom
        if width <= 0 or height <= 0:
            return frame
        kind = frame.width, frame.height, frame.format.name
        if self._graph is None or kind != self._fits:
            graph = Graph()
            graph.threads = 1
            graph.link_nodes(
                graph.add_buffer(
                    width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1)
                ),
                graph.add("crop", f"{width}:{height}:{self._crop.left}:{self._crop.top}"),
                graph.add("buffersink"),
            ).configure()
            self._graph, self._fits = graph, kind
        self._graph.push(frame)
        cut = self._graph.pull()
        assert isinstance(cut, av.VideoFrame)
        return cut
