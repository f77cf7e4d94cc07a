"""Films of the demo's world, altered copies of them, and others that only resemble them: made with known truth."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from demo.render import render
from demo.world import plan

Frame = NDArray[np.uint8]
FPS = 25
SIZE = (320, 240)

KINDS = (
    "lower quality",
    "smaller",
    "cropped 10 %",
    "cropped 20 %",
    "cut to a part",
    "black borders",
    "speed 1.25",
    "speed 0.8",
    "logo and subtitle",
    "joined with others",
    "part in another film",
    "mirrored",
)
"""What the copies are, by name."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Seconds of a video that are from a film.

    Attributes:
        film: path of the film.
        start_s: where they begin in the video.
        end_s: where they end.
        film_s: where they begin in the film.
        speed: seconds of the film per second of the video.
    """

    film: Path
    start_s: float
    end_s: float
    film_s: float
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of a film.

    Attributes:
        kind: one of `KINDS`.
        path: of the copy.
        pieces: what it is made of, the film that it is a copy of first.
    """

    kind: str
    path: Path
    pieces: tuple[Piece, ...]


def make_films(folder: Path, originals: int, seed: int) -> tuple[list[Path], list[Copy], list[Path]]:
    """Films, copies of each kind, and films of the same world, black or with colour bars that share nothing.

    Args:
        folder: where to.
        originals: films that copies are made of; there are as many others.
        seed: of all that is random.
    """
    films = [render(film, folder / "originals") for film in plan(0, seed, 2 * originals)]
    sources, others = films[:originals], films[originals:]
    copies = []
    rng = random.Random(f"{seed}/copies")
    (folder / "copies").mkdir()
    for number, source in enumerate(sources):
        frames = list(read_frames(source))
        beside = rng.choice(others)
        other = list(read_frames(beside))[: 10 * FPS]
        for kind in KINDS:
            path = folder / "copies" / f"{number:02d} {kind}.mp4".replace(" %", "").replace(" ", "-")
            copies.append(_copy(kind, path, (source, frames), (beside, other), rng))
    (folder / "empty").mkdir()
    for number in range(3):
        others.append(write_frames(folder / "empty" / f"black-{number}.mp4", _black(250 + 25 * number)))
        others.append(write_frames(folder / "empty" / f"bars-{number}.mp4", _bars(250 + 25 * number)))
    return sources, copies, others


def _copy(
    kind: str, path: Path, source: tuple[Path, list[Frame]], beside: tuple[Path, list[Frame]], rng: random.Random
) -> Copy:
    """Write a copy of ``source``; films that it is joined with are ``beside``."""
    film, frames = source
    if kind in _PICTURES:
        write_frames(path, (_PICTURES[kind](frame) for frame in frames), crf=38 if kind == "lower quality" else 28)
        return Copy(kind, path, (Piece(film, 0.0, len(frames) / FPS, 0.0),))
    if kind.startswith("speed"):
        speed = float(kind.split()[1])
        taken = np.floor(np.arange(int(len(frames) / speed)) * speed).astype(int)
        write_frames(path, (frames[at] for at in taken))
        return Copy(kind, path, (Piece(film, 0.0, len(taken) / FPS, 0.0, speed),))
    length = rng.randint(7 * FPS, 10 * FPS) if kind != "joined with others" else len(frames)
    first = rng.randrange(len(frames) - length + 1)
    part = frames[first : first + length]
    if kind == "cut to a part":
        write_frames(path, part)
        return Copy(kind, path, (Piece(film, 0.0, length / FPS, first / FPS),))
    half, all_s = len(beside[1]) // 2, (len(beside[1]) + length) / FPS
    write_frames(path, [*beside[1][:half], *part, *beside[1][half:]])
    start_s, end_s = half / FPS, (half + length) / FPS
    others = Piece(beside[0], 0.0, start_s, 0.0), Piece(beside[0], end_s, all_s, start_s)
    return Copy(kind, path, (Piece(film, start_s, end_s, first / FPS), *others))


def _cropped(share: float) -> Callable[[Frame], Frame]:
    def crop(frame: Frame) -> Frame:
        height, width = frame.shape[:2]
        y, x = round(height * share / 2), round(width * share / 2)
        return _resized(frame[y : height - y, x : width - x], SIZE)

    return crop


def _bordered(frame: Frame) -> Frame:
    picture = np.zeros((SIZE[1], 426, 3), np.uint8)
    picture[:, 53 : 53 + SIZE[0]] = frame
    return picture


def _marked(frame: Frame) -> Frame:
    picture = frame.copy()
    cv2.rectangle(picture, (262, 12), (306, 34), (240, 240, 240), -1)
    cv2.putText(picture, "TV", (268, 31), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (200, 30, 30), 2)
    cv2.putText(picture, "what a lovely day", (60, 225), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2)
    return picture


_PICTURES: dict[str, Callable[[Frame], Frame]] = {
    "lower quality": lambda frame: frame,
    "smaller": lambda frame: _resized(frame, (160, 120)),
    "cropped 10 %": _cropped(0.1),
    "cropped 20 %": _cropped(0.2),
    "black borders": _bordered,
    "logo and subtitle": _marked,
    "mirrored": lambda frame: np.ascontiguousarray(frame[:, ::-1]),
}


def _resized(frame: Frame, size: tuple[int, int]) -> Frame:
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def _black(count: int) -> Iterator[Frame]:
    rng = np.random.default_rng(count)
    return (rng.integers(14, 19, (SIZE[1], SIZE[0], 1), np.uint8).repeat(3, axis=2) for _ in range(count))


def _bars(count: int) -> Iterator[Frame]:
    colours = np.array([[192, 192, 192], [192, 192, 0], [0, 192, 192], [0, 192, 0], [192, 0, 192], [192, 0, 0], [0, 0, 192]])
    bars = np.repeat(colours[np.arange(SIZE[0]) * 7 // SIZE[0]][None], SIZE[1], axis=0)
    rng = np.random.default_rng(count)
    return ((bars + rng.integers(-3, 4, (SIZE[1], SIZE[0], 1))).clip(0, 255).astype(np.uint8) for _ in range(count))


def read_frames(path: Path) -> Iterator[Frame]:
    """The frames of a film at `FPS` frames a second, uint8 [height, width, 3]."""
    with av.open(str(path)) as container:
        shown = 0
        for frame in container.decode(video=0):
            while frame.time is not None and shown / FPS <= frame.time + 1e-6:
                yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                shown += 1


def write_frames(path: Path, frames: Iterator[Frame] | list[Frame], crf: int = 28) -> Path:
    """Write a film."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": str(crf)})
        assert isinstance(stream, av.VideoStream)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for number, pixels in enumerate(frames):
            if not number:
                stream.height, stream.width = pixels.shape[:2]
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
