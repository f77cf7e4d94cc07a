"""Films of discs that wander over a room, each its own way, and libraries of such films with given embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from schemas.records import ClipRow, Span, VideoFile, VideoInfo
from tests.helpers.library_builder import build_library
from tests.helpers.made_library import DIM, IDENTITY

FPS = 25
WIDTH, HEIGHT = 160, 120
Frame = NDArray[np.uint8]

DEEP = 16
"""Clips of one scene at one second have one embedding; the angle between a scene's seconds grows with this."""


def film(seed: int, seconds: float, room: int = 0) -> list[Frame]:
    """The frames of a film: ``seed`` says how its discs move, and ``room`` what is behind them."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    behind = np.random.default_rng(room).uniform(20, 235, (6, 8)).repeat(20, axis=0).repeat(20, axis=1)
    rng = np.random.default_rng(1000 + seed)
    phases, rates = rng.uniform(0, 6.28, (4, 2)), rng.uniform(0.7, 2.2, (4, 2))
    sizes, tones = rng.uniform(7, 12, 4), rng.choice([10.0, 245.0], 4)
    frames = []
    for number in range(round(seconds * FPS)):
        picture = behind.copy()
        for phase, rate, size, tone in zip(phases, rates, sizes, tones, strict=True):
            across, down = 0.5 + 0.4 * np.sin(phase + rate * number / FPS)
            picture[(x - across * WIDTH) ** 2 + (y - down * HEIGHT) ** 2 < size**2] = tone
        frames.append(np.repeat(picture[:, :, None], 3, axis=2).astype(np.uint8))
    return frames


def bordered(frame: Frame) -> Frame:
    """The picture between black bars, as on a wider screen."""
    return np.pad(frame, ((0, 0), (24, 24), (0, 0)))


def cropped(frame: Frame) -> Frame:
    """The middle 80 % across and down."""
    return frame[12:-12, 16:-16]


def write(path: Path, frames: Iterable[Frame], crf: int = 24) -> Path:
    """Write frames as H.264."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": str(crf)})
        assert isinstance(stream, av.VideoStream)
        for number, pixels in enumerate(frames):
            if not number:
                stream.height, stream.width, stream.pix_fmt = pixels.shape[0], pixels.shape[1], "yuv420p"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def embedding(scene: int, time_s: float) -> NDArray[np.float32]:
    """A unit vector: near for near seconds of one scene, and apart for those of different scenes."""
    angle = scene * 1.7 + time_s / DEEP
    rng = np.random.default_rng(scene)
    axes = np.linalg.qr(rng.normal(size=(DIM, 2)))[0]
    return (axes @ (np.cos(angle), np.sin(angle))).astype(np.float32)


def library_of(folder: Path, films: Sequence[tuple[Path, int, float, float]], window_s: float = 2.0) -> Path:
    """Publish a library of films: each with its path, the scene that it shows, from which second, and its length."""
    videos = [
        VideoInfo(path.stem, VideoFile(str(path), 10, 0), duration_s=length_s) for path, _, _, length_s in sorted(films)
    ]
    rows = [
        ClipRow(
            1000 * number + part,
            path.stem,
            Span(part * window_s, (part + 1) * window_s),
            (),
            embedding(scene, from_s + (part + 0.5) * window_s),
        )
        for number, (path, scene, from_s, length_s) in enumerate(sorted(films))
        for part in range(int(length_s / window_s))
    ]
    return build_library(folder, IDENTITY, rows, videos)
