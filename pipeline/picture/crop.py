"""The crop that a container states: the ``clap`` box of MP4 and MOV, PixelCrop of Matroska."""

from __future__ import annotations

import re
from fractions import Fraction

import av
import av.logging
import numpy as np
from av.filter import Graph
from numpy.typing import NDArray

from schemas.video_meta import Crop

# The lines that FFmpeg prints about a stream; those with titles and the like have another form.
_STREAM = re.compile(r"^  Stream #0:(\d+)", re.MULTILINE)
_CROPPING = re.compile(r"^      Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)$", re.MULTILINE)


def stated_crop(container: av.container.InputContainer, stream: av.VideoStream) -> Crop | None:
    """The pixels that players cut off every frame; None if none.

    FFmpeg knows them and PyAV does not pass them on, so they are read from what FFmpeg prints about a file.
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
    """Crop a picture [height, width, 3] that has been turned already; ``crop`` is that of the unturned one."""
    sides = [crop.top, crop.right, crop.bottom, crop.left]  # clockwise; turned counter-clockwise, the right side is on top
    turns = rotation_deg // 90 % 4
    top, right, bottom, left = sides[turns:] + sides[:turns]
    return pixels[top : pixels.shape[0] - bottom, left : pixels.shape[1] - right]


class Cropper:
    """Crops decoded frames with FFmpeg's ``crop`` filter, which copies no pixels."""

    def __init__(self, crop: Crop | None) -> None:
        self._crop = crop
        self._graph: Graph | None = None
        self._graph_kind: tuple[int, int, str] | None = None

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The cropped frame; the whole one if nothing would be left of it."""
        if self._crop is None:
            return frame
        width = frame.width - self._crop.left - self._crop.right
        height = frame.height - self._crop.top - self._crop.bottom
        if width <= 0 or height <= 0:
            return frame
        kind = frame.width, frame.height, frame.format.name
        if self._graph is None or kind != self._graph_kind:
            graph = Graph()
            graph.threads = 1
            graph.link_nodes(
                graph.add_buffer(
                    width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1)
                ),
                graph.add("crop", f"{width}:{height}:{self._crop.left}:{self._crop.top}"),
                graph.add("buffersink"),
            ).configure()
            self._graph, self._graph_kind = graph, kind
        self._graph.push(frame)
        cropped = self._graph.pull()
        assert isinstance(cropped, av.VideoFrame)
        return cropped
