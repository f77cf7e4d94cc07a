"""Small grey pictures of a video at a steady rate: without uniform borders, whole and cropped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.footage.borders import inner_boxes
from pipeline.previews.frames import exact_frames
from pipeline.probe import probe
from schemas.errors import VideoError
from schemas.records import Span

RATE = 8
"""Pictures per second: enough to tell an arm that swings up from the same arm a tenth of a second later."""

SIDE = 16
"""Pixels of a picture across and down, whatever its shape was."""

CROPS = ((1.0, 1.0), (0.9, 0.9), (0.8, 0.8), (0.75, 1.0))
"""The middle parts that pictures are made of, as shares of width and height. The last is 4:3 of 16:9."""

# Pixels across of the frames that borders are looked for in.
_WIDTH = 96
_CHUNK_S = 30.0

Pictures = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Footage:
    """The pictures of a video; picture i is what is on screen at ``(i + 0.5) / RATE`` seconds.

    Attributes:
        pictures: uint8 [pictures, len(CROPS), SIDE * SIDE], grey.
        known: bool [pictures]: which of them were decoded; the others are black.
    """

    pictures: Pictures
    known: NDArray[np.bool_]

    @property
    def size_bytes(self) -> int:
        """The memory that it takes."""
        return self.pictures.nbytes + self.known.nbytes


def read_footage(path: str, duration_s: float, spans: Iterable[Span], *, track: int | None = None) -> Footage:
    """Decode the pictures of spans of a video. Parts that cannot be decoded stay unknown.

    Args:
        path: the video.
        duration_s: its length, in seconds.
        spans: the intervals that are needed.
        track: the video track, from 1; None takes the best.

    Raises:
        VideoError: it is no video any more.
    """
    meta = probe(path, track=track)
    count = max(1, round(duration_s * RATE))
    footage = Footage(np.zeros((count, len(CROPS), SIDE * SIDE), np.uint8), np.zeros(count, np.bool_))
    for first, end in _chunks(spans, count):
        try:
            frames = exact_frames(path, meta, Span(first / RATE, end / RATE), end - first, _WIDTH)
        except VideoError:
            continue  # damaged there
        footage.pictures[first:end] = small_pictures(np.stack(frames))
        footage.known[first:end] = True
    return footage


def small_pictures(frames: NDArray[np.uint8]) -> Pictures:
    """The pictures, uint8 [n, len(CROPS), SIDE * SIDE], of consecutive frames, uint8 [n, height, width, 3]."""
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    pictures = np.empty((len(frames), len(CROPS), SIDE * SIDE), np.uint8)
    for number, (frame, (top, bottom, left, right)) in enumerate(zip(grey, inner_boxes(grey), strict=True)):
        inner = frame[top:bottom, left:right]
        for place, (across, down) in enumerate(CROPS):
            height, width = inner.shape
            y, x = round(height * (1 - down) / 2), round(width * (1 - across) / 2)
            part = inner[y : max(y + 1, height - y), x : max(x + 1, width - x)]
            pictures[number, place] = cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA).reshape(-1)
    return pictures


def _chunks(spans: Iterable[Span], count: int) -> Iterator[tuple[int, int]]:
    """The pictures of spans, each once, as ranges of not too many."""
    wanted = np.zeros(count + 2, np.int8)
    for span in spans:
        wanted[1 + max(0, int(span.start_s * RATE)) : 1 + min(count, int(np.ceil(span.end_s * RATE)))] = 1
    edges = np.flatnonzero(np.diff(wanted))
    most = round(_CHUNK_S * RATE)
    for first, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        for begin in range(first, end, most):
            yield begin, min(begin + most, end)
